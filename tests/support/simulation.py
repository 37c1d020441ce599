"""A data centre whose controller runs inside the test: the library's plans, applied by the code of the fake types.

`Controller.run` does what `playbooks/plan_apply.yml` does, in the same order and with the same calls of the library, so
that a test can end it at every step (`Killed`, as by SIGKILL: nothing is cleaned up) in milliseconds. Real playbooks
and real processes are what the other tests of tests/integration/lifecycle run.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible_collections.openqrm.datacenter.plugins.action import (
    fake_deployment,
    fake_hypervisor,
    fake_power,
    fake_storage,
)
from ansible_collections.openqrm.datacenter.plugins.modules import boot_file
from ansible_collections.openqrm.datacenter.plugins.plugin_utils import fake
from openqrm import fakenode
from openqrm.boot import tree
from openqrm.boot.manifest import client, sha256
from openqrm.config import Config, Deadlines
from openqrm.datacenter import Datacenter
from openqrm.model import Appliance, Image, Kernel, Nic, Operation, Order, Requirements, Resource, Storage, Volume
from openqrm.planning import changes, journal, nodes, settle
from openqrm.planning.operations import NODE
from openqrm.store import Store, Writer, open_store, upgrade

FAKES: Mapping[str, Any] = {
    "storage_fake": fake_storage.ActionModule,
    "storage_file": fake_storage.ActionModule,
    "deployment_fake": fake_deployment.ActionModule,
    "deployment_local_root": fake_deployment.ActionModule,
    "deployment_adopted": fake_deployment.ActionModule,
    "deployment_local": fake_deployment.ActionModule,
    "deployment_sanboot": fake_deployment.ActionModule,
    "deployment_sanboot_aoe": fake_deployment.ActionModule,
    "hypervisor_fake": fake_hypervisor.ActionModule,
    "power_fake": fake_power.ActionModule,
}
KERNEL = Kernel(0, "default", "6.1.0", "x86_64", "a" * 64, "b" * 64, "c" * 64)
OTHER_KERNEL = Kernel(0, "other", "6.6.0", "x86_64", "d" * 64, "e" * 64, "f" * 64)
LOCATION = "/srv/fake"
# A storage of block volumes that a test may add; on the same server.
BLOCKS = "blocks"
# Deployments whose systems openQRM hears nothing of.
UNHEARD = ("local", "adopted", "sanboot", "sanboot_aoe")
# As many as playbooks/plan_apply.yml has.
ROUNDS = 7
HUNG = "it took longer than its deadline"
FAST_DIRECTORY = Path("/dev/shm")  # noqa: S108 - a parent for a private directory
Fault = Mapping[str, Any]


class Killed(BaseException):
    """The controller ends here."""


@dataclass
class Center:
    """The data centre below `root`. `silent`: resources whose machine does not answer, whatever it is told.
    `refusals`: what machines say instead of doing an action with their disks; `worked`: what they did."""

    root: Path
    config: Config
    store: Store
    silent: set[str] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)
    worked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def datacenter(self) -> Datacenter:
        """What the library works on."""
        return Datacenter(self.config, self.store)

    def add_nodes(self, count: int, *, listening: bool, prefix: str = "node", first: int = 1, **fields: Any) -> None:
        """Idle resources with the fake power driver; those that listen take orders, the others are reset."""
        made = [
            replace(
                Resource(
                    0,
                    f"{prefix}{number}",
                    cores=2,
                    memory_mib=1024,
                    nics=(Nic(f"52:54:00:00:00:{number:02x}", role="management"),),
                    address=f"10.77.0.{number}",
                    power_driver="fake",
                    power={"address": "fake", "system": f"{number}"},
                    mode="idle",
                    boot_id="first",
                    kernel=KERNEL.vmlinuz,
                ),
                **fields,
            )
            for number in range(first, first + count)
        ]
        with self.store.write("test", "nodes") as tx:
            tx.save(made)
            tx.set_state("resource", [node.name for node in made], "idle")
            for node in made if listening else ():
                tx.report(node.name, last_seen=datetime.now(UTC))

    def add_appliances(self, *names: str, **fields: Any) -> None:
        """Appliances over the golden image."""
        rows = [Appliance(0, name, "default", "golden", requirements=Requirements()) for name in names]
        with self.store.write("test", "appliances") as tx:
            tx.save([replace(row, **fields) for row in rows])

    def nodes_act(self) -> None:
        """Machines that listen do what they are told: boot, or leave their service and boot to idle."""
        with self.store.read() as tx:
            waiting = [order for order in tx.orders() if order.resource not in self.silent]
        for order in waiting:
            if self._is_about_disks(order.manifest):
                self._work_on_disks(order)
                continue
            self.boot([order.resource])
            with self.store.write("node", "order") as tx:
                tx.report(order.resource, last_seen=datetime.now(UTC))
                tx.set_order(order.id, "done")

    def _is_about_disks(self, digest: str) -> bool:
        return any(
            sha256(text := path.read_text()) == digest and json.loads(text).get("mode") == "disk"
            for path in (self.root / "boot/manifests").glob("*.json")
        )

    def _work_on_disks(self, order: Order) -> None:
        """A machine that idles does what the manifest says, or refuses where `refusals` says so."""
        with self.store.read() as tx:
            resource = tx.resource(order.resource)
        manifest = json.loads((self.root / "boot" / tree.manifest_name(resource.boot_mac)).read_text())
        assert resource.mode == "idle", "orders about disks are for idle machines"
        refused = self.refusals.get(manifest["disk"]["action"], "")
        with self.store.write("node", "order") as tx:
            tx.set_order(order.id, "failed" if refused else "done", refused)
        if not refused:
            self.worked.append((resource.name, manifest["disk"]))

    def boot(self, names: Sequence[str]) -> None:
        """Has these machines boot, those that are not silent."""
        fakenode.report_boot(self.store, self.config, [name for name in names if name not in self.silent])

    def switched(self, verb: str, names: Sequence[str]) -> None:
        """What follows when the power of machines was switched: they boot, or fall silent."""
        if verb == "off":
            fakenode.report_off(self.store, names)
        else:
            self.boot(names)

    def fakes(self, family: str, host: str) -> dict[str, Any]:
        """The objects of a fake type on a host."""
        path = self.root / f"fake/{family}.{host}.json"
        found: dict[str, Any] = json.loads(path.read_text())["objects"] if path.exists() else {}
        return found

    def files(self) -> dict[str, str]:
        """Everything below the root but the store: what the fakes hold, and the boot tree."""
        skipped = ("openqrm.db", ".lock")
        paths = [path for path in self.root.rglob("*") if path.is_file() and not any(s in path.name for s in skipped)]
        return {str(path.relative_to(self.root)): path.read_text() for path in sorted(paths)}

    def leftovers(self) -> list[str]:
        """What is there and belongs to nothing, or is missing: empty in a data centre at rest."""
        with self.store.read() as tx:
            return [*_loose_rows(tx), *self._loose_things(tx)]

    def _loose_things(self, tx: Any) -> Iterator[str]:
        bound = {row.resource: row for row in tx.assignments()}
        images = {image.name: image for image in tx.images()}
        resources = {resource.name: resource for resource in tx.resources()}
        local = {image.name for image in images.values() if image.deployment in UNHEARD}
        on_disk = {name for name, row in bound.items() if row.image in local}
        granted = {name: row for name, row in bound.items() if images[row.image].deployment != "adopted"}
        grants = {f"{_path(images[row.image])} {client(resources[name])['address']}" for name, row in granted.items()}
        kinds = ("", "_local", "_local_root", "_sanboot", "_sanboot_aoe")
        there = {grant for kind in kinds for grant in self.fakes(f"deployment{kind}", "san1")}
        yield from _differences("grant", there, grants)
        volumes = {f"{LOCATION}/{volume.name}" for volume in tx.volumes()}
        objects = self.fakes("storage", "san1") | self.fakes("storage_file", "san1")
        kept = {key for key, record in objects.items() if record["kind"] == "volume"}
        yield from _differences("volume", kept, volumes)
        possible = {name for resource in resources.values() for name in tree.node_names(resource.boot_mac)}
        wanted = {name for resource in bound for name in tree.node_names(resources[resource].boot_mac)}
        wanted -= {tree.manifest_name(resources[name].boot_mac) for name in on_disk}
        there = {name for name in possible if (self.root / "boot" / name).exists()}
        yield from _differences("boot file", there, wanted)


def _path(image: Image) -> str:
    """Where the image's volume is on its server: storages of block volumes keep files."""
    return f"{LOCATION}/{image.volume}{'.raw' if image.storage == BLOCKS else ''}"


