"""The methods that need a server's own kernel keep the promises of their family, on the lab's storage server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.grant_script import GrantScript, MethodTarget, Volumes, begin
from tests.conformance.local_methods import clients_at, target_at
from tests.conformance.method_cases import CASES
from tests.conformance.script import Conformance, Steps, Target, play
from tests.support.lab_session import LabSession
from tests.support.roles import Command, Host

pytestmark = pytest.mark.extended
LOCATION = "/srv/openqrm/conformance"
REBOOT_NUMBER = 11_500_000  # of a volume; AoE has two for each method
ADDRESSES = {"client": "10.78.0.201", "stranger": "10.78.0.202"}
# What a method takes beside its defaults. After a restart NFS clients may reclaim what they had open, for so long.
METHODS: Mapping[str, Mapping[str, Any]] = {
    "nfs": {"variables": {"deployment_nfs_grace_s": 10}, "restart": ("systemctl", "restart", "nfs-server")},
    "iscsi": {},
    "sanboot": {"program": "iscsi"},
    "nvme_tcp": {"lacks": frozenset({"read_only"})},
    "aoe": {},
}
# Reboots the storage server, and waits until it answers again; "$@" is ssh.
REBOOT = """\
boot() { timeout 20 "$@" cat /proc/sys/kernel/random/boot_id; }
before=$(boot "$@") || exit 1
timeout 20 "$@" 'systemctl reboot > /dev/null 2>&1 &'
for try in $(seq 300); do
    sleep 1
    now=$(boot "$@") && [ -n "$now" ] && [ "$now" != "$before" ] && exit 0
done 2> /dev/null
exit 1
"""


@pytest.fixture(scope="module")
def targets() -> Iterator[dict[str, MethodTarget]]:
    """The methods at the storage server of a lab without machines, and two clients on its storage network."""
    with LabSession("e2e-methods") as lab, pytest.MonkeyPatch.context() as patch:
        lab.up(nodes=0)
        patch.setenv("OPENQRM_CONFIG", str(lab.directory / "openqrm.yml"))
        address, host = lab.info["storage"]["addresses"][-1], Host("lab-storage", lab.directory / "inventory")
        with clients_at(lab.info["namespace"], "storage", address, ADDRESSES) as clients:
            yield {
                name: target_at(name, LOCATION, address, clients, host=host, **more) for name, more in METHODS.items()
            }


@pytest.fixture(scope="module", params=list(METHODS))
def method(
    request: pytest.FixtureRequest, targets: dict[str, MethodTarget], tmp_path_factory: pytest.TempPathFactory
) -> Conformance:
    """The suite at one method."""
    target, directory = targets[request.param], tmp_path_factory.mktemp("methods")
    return Conformance(lambda: begin(target, directory, CASES), target.host, directory)


@pytest.mark.parametrize("case", list(CASES))
def test_deployment_method(method: Conformance, case: str) -> None:
    method.verify(case)


@dataclass
class Outlived:
    """What is asked of a method before and after a reboot: of a grant that is kept, and of one that is gone."""

    volumes: Volumes
    before: GrantScript
    after: GrantScript

    def ask(self, name: str) -> None:
        """Write the scripts."""
        self.kept, self.gone = self.before.grant("kept"), self.before.grant("gone")
        self.volumes.prepare()
        self.volumes.verb("create", *self.before.volumes.values())
        self.before.prepare()
        self.given, self.written = self.before.authorize(self.kept, self.gone), self.before.write(self.kept, name)
        self.revoked = self.before.revoke(self.gone)
        self.text, self.refused = self.after.read(self.kept), self.after.attempt(self.gone)
        self.found, self.taken = self.after.list(), self.after.revoke(self.kept)

    def verify(self, name: str) -> None:
        """Raise AssertionError where the one is not as it was, or the other is back."""
        assert self.given.changed and self.written.worked and self.revoked.changed, name
        assert self.text.text == name, f"{name}: {self.text.known.result}"
        assert not self.refused.worked, f"{name}: a revoked grant is back"
        assert len(self.after.named(self.found, self.kept, self.gone)) == 1, name
        assert [item["sessions"] for item in self.taken.items] == [0], name


def test_grants_are_served_after_a_reboot(targets: dict[str, MethodTarget], tmp_path: Path) -> None:
    asked = {}
    for number, (name, target) in enumerate(targets.items()):
        storage = Target(target.storage, LOCATION, target.info.needs, target.host, size_mib=target.size_mib)
        volumes = Volumes(storage, f"reboot{number}-", tmp_path)
        scripts = (GrantScript(target, f"{when}-", volumes, REBOOT_NUMBER + 2 * number) for when in ("before", "after"))
        asked[name] = Outlived(volumes, *scripts)
        asked[name].ask(name)
    reboot, host = Steps(tmp_path), targets["nfs"].host
    assert host.inventory
    ssh = ["ssh", "-F", str(host.inventory.parent / "ssh/config"), host.name]
    rebooted = reboot.add(Command(["sh", "-c", REBOOT, "sh", *ssh], here=True))
    first = [script for each in asked.values() for script in (each.volumes, each.before)]
    play([*first, reboot, *(each.after for each in asked.values())], tmp_path, host)
    assert rebooted.worked, rebooted.known.result
    for name, each in asked.items():
        each.verify(name)
