"""Members that share one image, on real parts: each serves, none changes the image, private directories persist."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest
from openqrm.model import Assignment

from tests.support.lab_session import IMAGE, LOCATION, LabSession, storage_address

POOL = "pool"
GOLDEN = f"{LOCATION}/{IMAGE}"
NAME = "e2e-roots"
PRIVATE = ("--root-mode", "private", "--private", "/srv/data", "--private-exclude", "/srv/data/common")

# Laid over the image: writes at every start, to a private directory and elsewhere, and shows what came of it.
WITNESS = """#!/bin/sh
mkdir -p /var/www/html/witness /srv/lost && cd /var/www/html/witness || exit 1
hostname >> /srv/data/starts && cp /srv/data/starts private
hostname >> /srv/lost/starts && cp /srv/lost/starts memory
echo mine 2> refused > /srv/data/common/list
cp /srv/data/common/list common
cat /etc/hostname /etc/machine-id > identity
cat /etc/fstab > fstab; cat /proc/mounts > mounts
systemctl is-system-running --wait
systemctl --failed --plain --no-legend > failed
cat /run/motd.d/openqrm > motd
touch done
"""
# The image has no kmod, which this unit of systemd's wants.
NOT_IN_IMAGE = {"kmod-static-nodes.service"}
UNIT = "[Unit]\\nWants=nginx.service\\n[Service]\\nExecStart=/usr/local/sbin/witness\\n"


def lay_over(lab: LabSession) -> None:
    """Gives the image a service that tells what it sees, and the appliance `pool` that shares the image."""
    wants = f"{GOLDEN}/etc/systemd/system/multi-user.target.wants"
    script = f"""
    printf %s {shlex.quote(WITNESS)} > {GOLDEN}/usr/local/sbin/witness && chmod 0755 {GOLDEN}/usr/local/sbin/witness &&
    printf {shlex.quote(UNIT)} > {GOLDEN}/etc/systemd/system/witness.service &&
    mkdir -p {wants} {GOLDEN}/srv/data/common && ln -sf ../witness.service {wants}/witness.service &&
    echo first > {GOLDEN}/srv/data/common/list
    """
    lab.on_storage("sh", "-c", script)
    lab.openqrm("image", "set", IMAGE, "--shared")
    members = ["--members", str(len(lab.nodes))]
    lab.openqrm("appliance", "create", POOL, "--image", IMAGE, *members, *PRIVATE)
    lab.openqrm("plugin", "enable", "motd")
    lab.openqrm("plugin", "attach", "motd/banner", f"appliance:{POOL}")


def digest(lab: LabSession) -> str:
    """The digest of the image's whole tree on the storage server: names, modes, owners, times, content."""
    return lab.on_storage("sh", "-c", f"tar -C {GOLDEN} --sort=name -cf - . | sha256sum").split()[0]


def started(lab: LabSession) -> dict[int, Assignment]:
    """`pool`, started on all machines; where its members are."""
    lab.openqrm("appliance", "start", POOL)
    with lab.center.store.read() as tx:
        found = {row.member: row for row in tx.assignments(appliances=[POOL])}
        addresses = {row.name: row.address for row in tx.resources()}
    assert sorted(found) == list(range(len(lab.nodes)))
    for row in found.values():
        lab.wait(f"{POOL}/{row.member} to serve", lambda row=row: told(lab, addresses[row.resource]))
    return found


def told(lab: LabSession, address: str) -> bool:
    """Whether the machine serves its page and its witness is done."""
    return "disk of its own" in lab.page(address) and bool(lab.inside(*_get(address, "done")).returncode == 0)


def _get(address: str, name: str) -> list[str]:
    return ["curl", "--fail", "--silent", "--max-time", "10", f"http://{address}/witness/{name}"]


def seen(lab: LabSession, assignment: Assignment, name: str) -> list[str]:
    """The lines of what a member's machine itself sees."""
    with lab.center.store.read() as tx:
        address = tx.resource(assignment.resource).address
    done = lab.inside(*_get(address, name))
    assert done.returncode == 0, f"{address}/witness/{name}: {done.stderr}"
    return done.stdout.splitlines()