def _differences(what: str, there: set[str], wanted: set[str]) -> Iterator[str]:
    yield from (f"{what} {name} is left over" for name in sorted(there - wanted))
    yield from (f"{what} {name} is missing" for name in sorted(wanted - there))


def _loose_rows(tx: Any) -> Iterator[str]:
    bound = {row.resource for row in tx.assignments()}
    running = {row.appliance for row in tx.assignments()}
    for resource in tx.resources():
        wanted = ("active",) if resource.name in bound else ("idle", "quarantined", "off")
        if resource.state not in wanted or resource.deadline:
            yield f"resource {resource.name} is {resource.state} (deadline {resource.deadline})"
    for appliance in tx.appliances():
        if appliance.state != ("active" if appliance.name in running else "stopped") or appliance.deadline:
            yield f"appliance {appliance.name} is {appliance.state} (deadline {appliance.deadline})"
    yield from (f"order {order.order} to {order.resource} is pending" for order in tx.orders())
    yield from (f"plan {plan.id} ({plan.verb}) is {plan.state}" for plan in tx.plans(["planned", "applying"]))
    yield from (f"volume {volume.name} is pending" for volume in tx.volumes() if volume.parameters.get("pending"))


@dataclass
class Controller:
    """One process of the controller. It is killed at its step number `kill_at`, counted from 0; None: never.

    `steps` names those that it came to.
    """

    center: Center
    kill_at: int | None = None
    steps: list[str] = field(default_factory=list)
    result: changes.Prepared = field(default_factory=lambda: changes.Prepared(0))

    def run(self, verb: str, **arguments: object) -> changes.Prepared:
        """Plans and applies. Raises: OpenqrmError, Killed."""
        with self._time():
            self._step("before the plan")
            self.result = changes.prepare(self.center.datacenter, verb, arguments, owner="", actor="test")
            return self.apply(self.result)

    def go_on(self, prepared: changes.Prepared) -> changes.Prepared:
        """Applies a plan that was resumed, adopted or cancelled. Raises: OpenqrmError, Killed."""
        with self._time():
            return self.apply(prepared)

    def apply(self, prepared: changes.Prepared) -> changes.Prepared:
        """Applies what was planned. Raises: OpenqrmError, Killed."""
        center, number = self.center.datacenter, prepared.plan
        self._step(f"plan {number} is prepared")
        if not number:
            return prepared
        now = prepared
        for turn in range(ROUNDS):
            self._carry_out(number, now.segments)
            self._step(f"round {turn} is done")
            now = settle.settle(center, number, now.number, "test")
            self._step(f"round {turn} is settled")
            if not now.segments:
                break
        settle.outcome(center, number)
        return prepared

    def _step(self, name: str) -> None:
        if self.kill_at == len(self.steps):
            raise Killed(name)
        self.steps.append(name)

    def _carry_out(self, number: int, segments: Sequence[Mapping[str, Any]]) -> None:
        for segment in segments:
            for call in segment["calls"]:
                for host, seq in call["seqs"].items():
                    self._operate(number, host, seq)

    def _operate(self, number: int, host: str, seq: int) -> None:
        center = self.center.datacenter
        with center.store.write("test", "begin") as tx:
            operation, items = journal.begin(tx, number, seq)
        self._step(f"begun: {operation.verb} on {host}")
        if not items:
            return
        if operation.role == NODE:
            journal.perform(center, number, operation, items, "test")
            self._step(f"done: {operation.verb}")
            return
        error = self._call(operation, host, items)
        self._step(f"done, not journalled: {operation.verb} on {host}")
        with center.store.write("test", "end") as tx:
            again = journal.end(tx, number, seq, error, final=error == HUNG)[1]
        self._step(f"journalled: {operation.verb} on {host}")
        if again:
            self._operate(number, host, seq)

    def _call(self, operation: Operation, host: str, items: Sequence[Mapping[str, Any]]) -> str:
        """Has the role's code do its work; returns what failed."""
        role = operation.role.rpartition(".")[2]
        given = [dict(item) for item in items]
        if role == "service_boot":
            try:
                boot_file.perform({"entries": given, "state": operation.verb}, check_mode=False)
            except boot_file.ERRORS as error:
                return str(error)
            return ""
        kind, family = FAKES[role], role.removesuffix("_fake")
        named = kind.objects(None, {"objects": given})
        path = self.center.root / f"fake/{family}.{host}.json"
        verb = kind.VERBS[operation.verb]
        clock = Clock(lambda: None)
        try:
            faults = [{"item": None, "times": None, **fault} for fault in self.center.faults]
            with mock.patch.object(fake, "time", clock):
                result = fake.perform(path, operation.verb, verb, named, faults, check_mode=False)
        except fake.FakeError as error:
            return str(error)
        if clock.now >= fake.HANG_S:
            return HUNG
        if family == "power":
            self.center.switched(operation.verb, [item["name"] for item in result["items"] if item["changed"]])
        return ""

    @contextmanager
    def _time(self) -> Iterator[None]:
        """Waiting takes no time: the machines act, and the clock goes on."""
        clock = Clock(self.center.nodes_act)
        with mock.patch.object(nodes, "time", clock):
            yield


