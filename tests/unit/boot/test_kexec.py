"""How a node changes its kernel: by kexec with what the manifest says, else by a reboot."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.boot import shell

ARGUMENTS = "openqrm.boot=https://boot openqrm.kernel=abc console=ttyS0"
# kexec as the node would call it, with what it was called with in $STATE/calls; blobs are fetched without a server.
STUBS = f"""
kexec() {{ printf '<%s>' "$@" >> "$STATE/calls"; echo >> "$STATE/calls"; [ "$1" != --exec ] && return ${{LOADS:-0}}; }}
oq_fetch_blob() {{ echo "$1" > "$2"; }}
oq_say() {{ echo "said $*"; }}
oq_step() {{ if "$2" > "$STATE/step"; then return 0; fi; echo "step $1 failed: $(cat "$STATE/step")"; return 1; }}
oq_reboot() {{ echo reboot; exit 0; }}
OQ_MAC=52-54-00-12-34-56; OQM_APPLIANCE=web01; OQM_KERNEL={shell.DIGEST}; OQM_KERNEL_VERSION=6.12
OQM_INITRAMFS={shell.DIGEST}; OQM_ARGUMENTS='{ARGUMENTS}'
"""


def test_kernel_is_loaded_with_the_manifest_s_arguments_and_started(tmp_path: Path) -> None:
    done = shell.run_shell(STUBS + "oq_change_kernel", tmp_path)
    load, execute = (tmp_path / "calls").read_text().splitlines()
    assert f"<--load><{tmp_path}/vmlinuz><--initrd={tmp_path}/initramfs>" in load
    assert load.endswith(f"<--command-line=BOOTIF=01-52-54-00-12-34-56 {ARGUMENTS}>")
    assert execute == "<--exec>"
    assert done.stdout.splitlines()[-3:] == [
        "said kexec did not start it",
        "said rebooting into kernel 6.12",
        "reboot",
    ], "a kexec that returns is followed by a reboot"


@pytest.mark.parametrize(
    ("before", "problem"),
    [
        ("LOADS=1", "step kexec failed: "),
        ("OQM_ARGUMENTS=''", "the manifest does not say how kernel 6.12 is started"),
        ("OQM_INITRAMFS=''", "the manifest does not say how kernel 6.12 is started"),
        ("oq_fetch_blob() { echo cannot fetch; return 1; }", "step kexec failed: cannot fetch"),
    ],
)
def test_what_cannot_be_loaded_is_rebooted_into(tmp_path: Path, before: str, problem: str) -> None:
    done = shell.run_shell(f"{STUBS}{before}\noq_change_kernel", tmp_path)
    assert problem in done.stdout
    assert done.stdout.splitlines()[-1] == "reboot"
    calls = tmp_path / "calls"
    assert not calls.exists() or "--exec" not in calls.read_text()


@pytest.mark.parametrize(
    ("cmdline", "same"),
    [
        (f"BOOTIF=01-52-54-00-12-34-56 {ARGUMENTS}", True),
        (f"BOOT_IMAGE=/blobs/x {ARGUMENTS} initrd=y BOOTIF=01-52-54-00-12-34-56", True),
        (f"BOOTIF=01-52-54-00-12-34-56 {ARGUMENTS}9", False),
        ("quiet", False),
    ],
)
def test_arguments_are_compared_with_the_running_kernel_s(tmp_path: Path, cmdline: str, same: bool) -> None:
    (tmp_path / "cmdline").write_text(cmdline + "\n")
    done = shell.run_shell(STUBS + "oq_same_arguments", tmp_path, OQ_PROC=str(tmp_path))
    assert (done.returncode == 0) is same


def test_a_manifest_without_arguments_asks_for_none(tmp_path: Path) -> None:
    (tmp_path / "cmdline").write_text("quiet\n")
    done = shell.run_shell(STUBS + "OQM_ARGUMENTS=''\noq_same_arguments", tmp_path, OQ_PROC=str(tmp_path))
    assert done.returncode == 0


def test_arguments_of_the_manifest_are_data(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    kernel = {**shell.manifest()["kernel"], "arguments": f"a=b $(touch {mark})\n`touch {mark}`"}  # type: ignore[dict-item]
    done = shell.read_manifest(tmp_path, shell.manifest(kernel=kernel), 'printf "%s" "$OQM_ARGUMENTS"')
    assert done.stdout == f"a=b $(touch {mark}) `touch {mark}`"
    assert not mark.exists()
