"""What goes wrong outside: storage servers that are away, full disks, damaged files, two that want the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from openqrm.model import Appliance, Image, Storage, Volume

from tests.support.center import FakeCenter, make_center
from tests.support.unchanged import files_below

SSH = """#!/bin/sh
# Stands for ssh to a server that is this machine: runs the command, unless the server is away.
# State: up, away, or cut (the command is done, then the connection is gone, and the server is away).
state=$(cat "{state}")
[ "$state" = away ] || for command; do :; done
case $state in
  up) exec sh -c "$command" ;;
  cut) sh -c "$command" >/dev/null; echo away >"{state}" ;;
esac
echo "ssh: connect to host san1 port 22: Connection refused" >&2
exit 255
"""


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    made = make_center(tmp_path)
    yield made
    made.store.close()


def connect(center: FakeCenter, **variables: object) -> None:
    """Gives the inventory host san1 these variables."""
    path = center.root / "inventory.yml"
    inventory = yaml.safe_load(path.read_text())
    inventory["all"]["hosts"]["san1"] = variables
    path.write_text(yaml.safe_dump(inventory))


def add_service(center: FakeCenter, location: Path) -> str:
    """The appliance web01 on a golden image in a directory of san1, and a node for it; the node's name."""
    (location / "golden").mkdir(parents=True)
    (location / "golden/hostname").write_text("golden\n" * 1000)
    (node,) = center.add_nodes(1)
    with center.store.write("test", "service") as tx:
        tx.save(
            [
                Storage(0, "san1", "directory", "san1", str(location), "10.78.0.10"),
                Volume(0, "golden", "san1"),
                Image(0, "golden", "san1", "golden", "fake"),
                Appliance(0, "web01", "default", "golden"),
            ]
        )
    return node


def states(center: FakeCenter) -> dict[str, str]:
    with center.store.read() as tx:
        return {item.name: item.state for item in (*tx.appliances(), *tx.resources())}


def check_recovery(center: FakeCenter, location: Path, node: str) -> None:
    """Once the server answers again, a stop and a start bring the service up, and nothing is left of the first try."""
    center.run("appliance_stop", appliances="web01")
    with center.store.write("test", "the machine idles again") as tx:
        if tx.resource(node).state == "error":
            tx.set_state("resource", [node], "idle")
    assert center.run("appliance_start", appliances="web01").errors == ()
    assert states(center) == {"web01": "active", node: "active"}
    assert sorted(path.name for path in location.iterdir()) == ["golden", "web01-0"]
    assert (location / "web01-0/hostname").read_text() == "golden\n" * 1000
    assert center.run("appliance_stop", appliances="web01").errors == ()
    with center.store.read() as tx:
        assert (tx.assignments(), tx.plans(["planned", "applying"])) == ([], [])


def test_a_storage_server_with_a_closed_port_is_named(center: FakeCenter) -> None:
    location = center.root / "volumes"
    node = add_service(center, location)
    tree = files_below(center.root / "boot", location)
    connect(center, ansible_connection="ssh", ansible_host="127.0.0.1", ansible_port=1)
    failed = center.run("appliance_start", appliances="web01")
    assert failed.exit_code == 8
    assert "san1: storage_directory volume_clone: host san1 is unreachable" in failed.errors[-1]
    assert "Connection refused" in "".join(failed.errors)
    assert files_below(center.root / "boot", location) == tree, "nothing was published, nothing cloned"
    assert states(center)["web01"] in ("failed", "stopped")
    connect(center, ansible_connection="local")
    check_recovery(center, location, node)


def test_a_storage_server_that_goes_away_in_the_middle(center: FakeCenter) -> None:
    """The clone is made, but the connection breaks before the controller hears of it."""
    location, state, program = center.root / "volumes", center.root / "ssh.state", center.root / "ssh"
    node = add_service(center, location)
    program.write_text(SSH.format(state=state))
    program.chmod(0o755)
    state.write_text("cut\n")
    connect(
        center, ansible_connection="ssh", ansible_ssh_executable=str(program), ansible_python_interpreter=sys.executable
    )
    failed = center.run("appliance_start", appliances="web01")
    assert failed.exit_code == 8
    assert "host san1 is unreachable" in failed.errors[-1]
    assert state.read_text() == "away\n"
    assert not list((center.root / "boot").rglob("manifests/*"))
    assert states(center)["web01"] in ("failed", "stopped")
    state.write_text("up\n")
    check_recovery(center, location, node)


@contextmanager
def small_disk(path: Path, size_kib: int, files: int = 1000) -> Iterator[None]:
    """A file system of this size, for so many files and directories, at the path."""
    path.mkdir(parents=True)
    options = f"size={size_kib}k,nr_inodes={files}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