def check_members(lab: LabSession, members: dict[int, Assignment], starts: int) -> None:
    """Each member is itself: name, machine id, its own writes, after so many starts."""
    for number, row in members.items():
        name = f"{POOL}-{number}"
        assert seen(lab, row, "identity")[0] == name
        assert seen(lab, row, "private") == [name] * starts
        assert seen(lab, row, "memory") == [name]
        assert "Read-only" in "\n".join(seen(lab, row, "refused"))
        assert {line.split()[0] for line in seen(lab, row, "failed")} <= NOT_IN_IMAGE
        assert seen(lab, row, "motd") == [f"openQRM: appliance {POOL}, member {number}, on resource {row.resource}"]
        mounts = {line.split()[1]: line.split() for line in seen(lab, row, "mounts")}
        assert mounts["/"][2] == "overlay"
        assert mounts["/srv/data"][2] == "nfs4" and mounts["/srv/data"][3].startswith("rw")
        assert mounts["/srv/data/common"][3].startswith("ro")
        assert not [line for line in seen(lab, row, "fstab") if line.split()[1:2] == ["/"]]
    ids = [seen(lab, row, "identity")[1] for row in members.values()]
    assert len(set(ids)) == len(members)


def check_grants(lab: LabSession, members: dict[int, Assignment]) -> None:
    """The image is granted read-only to all, each private volume read-write to its member alone."""
    exports = lab.exports()
    with lab.center.store.read() as tx:
        addresses = {number: storage_address(tx.resource(row.resource)) for number, row in members.items()}
    assert set(exports) == {GOLDEN, *(f"{LOCATION}/{POOL}-{number}-private" for number in members)}
    assert set(exports[GOLDEN]) == set(addresses.values())
    assert all("ro" in options for options in exports[GOLDEN].values())
    for number, address in addresses.items():
        grants = exports[f"{LOCATION}/{POOL}-{number}-private"]
        assert set(grants) == {address} and "rw" in grants[address]


@pytest.mark.extended
def test_members_share_an_image(lab: LabSession) -> None:
    lay_over(lab)
    before = digest(lab)
    members = started(lab)
    check_members(lab, members, starts=1)
    check_grants(lab, members)
    lab.openqrm("appliance", "stop", POOL)
    assert (lab.exports(), lab.nfs_clients()) == ({}, set())
    assert digest(lab) == before
    for node in lab.nodes:
        console = lab.console(node["name"]).read_text(errors="replace").rpartition(f"starting init of {POOL}")[2]
        assert "openqrm: root unmounted" in console
    lab.openqrm("appliance", "remove", POOL, "--yes", "--destroy-data")
    assert not [name for name in lab.on_storage("ls", LOCATION).split() if name.startswith(POOL)]


@pytest.fixture
def three() -> Iterator[LabSession]:
    """A lab of three machines with a shared image and the appliance `pool`."""
    with LabSession(NAME) as session:
        session.up(nodes=3)
        session.prepare()
        lay_over(session)
        yield session


@pytest.mark.extended
def test_three_members_from_one_image(three: LabSession) -> None:
    lab, before = three, digest(three)
    members = started(lab)
    check_members(lab, members, starts=1)
    check_grants(lab, members)
    assert {tuple(seen(lab, row, "common")) for row in members.values()} == {("first",)}
    lab.openqrm("appliance", "stop", POOL)
    assert digest(lab) == before
    lab.on_storage("sh", "-c", f"echo second > {GOLDEN}/srv/data/common/list")
    members = started(lab)
    check_members(lab, members, starts=2)
    assert {tuple(seen(lab, row, "common")) for row in members.values()} == {("second",)}
    lab.openqrm("appliance", "stop", POOL)
    check_overlay(lab)


def check_overlay(lab: LabSession) -> None:
    """The same image with root mode overlay: all that is written is in memory, which is bounded."""
    taken = ["--parameter", "private_directories=", "--parameter", "private_excludes="]
    lab.openqrm("appliance", "set", POOL, "--root-mode", "overlay", "--overlay-size-mib", "48", *taken)
    before = digest(lab)
    for row in started(lab).values():
        assert seen(lab, row, "private") == seen(lab, row, "memory") == seen(lab, row, "identity")[:1]
        mounts = {line.split()[1]: line.split() for line in seen(lab, row, "mounts")}
        assert "size=49152k" in mounts["/run/initramfs/layers/memory"][3]
        assert "/srv/data" not in mounts
    assert set(lab.exports()) == {GOLDEN}
    lab.openqrm("appliance", "stop", POOL)
    assert digest(lab) == before
