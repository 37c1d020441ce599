"""`openqrm lab demo`: the main job on a lab, as a sequence of steps over the playbooks of single verbs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from openqrm import lab as labs
from openqrm.cli.image import read_recipe
from openqrm.cli.output import print_json, print_lines, print_table, size
from openqrm.cli.progress import DONE, Progress
from openqrm.cli.session import Session
from openqrm.errors import DeadlineError, OpenqrmError
from openqrm.model import Resource
from openqrm.paths import collection_root

KERNEL_PACKAGE = "linux-image-cloud-amd64"
KERNEL, STORAGE, IMAGE, APPLIANCE = "default", "storage1", "nginx", "web01"
LOCATION = "/srv/openqrm/volumes"
RECIPE = "playbooks/files/recipes/nginx.yml"
POLL_S = 0.5
DISCOVERY_S = 300
PAGE_S = 180
CURL_S = 10


@dataclass(frozen=True)
class Step:
    """One step of the demonstration."""

    title: str
    run: Callable[[], None]


@dataclass
class Demo:
    """The demonstration on one lab. `page` is what the appliance served."""

    session: Session
    name: str
    nodes: int
    keep: bool
    page: str = ""
    times: list[tuple[str, float]] = field(default_factory=list)

    @property
    def directory(self) -> Path:
        """The lab's directory."""
        return labs.lab_dir(self.name)

    def steps(self) -> list[Step]:
        """What is done, in order."""
        machines = "one blank machine" if self.nodes == 1 else f"{self.nodes} blank machines"
        steps = [
            Step("Build the lab: networks, boot services, storage server, BMCs", self._lab_up),
            Step("Add a kernel, which idle machines boot", self._add_kernel),
            Step(f"Power on {machines}: they boot from the network and are discovered", self._discover),
            Step("Say where their BMCs are", self._set_power),
            Step("Add the storage server", self._add_storage),
            Step(f"Build the golden image {IMAGE} and put it on the storage server", self._create_image),
            Step(f"Create the appliance {APPLIANCE}", self._create_appliance),
            Step(f"Start {APPLIANCE}: an idle machine takes it over", self._start),
            Step(f"Read the page that {APPLIANCE} serves", self._read_page),
            Step(f"Stop {APPLIANCE}: the machine is idle again", self._stop),
        ]
        return steps if self.keep else [*steps, Step("Remove the lab", self._lab_down)]

    def _lab_up(self) -> None:
        self.session.run_lab("lab_up", self.name, {"lab_nodes": self.nodes})

    def _lab_down(self) -> None:
        self.session.close()
        self.session.run_lab("lab_down", self.name, {})

    def _add_kernel(self) -> None:
        entry = {"name": KERNEL, "source": "package", "package": KERNEL_PACKAGE, "default": True}
        self.session.run("kernel_add", {"kernels": [entry]})

    def _discover(self) -> None:
        for node in self._lab_nodes():
            labs.power(self.directory, node["name"], "on")
        self._show(self._wait_for_idle(self.nodes))

    def _wait_for_idle(self, wanted: int) -> list[Resource]:
        """The resources, once so many are idle; each is a line of progress when it arrives."""
        deadline = time.monotonic() + DISCOVERY_S
        seen: set[str] = set()
        with Progress(self.session.show_progress) as progress:
            while True:
                found = self._resources()
                for item in (new for new in found if new.name not in seen):
                    progress.line(DONE, f"{item.name} is {item.state}, {item.firmware}, at {item.address}")
                seen |= {item.name for item in found}
                if sum(item.state == "idle" for item in found) >= wanted:
                    return found
                if time.monotonic() > deadline:
                    states = ", ".join(f"{item.name} {item.state}" for item in found) or "none was heard of"
                    raise DeadlineError(f"After {DISCOVERY_S} s not all of {wanted} machines are idle: {states}.")
                time.sleep(POLL_S)

    def _resources(self) -> list[Resource]:
        with self.session.read() as reader:
            return reader.resources()

    def _show(self, found: Sequence[Resource]) -> None:
        if not self.session.show_progress:
            return
        rows = [
            (
                item.name,
                item.state,
                item.cores,
                size(item.memory_mib),
                size(item.disk_mib),
                len(item.nics),
                item.firmware,
                item.address,
            )
            for item in found
        ]
        print_table(("MACHINE", "STATE", "CORES", "MEMORY", "DISK", "NICS", "FIRMWARE", "ADDRESS"), rows, "")

    def _set_power(self) -> None:
        lab = labs.read_lab(self.directory)
        nodes = {node["macs"][0]: node for node in lab["nodes"]}
        entries = [
            {
                "name": item.name,
                "power_driver": "redfish",
                "power": {"address": lab["bmc_url"], "system": nodes[item.boot_mac]["uuid"]},
                "parameters": {"console_log": nodes[item.boot_mac]["console"]},
            }
            for item in self._resources()
            if item.boot_mac in nodes
        ]
        self.session.run("resource_create", {"resources": entries})

    def _add_storage(self) -> None:
        storage = labs.read_lab(self.directory)["storage"]
        entry = {
            "name": STORAGE,
            "type": "directory",
            "host": storage["host"],
            "location": LOCATION,
            "address": storage["addresses"][-1],
        }
        self.session.run("storage_create", {"storages": [entry]})

    def _create_image(self) -> None:
        recipe = read_recipe(collection_root() / RECIPE)
        entry = {"name": IMAGE, "storage": STORAGE, "deployment": "nfs", "recipe": recipe}
        self.session.run("image_create", {"images": [entry]})

    def _create_appliance(self) -> None:
        self.session.run("appliance_create", {"appliances": [{"name": APPLIANCE, "kernel": KERNEL, "image": IMAGE}]})

    def _start(self) -> None:
        self.session.run("appliance_start", {"appliances": [APPLIANCE]})

    def _read_page(self) -> None:
        with self.session.read() as reader:
            resource = reader.resource(reader.assignments(appliances=[APPLIANCE])[0].resource)
        self.page = fetch_page(labs.shell_command(self.directory), f"http://{resource.address}/")
        if self.session.show_progress:
            click.echo(f"http://{resource.address}/ on {resource.name} says:")
            print_lines(f"    {line}" for line in self.page.splitlines())

    def _stop(self) -> None:
        self.session.run("appliance_stop", {"appliances": [APPLIANCE]})
        self._show(self._wait_for_idle(self.nodes))

    def _lab_nodes(self) -> list[dict[str, Any]]:
        nodes: list[dict[str, Any]] = labs.read_lab(self.directory)["nodes"]
        return nodes


