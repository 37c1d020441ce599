"""Labs come up side by side, are what they say they are, survive a killed run, and leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openqrm import lab as labs

REPOSITORY = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
NAMES = ("e2e-lab-a", "e2e-lab-b")
SERVICES = {"api", "bmc", "dhcp", "http", "ipmi", "libvirtd", "tftp"}
REMOTE_S = 120
KILL_POINTS = ("networks", "libvirtd", "machines")


@dataclass(frozen=True)
class Lab:
    """One lab of the test."""

    name: str

    @property
    def directory(self) -> Path:
        """Its directory."""
        return labs.lab_dir(self.name)

    @property
    def authority(self) -> str:
        """The certificate of its data centre's own authority."""
        return str(self.directory / "state/pki/ca.pem")

    def playbook_argv(self, verb: str) -> list[str]:
        """The command that brings it up or down."""
        variables = {"lab_name": self.name, "lab_nodes": 2, "lab_node_memory_mib": 512}
        return [str(BIN / "ansible-playbook"), f"openqrm.datacenter.lab_{verb}", "-e", json.dumps(variables)]

    def play(self, verb: str) -> list[str]:
        """Brings it up or down; returns the tasks that changed something."""
        environment = os.environ | {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}
        done = subprocess.run(
            self.playbook_argv(verb), cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        tasks = [task for play in json.loads(done.stdout)["plays"] for task in play["tasks"]]
        return [task["task"]["name"] for task in tasks if any(host.get("changed") for host in task["hosts"].values())]

    def on(self, host: str, module: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """What a module answers on a host of the lab's inventory."""
        environment = os.environ | {
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        }
        argv = [str(BIN / "ansible"), "-i", str(self.directory / "inventory/hosts.yml")]
        argv += ["-m", module, "-a", json.dumps(arguments), host]
        done = subprocess.run(argv, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"][host]
        return answer

    def redfish(self, path: str, body: dict[str, Any] | None = None, method: str = "GET", status: int = 200) -> Any:
        """What the BMCs answer from inside the lab."""
        request = {
            "url": f"{labs.read_lab(self.directory)['bmc_url']}{path}",
            "method": method,
            "status_code": status,
            "url_username": "admin",
            "url_password": (self.directory / "bmc/password").read_text().strip(),
            "force_basic_auth": True,
            "ca_path": self.authority,
        }
        if body is not None:
            request |= {"body": body, "body_format": "json"}
        return self.on("lab-boot", "ansible.builtin.uri", request).get("json")


def traces(name: str) -> dict[str, list[str]]:
    """What is there of a lab: processes, namespaces, mounts and files that carry its name."""
    directory, namespace = str(labs.lab_dir(name)), f"openqrm-{name}"
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    mounts = Path("/proc/self/mounts").read_text()
    return {
        "processes": [line for line in command_lines() if directory in line or namespace in line],
        "namespaces": [line for line in listed.splitlines() if line.split()[0] == namespace],
        "mounts": [line for line in mounts.splitlines() if directory in line or namespace in line],
        "files": [str(path) for path in (Path(directory), Path("/run/netns", namespace)) if path.exists()],
    }


def command_lines() -> list[str]:
    """The command lines of the machine's processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [line for line in found if line]


NOTHING: dict[str, list[str]] = {"processes": [], "namespaces": [], "mounts": [], "files": []}


def own_namespace() -> dict[str, str]:
    """The interfaces and addresses of the machine's own network namespace."""
    listed = subprocess.run(["ip", "-json", "address"], capture_output=True, text=True, check=True).stdout
    return {entry["ifname"]: str([item["local"] for item in entry["addr_info"]]) for entry in json.loads(listed)}


@pytest.fixture(scope="module")
def two_labs() -> Iterator[list[Lab]]:
    """Two labs, up at the same time."""
    pair = [Lab(name) for name in NAMES]
    before = own_namespace()
    try:
        for item in pair:
            item.play("up")
        yield pair
    finally:
        for item in pair:
            item.play("down")
    assert own_namespace() == before
    assert [traces(item.name) for item in pair] == [NOTHING, NOTHING]


def test_status(two_labs: list[Lab]) -> None:
    for item in two_labs:
        status = labs.lab_status(item.directory)
        assert status["namespace_present"]
        assert {service["name"] for service in status["services"] if service["alive"]} == SERVICES
        assert status["storage"]["power"] == "on"
        assert [(node["name"], node["firmware"], node["power"]) for node in status["nodes"]] == [
            ("node01", "bios", "off"),
            ("node02", "uefi", "off"),
        ]


def test_labs_are_apart(two_labs: list[Lab]) -> None:
    states = [labs.lab_status(item.directory) for item in two_labs]
    assert states[0]["addresses"] == states[1]["addresses"]
    assert states[0]["nodes"][0]["macs"] == states[1]["nodes"][0]["macs"]
    assert states[0]["nodes"][0]["bmc"] != states[1]["nodes"][0]["bmc"]
    keys = [(item.directory / "ssh/host_ed25519.pub").read_text() for item in two_labs]
    assert keys[0] != keys[1]


def test_storage_server_serves_from_its_own_kernel(two_labs: list[Lab]) -> None:
    for item in two_labs:
        modules = ["nfsd", "dm_thin_pool", "target_core_mod", "nvmet_tcp"]
        item.on("lab-storage", "ansible.builtin.command", {"argv": ["modprobe", "--all", *modules]})
        found = item.on(
            "lab-storage", "ansible.builtin.command", {"argv": ["findmnt", "-no", "FSTYPE", "/srv/openqrm"]}
        )
        assert found["stdout"] == "xfs"


def test_second_up_changes_nothing(two_labs: list[Lab]) -> None:
    assert two_labs[0].play("up") == []


def test_secrets_are_private(two_labs: list[Lab]) -> None:
    for item in two_labs:
        private = [
            item.directory / name for name in ("ssh/id_ed25519", "ssh/host_ed25519", "bmc/password", "bmc/htpasswd")
        ]
        assert {path.stat().st_mode & 0o777 for path in private} == {0o600}
        password = (item.directory / "bmc/password").read_text().strip()
        assert not [line for line in command_lines() if password in line]


def test_bmc_switches_a_node_of_its_own_lab(two_labs: list[Lab]) -> None:
    first, second = two_labs
    node = labs.read_lab(first.directory)["nodes"][0]
    system = f"/redfish/v1/Systems/{node['uuid']}"
    boot = {"Boot": {"BootSourceOverrideEnabled": "Continuous", "BootSourceOverrideTarget": "Pxe"}}
    first.redfish(system, boot, "PATCH", 204)
    first.redfish(f"{system}/Actions/ComputerSystem.Reset", {"ResetType": "On"}, "POST", 204)
    assert first.redfish(system)["PowerState"] == "On"
    assert labs.power(first.directory, "node01", "status") == "on"
    assert labs.power(second.directory, "node01", "status") == "off"
    assert wait_for_text(Path(node["console"]), "net0")
    first.redfish(f"{system}/Actions/ComputerSystem.Reset", {"ResetType": "ForceOff"}, "POST", 204)
    assert labs.power(first.directory, "node01", "status") == "off"


def test_ipmi_bmc_switches_a_node_of_its_own_lab(two_labs: list[Lab]) -> None:
    first, second = two_labs
    node = labs.read_lab(first.directory)["nodes"][0]
    login = {
        "username": "admin",
        "password": f"{{{{ lookup('ansible.builtin.file', '{first.directory}/bmc/password') }}}}",
        "cipher_suite": "3",
    }

    def ipmi(verb: str, **more: str) -> Any:
        endpoints = [{"name": node["name"], "address": node["ipmi"], **more}]
        asked = login | {"verb": verb, "endpoints": endpoints}
        return first.on("lab-boot", "openqrm.datacenter.ipmi_power", asked)["items"][0]

    assert ipmi("boot_device", device="disk")["device"] == "disk continuous"
    assert ipmi("on")["power"] == "on"
    assert labs.power(first.directory, "node01", "status") == "on"
    assert labs.power(second.directory, "node01", "status") == "off"
    assert ipmi("boot_device", device="pxe")["device"] == "pxe continuous"
    assert ipmi("off")["power"] == "off"
    assert labs.power(first.directory, "node01", "status") == "off"


def wait_for_text(path: Path, text: str) -> bool:
    """Whether the file shows the text before the time is over."""
    deadline = time.monotonic() + REMOTE_S
    while time.monotonic() < deadline:
        if path.exists() and text in path.read_text(errors="replace"):
            return True
        time.sleep(0.2)
    return False


def test_bmc_refuses_a_wrong_password(two_labs: list[Lab]) -> None:
    url = labs.read_lab(two_labs[0].directory)["bmc_url"] + "/redfish/v1/Systems"
    arguments = {"url": url, "status_code": 401, "ca_path": two_labs[0].authority}
    answer = two_labs[0].on("lab-boot", "ansible.builtin.uri", arguments)
    assert answer["status"] == 401


def reached(name: str, point: str) -> bool:
    """Whether the building of a lab has come to this point."""
    directory = labs.lab_dir(name)
    marks = {
        "networks": Path("/run/netns", f"openqrm-{name}"),
        "libvirtd": directory / "run/libvirtd.process",
        "machines": directory / "libvirt/domains/storage.xml",
    }
    return marks[point].exists()


def kill_at(item: Lab, point: str) -> None:
    """Starts to bring a lab up and kills everything of the run when it has come to a point."""
    process = subprocess.Popen(
        item.playbook_argv("up"),
        cwd=REPOSITORY,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not reached(item.name, point) and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.extended
def test_a_killed_up_is_brought_up_or_down() -> None:
    item = Lab("e2e-lab-killed")
    try:
        for point in KILL_POINTS:
            kill_at(item, point)
        item.play("up")
        assert {service["name"] for service in labs.services(item.directory) if service["alive"]} == SERVICES
        item.play("down")
        assert traces(item.name) == NOTHING
        for point in KILL_POINTS:
            kill_at(item, point)
            item.play("down")
            assert traces(item.name) == NOTHING
    finally:
        item.play("down")


def test_down_of_what_is_not_there_changes_nothing() -> None:
    assert Lab("e2e-lab-none").play("down") == []
