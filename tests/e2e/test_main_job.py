"""The main job on real parts: machines boot and are discovered, take an appliance over, serve it, and give it back.

The tests share one lab. Fixtures bring it from one situation to the next, in the order of the file; each test looks at
the machines, the storage server and the boot tree themselves.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from openqrm.model import Resource

from tests.support.lab_session import IMAGE, LOCATION, POLL_S, LabSession, storage_address

PAGE = "<h1>This page comes from a machine that has no disk of its own.</h1>"
ROOT = f"{LOCATION}/web01-0"
OPERATION_FAILED = 8
# Another machine of the storage network: the lab's own end of it.
STRANGER = "10.78.0.1"


@dataclass(frozen=True)
class Service:
    """An appliance that was started: the machine before and after, and what it reported meanwhile."""

    node: str
    before: Resource
    after: Resource
    stages: tuple[str, ...]
    said: str


def start(lab: LabSession, node: str, *options: str, appliance: str = "web01") -> Service:
    """Starts the appliance on a machine and waits for its page."""
    before = lab.resource(node)
    stages: list[str] = []
    with lab.running("appliance", "start", appliance, "--to", before.name, *options) as process:
        while process.poll() is None:
            found = lab.resource(node)
            if found.mode == "deployed" and found.stage not in stages:
                stages.append(found.stage)
            time.sleep(POLL_S)
        out, err = process.communicate()
    assert process.returncode == 0, out + err
    lab.wait(f"the page of {appliance}", lambda: PAGE in lab.page(before.address))
    return Service(node, before, lab.resource(node), tuple(stages), out)


def manifest_of(lab: LabSession, resource: Resource) -> Path:
    """Where the boot tree has the manifest of a machine."""
    return lab.directory / "boot/manifests" / f"{resource.boot_mac.replace(':', '-')}.json"


def seen(lab: LabSession, service: Service, name: str) -> str:
    """What the deployed machine itself sees: boot_id, mounts, swaps, hostname, modules or addresses."""
    return lab.wait(f"/seen/{name} of {service.node}", lambda: lab.page(service.after.address, f"/seen/{name}"))


def state_of(lab: LabSession, appliance: str) -> str:
    """The state that the command line shows of an appliance."""
    return str(lab.json("appliance", "show", appliance)["state"])


# Discovery


def test_blank_machines_are_discovered(lab: LabSession) -> None:
    for node in lab.nodes:
        found = lab.resource(node["name"])
        hardware = found.hardware
        assert (found.state, found.mode, found.firmware) == ("idle", "idle", node["firmware"])
        assert found.cores == 1
        assert 900 <= found.memory_mib <= 1024
        assert hardware["dmi"]["uuid"].lower() == node["uuid"]
        assert hardware["dmi"]["vendor"] and hardware["dmi"]["product"]
        assert [(disk["name"], disk["size_mib"]) for disk in hardware["disks"]] == [("vda", 4096)]
        assert [(nic["mac"], nic["driver"], nic["link"]) for nic in hardware["nics"]] == [
            (mac, "virtio_net", True) for mac in node["macs"]
        ]
        assert [(nic.mac, nic.role) for nic in found.nics] == list(
            zip(node["macs"], ("management", "storage"), strict=True)
        )
        assert re.fullmatch(r"10\.77\.0\.\d+", found.address)


def test_storage_nics_have_addresses_of_the_pool(lab: LabSession) -> None:
    addresses = [storage_address(lab.resource(node["name"])) for node in lab.nodes]
    assert len(set(addresses)) == len(lab.nodes)
    assert all(100 <= int(address.removeprefix("10.78.0.")) <= 250 for address in addresses)


def test_idle_machines_send_heartbeats(lab: LabSession) -> None:
    before = {node["name"]: lab.resource(node["name"]).last_seen for node in lab.nodes}
    for name, last_seen in before.items():
        lab.wait(f"a heartbeat of {name}", lambda name=name, old=last_seen: lab.resource(name).last_seen > old, 60)


# Start in place


def test_check_mode_shows_the_plan_and_changes_nothing(lab: LabSession) -> None:
    def everything() -> list[object]:
        return [lab.tables(), lab.boot_tree(), lab.exports(), lab.on_storage("ls", "-la", LOCATION)]

    before = everything()
    shown = lab.openqrm("appliance", "start", "web01", "--check", "--diff").out
    for words in ("web01/0 on node-", "authorize", "manifests/", "Check mode: nothing was changed."):
        assert words in shown, shown
    assert everything() == before


@pytest.fixture(scope="module")
def in_place(lab: LabSession) -> Service:
    """web01, started on the idle BIOS machine."""
    return start(lab, "node01")


def test_start_takes_the_idle_machine_over_in_place(lab: LabSession, in_place: Service) -> None:
    assert PAGE in lab.page(in_place.after.address)
    assert in_place.after.boot_id == in_place.before.boot_id
    assert seen(lab, in_place, "boot_id").strip() == in_place.before.boot_id
    assert (in_place.after.state, state_of(lab, "web01")) == ("active", "active")


def test_machine_reports_what_it_booted(lab: LabSession, in_place: Service) -> None:
    booted = hashlib.sha256(manifest_of(lab, in_place.after).read_bytes()).hexdigest()
    assigned = lab.json("appliance", "show", "web01")["assignments"]
    after = in_place.after
    assert in_place.stages == ("init", "up")
    assert (after.mode, after.stage, after.manifest) == ("deployed", "up", booted)
    assert [(row["resource"], row["epoch"]) for row in assigned] == [(after.name, after.reported_epoch)]


def test_root_is_on_the_storage_server(lab: LabSession, in_place: Service) -> None:
    address = storage_address(in_place.after)
    root = next(line.split() for line in seen(lab, in_place, "mounts").splitlines() if line.split()[1] == "/")
    assert (root[0], root[2]) == (f"{lab.info['storage']['addresses'][-1]}:{ROOT}", "nfs4")
    assert {"rw", "vers=4.2", f"clientaddr={address}"} <= set(root[3].split(","))
    exports = lab.exports()
    assert {path: set(clients) for path, clients in exports.items()} == {ROOT: {address}}
    assert {"rw", "no_root_squash"} <= exports[ROOT][address]
    assert lab.nfs_clients() == {address}


@pytest.mark.usefixtures("in_place")
def test_another_machine_cannot_read_the_root(lab: LabSession) -> None:
    idle = storage_address(lab.resource("node02"))
    assert idle not in lab.exports()[ROOT]
    url = f"nfs://{lab.info['storage']['addresses'][-1]}{ROOT}?version=4"
    refused = lab.inside("nfs-ls", url)
    assert refused.returncode != 0 and "etc" not in refused.stdout, refused.stdout
    lab.on_storage("exportfs", "-o", "ro,no_subtree_check", f"{STRANGER}:{ROOT}")
    try:
        granted = lab.inside("nfs-ls", url)
    finally:
        lab.on_storage("exportfs", "-u", f"{STRANGER}:{ROOT}")
    assert granted.returncode == 0 and "etc" in granted.stdout, granted.stdout + granted.stderr


def test_root_fits_the_machine(lab: LabSession, in_place: Service) -> None:
    fstab = lab.on_storage("cat", f"{ROOT}/etc/fstab").splitlines()
    assert f"{lab.info['storage']['addresses'][-1]}:{ROOT} / nfs rw,vers=4.2,proto=tcp,hard 0 0" in fstab
    assert "tmpfs /srv/scratch tmpfs size=1m 0 0" in fstab
    assert any(re.match(r"tmpfs /srv/scratch tmpfs rw", line) for line in seen(lab, in_place, "mounts").splitlines())
    assert [line.split()[:3] for line in fstab if " swap " in line] == [["/dev/vda", "none", "swap"]]
    assert "/dev/vda" in seen(lab, in_place, "swaps")
    assert lab.on_storage("cat", f"{ROOT}/etc/hostname").strip() == "web01"
    assert seen(lab, in_place, "hostname").strip() == "web01"
    assert "modules.dep" in seen(lab, in_place, "modules").split()
    addresses = seen(lab, in_place, "addresses")
    assert all(f" {address}/24 " in addresses for address in (in_place.after.address, storage_address(in_place.after)))


def test_host_key_of_the_service_is_known(lab: LabSession, in_place: Service) -> None:
    file = f"{ROOT}/etc/ssh/ssh_host_ed25519_key"
    public = lab.on_storage("ssh-keygen", "-y", "-f", file).strip()
    assert lab.openqrm("pki", "known-hosts").out.splitlines() == [f"web01,{in_place.after.address} {public}"]
    assert lab.on_storage("stat", "-c", "%a", file).strip() == "600"
    key = lab.on_storage("cat", file).splitlines()[1]
    tree = [path for path in (lab.directory / "boot").rglob("*") if path.is_file()]
    assert tree and not [path for path in tree if key.encode() in path.read_bytes()]


@pytest.mark.usefixtures("in_place")
def test_nobody_takes_the_identity_of_a_running_machine(lab: LabSession) -> None:
    before = lab.resource("node01")
    forged = {"macs": [nic.mac for nic in before.nics], "boot_mac": before.boot_mac, "address": "10.77.0.66"}
    forged |= {"boot_id": "forged", "cores": 1, "memory_mib": 1}
    url = f"{lab.center.config.api.url}/node/v1/register"
    trust = ["--cacert", str(lab.center.config.ca_file)]
    body = ["--header", "Content-Type: application/json", "--data", json.dumps(forged)]
    answer = lab.inside("curl", "--silent", *trust, *body, "--write-out", " %{http_code}", url).stdout
    assert answer.endswith(" 409") and "is alive" in answer, answer
    assert lab.resource("node01").address == before.address


def test_second_start_changes_nothing(lab: LabSession, in_place: Service) -> None:
    before = [lab.boot_tree(), lab.exports()]
    assert "Nothing to do: appliance web01 is active already." in lab.openqrm("appliance", "start", "web01").out
    assert [lab.boot_tree(), lab.exports()] == before
    assert lab.resource("node01").boot_id == in_place.after.boot_id


# Stop


@pytest.fixture(scope="module")
def stopped(lab: LabSession, in_place: Service) -> Service:
    """web01, stopped."""
    lab.openqrm("appliance", "stop", "web01")
    return in_place


def test_stop_gives_the_machine_back(lab: LabSession, stopped: Service) -> None:
    now = lab.resource(stopped.node)
    assert (now.state, now.mode, state_of(lab, "web01")) == ("idle", "idle", "stopped")
    assert now.boot_id != stopped.after.boot_id
    assert lab.page(now.address) == ""
    assert not manifest_of(lab, now).exists()


def test_stop_shuts_down_cleanly(lab: LabSession, stopped: Service) -> None:
    console = lab.console(stopped.node).read_text(errors="replace").rpartition("starting init of web01")[2]
    assert "openqrm: shutting down: reboot" in console
    assert "openqrm: root unmounted" in console


@pytest.mark.usefixtures("stopped")
def test_stop_revokes_the_grant_and_keeps_the_volume(lab: LabSession) -> None:
    assert lab.exports() == {}
    assert lab.nfs_clients() == set()
    assert lab.on_storage("cat", f"{ROOT}/etc/hostname").strip() == "web01"


def test_token_of_the_idle_machine_is_bound_to_nothing(lab: LabSession, stopped: Service) -> None:
    with lab.center.store.read() as tx:
        identity = tx.identity(lab.resource(stopped.node).name)
    assert identity is not None and identity.assignment == 0


def test_second_stop_changes_nothing(lab: LabSession, stopped: Service) -> None:
    assert "Nothing to do: appliance web01 is stopped already." in lab.openqrm("appliance", "stop", "web01").out
    assert lab.resource(stopped.node).state == "idle"


# Start by a reset


@pytest.fixture(scope="module")
def by_reset(lab: LabSession, stopped: Service) -> Service:  # noqa: ARG001 - pytest orders fixtures by it
    """web01, started on the UEFI machine by a reset of it."""
    return start(lab, "node02", "--boot", "reset")


def test_start_by_reset_boots_the_machine_by_its_bmc(lab: LabSession, by_reset: Service) -> None:
    uuid = next(node["uuid"] for node in lab.nodes if node["name"] == by_reset.node)
    asked = (lab.directory / "log/bmc.log").read_text()
    assert f"POST /redfish/v1/Systems/{uuid}/Actions/ComputerSystem.Reset" in asked
    assert by_reset.after.boot_id != by_reset.before.boot_id
    assert seen(lab, by_reset, "boot_id").strip() == by_reset.after.boot_id
    assert " swap " not in lab.on_storage("cat", f"{ROOT}/etc/fstab")
    assert {path: set(clients) for path, clients in lab.exports().items()} == {ROOT: {storage_address(by_reset.after)}}


def test_stop_after_a_reset(lab: LabSession, by_reset: Service) -> None:
    lab.openqrm("appliance", "stop", "web01")
    now = lab.resource(by_reset.node)
    assert (now.state, now.mode) == ("idle", "idle")
    assert now.boot_id != by_reset.after.boot_id
    assert (lab.exports(), lab.nfs_clients()) == ({}, set())


# Faults


@pytest.fixture
def broken(lab: LabSession) -> Iterator[str]:
    """An appliance whose image has no init."""
    init = f"{LOCATION}/{IMAGE}/usr/sbin/init"
    lab.openqrm("appliance", "create", "broken", "--image", IMAGE)
    lab.on_storage("mv", init, f"{init}.away")
    try:
        yield "broken"
    finally:
        lab.on_storage("mv", f"{init}.away", init)
        lab.openqrm("appliance", "remove", "broken", "--yes")


def test_error_in_the_initramfs_is_told_and_undone(lab: LabSession, broken: str) -> None:
    before = lab.resource("node01")
    failed = lab.openqrm("appliance", "start", broken, "--to", before.name, "--boot", "in_place", code=OPERATION_FAILED)
    assert "system: the root has no /sbin/init" in failed.err
    events = lab.json("event", "list", "--resource", before.name, "--severity", "error")
    assert any(event["data"].get("step") == "system" and "/sbin/init" in event["message"] for event in events)
    assert "system failed: the root has no /sbin/init" in lab.console("node01").read_text(errors="replace")
    assert (lab.exports(), lab.nfs_clients()) == ({}, set())
    assert "broken-0" not in lab.on_storage("ls", LOCATION).split()
    assert not manifest_of(lab, before).exists()
    now = lab.resource("node01")
    assert (now.state, now.mode) == ("idle", "idle")
    assert state_of(lab, broken) == "stopped"
    assert "broken-0" not in [row["name"] for row in lab.json("image", "list")]


# Other ways to the same end


@pytest.mark.extended
def test_playbooks_do_what_the_command_line_does(lab: LabSession) -> None:
    before = lab.resource("node01")
    lab.playbook("appliance_start", {"appliances": "web01", "to": before.name})
    lab.wait("the page of web01", lambda: PAGE in lab.page(before.address))
    assert lab.resource("node01").boot_id == before.boot_id
    assert set(lab.exports()) == {ROOT}
    lab.playbook("appliance_stop", {"appliances": "web01"})
    assert (lab.resource("node01").state, state_of(lab, "web01")) == ("idle", "stopped")
    assert (lab.exports(), lab.nfs_clients()) == ({}, set())


def test_move_to_another_machine(lab: LabSession) -> None:
    source = start(lab, "node01")
    mark = f"{ROOT}/srv/mark"
    lab.on_storage("touch", mark)
    target = lab.resource("node02")
    lab.openqrm("appliance", "move", "web01", "--to", target.name)
    lab.wait("the page of web01 on the other machine", lambda: PAGE in lab.page(target.address))
    assert lab.page(source.after.address) == ""
    assert (lab.resource("node01").state, lab.resource("node02").state) == ("idle", "active")
    assert {path: set(clients) for path, clients in lab.exports().items()} == {ROOT: {storage_address(target)}}
    assert lab.nfs_clients() == {storage_address(target)}
    assert lab.on_storage("ls", mark).strip() == mark
    lab.openqrm("appliance", "stop", "web01")
    assert (lab.exports(), lab.nfs_clients()) == ({}, set())