@pytest.mark.parametrize(
    ("size_kib", "files", "words"),
    [(256, 1000, "Volume web01-0 needs 1 MiB, and the file system of {0} has 0 MiB free"), (4096, 60, "{0}/")],
    ids=["seen before", "in the middle"],
)
def test_a_full_disk_of_the_storage_server(center: FakeCenter, size_kib: int, files: int, words: str) -> None:
    location = center.root / "volumes"
    with small_disk(location, size_kib, files):
        node = add_service(center, location)
        for number in range(40):
            (location / f"golden/data{number}").write_bytes(os.urandom(4096))
        failed = center.run("appliance_start", appliances="web01")
        assert failed.exit_code == 8
        assert words.format(location) in failed.errors[-1]
        assert ("No space left on device" in failed.errors[-1]) is (words == "{0}/")
        assert "What it had done was undone." in failed.errors[-1]
        assert [path.name for path in location.iterdir()] == ["golden"], "nothing is half-written"
        assert states(center) == {"web01": "stopped", node: "idle"}
        assert not list((center.root / "boot").rglob("manifests/*"))
        with center.store.read() as tx:
            assert (tx.assignments(), [image.name for image in tx.images()]) == ([], ["golden"])


def test_a_full_disk_of_the_boot_server(center: FakeCenter) -> None:
    location, boot = center.root / "volumes", center.root / "boot"
    with small_disk(boot, 64):
        node = add_service(center, location)
        filler = boot / "filler"
        filler.write_bytes(bytes(56 * 1024))
        failed = center.run("appliance_start", appliances="web01")
        assert failed.exit_code == 8
        assert "service_boot present" in failed.errors[-1]
        assert str(boot) in failed.errors[-1]
        assert "No space left on device" in failed.errors[-1]
        assert "What it had done was undone." in failed.errors[-1]
        left = [path for path in boot.rglob("*") if path.is_file() and path != filler]
        assert [path for path in left if path.parent.name != "blobs"] == [], "no entry, no part of a file"
        assert [path.name for path in location.iterdir()] == ["golden"]
        assert states(center) == {"web01": "stopped", node: "idle"}
        filler.unlink()
        assert center.run("appliance_start", appliances="web01").errors == ()
        assert states(center) == {"web01": "active", node: "active"}


def test_a_host_that_the_inventory_does_not_have_is_named(center: FakeCenter) -> None:
    with center.store.write("test", "storage") as tx:
        tx.save([Storage(0, "san9", "fake", "nowhere", "/srv/fake", "10.78.0.19")])
    failed = center.run("volume_create", volumes=[{"name": "x", "storage": "san9"}])
    assert failed.exit_code == 8
    assert "host nowhere is unreachable, or not in the inventory. What it had done was undone." in failed.errors[-1]
    with center.store.read() as tx:
        assert (tx.volumes(), [plan.state for plan in tx.plans()]) == ([], ["undone"])


def openqrm(center: FakeCenter, *words: str) -> subprocess.Popen[str]:
    """The command line, running."""
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("openqrm")), *words],
        env={**os.environ, "OPENQRM_CONFIG": str(center.config.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_starts_of_one_appliance_at_once(center: FakeCenter) -> None:
    """One starts it; the other is refused by the plan that is under way, or finds it active."""
    center.add_nodes(2)
    center.add_appliances(["web01"])
    runs = [openqrm(center, "appliance", "start", "web01") for _ in range(2)]
    outcomes = [(run.communicate(timeout=300), run.returncode) for run in runs]
    assert sorted(code for _, code in outcomes) in ([0, 4], [0, 0]), outcomes
    for (_, errors), code in outcomes:
        if code == 4:
            assert "Appliance web01: plan 2 (start) is applied by " in errors
            assert "Wait for it, or see `openqrm operation show 2`." in errors
    with center.store.read() as tx:
        assert [(row.member, row.epoch) for row in tx.assignments(["web01"])] == [(0, 1)]
        assert tx.count("resource") == {"active": 1, "idle": 1}


IN_USE = [
    ("resource remove node00001", 4, ["Resource node00001 cannot be removed", "appliance web01 (member 0)"]),
    ("kernel remove default", 4, ["Kernel default cannot be removed", "the default kernel", "appliance web01"]),
    ("storage remove san1", 4, ["Storage san1 cannot be removed", "image golden-san1"]),
    ("image remove golden-san1", 4, ["Image golden-san1 is used by appliance web01"]),
    ("image remove web01-0 --destroy-data", 4, ["Image web01-0 is used by appliance web01 (member 0)"]),
    (
        "storage add san1 --type fake --host san2 --location /srv/fake --address 10.78.0.10",
        4,
        ["host cannot be changed"],
    ),
    ("appliance remove web01", 4, ["Appliance web01 cannot be removed", "resource node00001 (member 0)", "stop web01"]),
    ("volume remove san1/golden-san1", 4, ["Volume san1/golden-san1 is used by image golden-san1"]),
    ("resource power off node00001", 6, ["Resource node00001 runs appliance web01", "Stop the appliance"]),
]


def test_what_is_in_use_is_not_removed(center: FakeCenter) -> None:
    center.add_nodes(1)
    center.add_appliances(["web01"])
    assert center.run("appliance_start", appliances="web01").errors == ()
    with center.store.read() as tx:
        before = (tx.audit(limit=1000), len(tx.plans()), tx.assignments())
    tree = files_below(center.root / "boot", center.root / "fake")
    for line, code, words in IN_USE:
        process = openqrm(center, *line.split(), *(["--yes"] if "remove" in line else []))
        _, errors = process.communicate(timeout=300)
        assert process.returncode == code, errors
        assert [word for word in words if word not in errors] == [], errors
    with center.store.read() as tx:
        assert (tx.audit(limit=1000), len(tx.plans()), tx.assignments()) == before
    assert files_below(center.root / "boot", center.root / "fake") == tree