def fetch_page(prefix: Sequence[str], url: str) -> str:
    """The body of the page, fetched by curl behind `prefix`; tried until it answers. Raises: DeadlineError."""
    deadline = time.monotonic() + PAGE_S
    while True:
        done = subprocess.run(
            [*prefix, "curl", "--fail", "--silent", "--show-error", "--max-time", str(CURL_S), url],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode == 0:
            return done.stdout
        if time.monotonic() > deadline:
            raise DeadlineError(f"{url} does not answer after {PAGE_S} s: {done.stderr.strip()}.")
        time.sleep(POLL_S)


def run_demo(session: Session, name: str, *, nodes: int, keep: bool) -> None:
    """Runs the demonstration on the lab `name` and shows how long each step took.

    Raises: OpenqrmError that names the step, and where the lab's logs and consoles are; the lab is left for a look.
    """
    demo = Demo(session.for_lab(name), name, nodes, keep)
    steps = demo.steps()
    try:
        for number, step in enumerate(steps, start=1):
            with _timed(demo, f"{number}/{len(steps)}", step):
                step.run()
    finally:
        demo.session.close()
    _report(demo)


@contextmanager
def _timed(demo: Demo, number: str, step: Step) -> Iterator[None]:
    if demo.session.show_progress:
        click.echo(click.style(f"[{number}] {step.title}", bold=True))
    begun = time.monotonic()
    try:
        yield
    except OpenqrmError as error:
        error.message = f"Step {number} ({step.title}) failed: {error.message}"
        error.remedy = (
            f"{error.remedy} The lab is left as it is. Logs: {demo.directory}/log; consoles:"
            f" {demo.directory}/consoles; events: `openqrm --lab {demo.name} event list`;"
            f" remove it: `openqrm lab down {demo.name}`."
        ).strip()
        raise
    demo.times.append((step.title, time.monotonic() - begun))


def _report(demo: Demo) -> None:
    total = sum(seconds for _, seconds in demo.times)
    if demo.session.json:
        print_json(
            {
                "lab": demo.name,
                "page": demo.page,
                "total_s": round(total, 1),
                "steps": [{"step": title, "seconds": round(seconds, 1)} for title, seconds in demo.times],
            }
        )
        return
    click.echo()
    rows = [*((title, f"{seconds:6.1f}") for title, seconds in demo.times), ("Total", f"{total:6.1f}")]
    print_table(("STEP", "SECONDS"), rows, "")
    if demo.keep:
        demo.session.say(
            f"The lab is left running. Try: openqrm --lab {demo.name} resource list;"
            f" remove it with: openqrm lab down {demo.name}"
        )
