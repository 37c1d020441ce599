"""How a node reads its manifest: complete, and safe against values that a shell could take for code."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.unit.boot import shell


def test_values_of_an_assigned_node(tmp_path: Path) -> None:
    done = shell.read_manifest(
        tmp_path,
        shell.manifest(),
        'echo "$OQM_MODE $OQM_APPLIANCE $OQM_MEMBER $OQM_EPOCH $OQM_HOSTNAME $OQM_METHOD $OQM_INTERVAL"\n'
        'echo "$OQM_NETWORKS"; echo "$OQM_FSTAB"; echo "$OQM_HOSTS"\n'
        'eval "$OQM_PARAMETERS"; env | grep OPENQRM_ | sort',
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "assigned web01 0 3 web01 nfs 10",
        "52:54:00:12:34:57 storage 10.78.0.100/24",
        "tmpfs /tmp tmpfs defaults 0 0",
        "10.78.0.10 storage",
        "OPENQRM_PARAM_OPTIONS=vers=4.2",
        "OPENQRM_PARAM_SOURCE=10.78.0.10:/srv/a",
    ]


def test_idle_manifest_has_empty_assignment(tmp_path: Path) -> None:
    idle = {key: shell.manifest()[key] for key in ("version", "resource", "kernel", "agent")} | {"mode": "idle"}
    done = shell.read_manifest(tmp_path, idle, 'echo "$OQM_MODE:$OQM_APPLIANCE:$OQM_EPOCH:$OQM_NETWORKS:$OQM_FSTAB"')
    assert done.stdout == "idle::0::\n"


@pytest.mark.parametrize("text", ["$(touch {0})", "`touch {0}`", "'; touch {0}; '", 'a"b; touch {0}', "\n touch {0}\n"])
def test_hostile_text_is_never_run(tmp_path: Path, text: str) -> None:
    mark = tmp_path / "mark"
    hostile = text.format(mark)
    deployment = {"method": "nfs", "hook": shell.DIGEST, "parameters": {"source": hostile}}
    data = shell.manifest(fstab=[hostile], hosts=[hostile], deployment=deployment)
    done = shell.read_manifest(tmp_path, data, 'eval "$OQM_PARAMETERS"; printf "%s" "$OPENQRM_PARAM_SOURCE"')
    assert done.returncode == 0
    assert done.stdout == hostile
    assert not mark.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "version 2 of the manifest is not known"),
        ({"mode": "sleep"}, "mode sleep of the manifest is not known"),
        ({"hostname": "a b"}, "no name: a b"),
        ({"hostname": "../x"}, "no name: ../x"),
        ({"epoch": "3; reboot"}, "no number: 3; reboot"),
        ({"agent": {"digest": "../../etc/passwd"}}, "no digest: ../../etc/passwd"),
        ({"deployment": {"hook": "A" * 64}}, "no digest: AAAA"),
    ],
)
def test_what_is_not_valid_is_refused(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    done = shell.read_manifest(tmp_path, shell.manifest(**changes), "echo read")
    assert done.returncode == 3
    assert words in done.stderr
    assert "the manifest is not valid" in done.stdout


def test_junk_is_refused(tmp_path: Path) -> None:
    (tmp_path / "junk").write_text("<html>")
    assert shell.run_shell('oq_read_manifest "$STATE/junk"', tmp_path).returncode == 1


def test_parameter_names_that_are_no_names_are_left_out(tmp_path: Path) -> None:
    parameters = {"a;reboot": "x", "path": "/srv"}
    data = shell.manifest(deployment={"method": "nfs", "hook": shell.DIGEST, "parameters": parameters})
    done = shell.read_manifest(tmp_path, data, 'printf "%s" "$OQM_PARAMETERS"')
    assert done.stdout == "export OPENQRM_PARAM_PATH='/srv'"


@pytest.mark.parametrize("digest", ["", "abc", "A" * 64, "g" * 64, "a" * 65, "../" + "a" * 61])
def test_a_digest_is_64_hex_digits(tmp_path: Path, digest: str) -> None:
    assert shell.run_shell('oq_is_digest "$1"'.replace("$1", digest), tmp_path).returncode == 1
    assert shell.run_shell(f'oq_is_digest "{shell.DIGEST}"', tmp_path).returncode == 0


def test_a_blob_with_another_digest_is_an_error(tmp_path: Path) -> None:
    script = f"""
oq_curl() {{ while [ "$1" != --output ]; do shift; done; echo tampered > "$2"; }}
oq_pause() {{ :; }}
OQ_BOOT=https://boot
oq_fetch_blob {shell.DIGEST} "$STATE/blob"
"""
    done = shell.run_shell(script, tmp_path)
    assert done.returncode == 1
    assert f"cannot fetch https://boot/blobs/{shell.DIGEST}" in done.stdout
    assert "has the digest" in done.stdout
    assert not (tmp_path / "blob").exists()


COUNTING = """
oq_curl() {
    for word; do url=$word; done
    while [ "$1" != --output ]; do shift; done
    echo "${url##*/}" >> "$STATE/fetched"
    printf content > "$2"
}
OQ_BOOT=https://boot
"""
CONTENT = hashlib.sha256(b"content").hexdigest()


def test_a_blob_is_fetched_and_checked_once(tmp_path: Path) -> None:
    script = (
        COUNTING
        + f"""
oq_fetch_blob {CONTENT} "$STATE/one" && oq_fetch_blob {CONTENT} "$STATE/one" && oq_fetch_blob {CONTENT} "$STATE/other"
"""
    )
    done = shell.run_shell(script, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "fetched").read_text().split() == [CONTENT]
    assert (tmp_path / "one").samefile(tmp_path / "other")


def test_an_idle_node_fetches_what_a_take_over_needs(tmp_path: Path) -> None:
    kernel = shell.manifest()["kernel"]
    assert isinstance(kernel, dict)
    idle = {
        "version": 1,
        "mode": "idle",
        "kernel": kernel | {"modules": ""},
        "agent": {"digest": ""},
        "prefetch": [CONTENT],
    }
    script = COUNTING + f"modprobe() {{ :; }}; oq_prefetch; oq_finish_prefetch; OQM_HOOK={CONTENT}; oq_fetch_hook"
    done = shell.read_manifest(tmp_path, idle, script)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "hook").read_text() == "content"
    assert (tmp_path / "fetched").read_text().split() == [CONTENT]
    assert not list((tmp_path / "blobs").glob("*.part*"))
