"""storage_directory on a file system with reflinks, and deployment_nfs with nfs-ganesha and a client of its own."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.roles.conftest import CLIENT, SERVER, STRANGER, Network
from tests.support.roles import Step, run

STORAGE, NFS = "openqrm.datacenter.storage_directory", "openqrm.datacenter.deployment_nfs"
TMPFS = "openqrm.datacenter.deployment_tmpfs"


@pytest.fixture
def reflinks(tmp_path: Path) -> Iterator[Path]:
    """The mount point of a new file system that can share blocks."""
    disk, mount = tmp_path / "disk", tmp_path / "mount"
    mount.mkdir()
    with disk.open("wb") as stream:
        stream.truncate(400 << 20)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", str(disk)], check=True, timeout=60)
    subprocess.run(["mount", "-o", "loop", str(disk), str(mount)], check=True, timeout=60)
    try:
        yield mount
    finally:
        subprocess.run(["umount", str(mount)], check=True, timeout=60)


def used_mib(mount: Path) -> int:
    """The space that is used on a file system, in MiB."""
    subprocess.run(["sync", "--file-system", str(mount)], check=True, timeout=60)
    answer = subprocess.run(
        ["df", "--output=used", "--block-size=1M", str(mount)], check=True, capture_output=True, text=True, timeout=60
    )
    return int(answer.stdout.split()[-1])


def test_clones_share_their_blocks_where_the_file_system_can(reflinks: Path, tmp_path: Path) -> None:
    content = tmp_path / "content"
    (content / "etc").mkdir(parents=True)
    (content / "etc/big").write_bytes(b"x" * (50 << 20))
    (content / "etc/hostname").write_text("golden\n")
    archive = tmp_path / "golden.tar.zst"
    subprocess.run(["tar", "-C", str(content), "--zstd", "-cf", str(archive), "."], check=True, timeout=60)
    location = str(reflinks / "volumes")
    golden = {"name": "golden", "location": location, "size_mib": 64, "archive": str(archive)}
    clones = [{"name": f"web{number}", "location": location, "source": "golden"} for number in range(5)]
    locations = {"storage_locations": [{"location": location}]}
    prepare, create, create_again = run(
        tmp_path,
        [
            Step(STORAGE, "prepare", locations),
            Step(STORAGE, "volume_create", {"storage_volumes": [golden]}),
            Step(STORAGE, "volume_create", {"storage_volumes": [golden]}),
        ],
        {},
    )
    assert [step.failed for step in (prepare, create, create_again)] == ["", "", ""]
    assert (create.changed, create_again.changed) == (True, False)
    before = used_mib(reflinks)
    snapshot = clones[0] | {"name": "monday"}
    cloned, taken, again, listed = run(
        tmp_path,
        [
            Step(STORAGE, "volume_clone", {"storage_volumes": clones}),
            Step(STORAGE, "volume_snapshot", {"storage_volumes": [snapshot]}),
            Step(STORAGE, "volume_snapshot", {"storage_volumes": [snapshot]}),
            Step(STORAGE, "volume_list", locations),
        ],
        {},
    )
    assert cloned.changed
    assert used_mib(reflinks) - before < 50
    assert (reflinks / "volumes/web4/etc/hostname").read_text() == "golden\n"
    assert {item["name"]: item["used_mib"] >= 50 for item in listed.items} == dict.fromkeys(
        ["golden", "monday", *(clone["name"] for clone in clones)], True
    )
    assert (taken.changed, again.changed) == (True, False)
    assert [item["name"] for item in listed.items if item["read_only"]] == ["monday"]
    assert sorted(entry.name for entry in reflinks.iterdir()) == ["volumes"]
    assert not [entry for entry in (reflinks / "volumes").iterdir() if entry.name.startswith(".")]


@pytest.fixture
def server(network: Network) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The directory and the variables of an nfs-ganesha in the network, which is stopped after the test."""
    with tempfile.TemporaryDirectory(prefix="openqrm-nfs-") as name:
        directory = Path(name)
        variables = {
            "deployment_nfs_server": "ganesha",
            "deployment_nfs_supervisor": "process",
            "deployment_nfs_network_namespace": network.server,
            "deployment_nfs_run_dir": str(directory / "run"),
            "deployment_nfs_log_dir": str(directory / "log"),
            "deployment_nfs_ganesha_state_dir": str(directory / "state"),
            "deployment_nfs_grace_s": 5,
            "deployment_nfs_timeout_s": 60,
        }
        yield directory, variables
        assert run(directory, [Step(NFS, "stop")], variables)[0].failed == ""


@pytest.mark.parametrize("role", [NFS, TMPFS])
def test_ganesha_serves_a_directory_to_its_client_only(
    network: Network, server: tuple[Path, dict[str, Any]], role: str
) -> None:
    directory, variables = server
    volumes = [directory / "volumes" / name for name in ("web01-0", "web02-0")]
    grants = []
    for volume, address in zip(volumes, (CLIENT, STRANGER), strict=True):
        volume.mkdir(parents=True)
        (volume / "hostname").write_text(volume.name)
        grants.append({"volume": volume.name, "path": str(volume), "client": {"address": address}, "epoch": 1})

    def verb(name: str) -> Step:
        return Step(role, name, {"deployment_grants": grants} if name in ("authorize", "revoke") else {})

    def listing(volume: Path) -> str:
        return network.ask("nfs-ls", f"nfs://{SERVER}{volume}?version=4")

    names = ("prepare", "prepare", "authorize", "authorize", "grants_list")
    outcomes = run(directory, [verb(name) for name in names], variables)
    assert [outcome.failed for outcome in outcomes] == [""] * len(names)
    assert [outcome.changed for outcome in outcomes] == [True, False, True, False, False]
    assert [item["client"]["address"] for item in outcomes[-1].items] == [CLIENT, STRANGER]
    assert [item["read_only"] for item in outcomes[-1].items] == [role == TMPFS] * 2
    assert "hostname" in listing(volumes[0])
    assert "hostname" not in listing(volumes[1]), "the client has no grant for it"

    names = ("revoke", "revoke", "grants_list")
    outcomes = run(directory, [verb(name) for name in names], variables)
    assert [outcome.failed for outcome in outcomes] == [""] * len(names)
    assert [outcome.changed for outcome in outcomes] == [True, False, False]
    assert [item["sessions"] for item in outcomes[0].items] == [0, 0]
    assert outcomes[-1].items == []
    assert "hostname" not in listing(volumes[0])