@dataclass
class Clock:
    """Stands for the module `time`."""

    tick: Callable[[], None]
    now: float = 0.0

    def monotonic(self) -> float:
        """The time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Lets time pass, in steps of at least a second."""
        self.tick()
        self.now += max(1.0, seconds)


def _seed(tx: Writer) -> None:
    tx.save(
        [
            KERNEL,
            OTHER_KERNEL,
            Storage(0, "san1", "fake", "san1", LOCATION, "10.78.0.10"),
            Volume(0, "golden", "san1"),
            Image(0, "golden", "san1", "golden", "fake"),
        ]
    )
    tx.set_setting("default_kernel", "default")


class Factory:
    """Makes data centres, each a copy of the first: the store's migrations run once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._made = 0
        template = root / "template"
        (template / "fake").mkdir(parents=True)
        record = {"kind": "volume", "size_mib": 0, "archive": ""}
        state = {"objects": {f"{LOCATION}/golden": record}, "faults_shown": {}}
        (template / "fake/storage.san1.json").write_text(json.dumps(state))
        upgrade(f"sqlite:///{template}/openqrm.db")
        store = open_store(f"sqlite:///{template}/openqrm.db")
        with store.write("test", "seed") as tx:
            _seed(tx)
        store.close()

    @contextmanager
    def center(self) -> Iterator[Center]:
        """A new data centre: a golden image on san1, two kernels, nothing else."""
        self._made += 1
        root = self._root / f"center{self._made}"
        shutil.copytree(self._root / "template", root)
        boot = replace(Config().boot, root=str(root / "boot"))
        deadlines = Deadlines(node_up_s=20, node_down_s=10)
        config = replace(Config(), store=f"sqlite:///{root}/openqrm.db", boot=boot, deadlines=deadlines)
        store = open_store(config.store)
        try:
            yield Center(root, config, store)
        finally:
            store.close()
            shutil.rmtree(root)


@pytest.fixture(scope="module")
def factory() -> Iterator[Factory]:
    """Makes data centres in memory."""
    root = Path(tempfile.mkdtemp(prefix="openqrm-test-", dir=FAST_DIRECTORY))
    yield Factory(root)
    shutil.rmtree(root)
