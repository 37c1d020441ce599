"""A lab with everything that the main job needs, driven by the command line as a user does, and looked at."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import shlex
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import yaml
from openqrm import lab as labs
from openqrm.boot.manifest import sha256
from openqrm.config import load_config
from openqrm.datacenter import Datacenter
from openqrm.model import Resource
from openqrm.planning.recipes import check_recipe

REPOSITORY = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
RECIPE = REPOSITORY / "playbooks/files/recipes/nginx.yml"
KERNEL_PACKAGE = "linux-image-cloud-amd64"
KERNEL, STORAGE, IMAGE = "default", "storage1", "nginx"
LOCATION = "/srv/openqrm/volumes"
WAIT_S = 300
POLL_S = 0.2
T = TypeVar("T")


@dataclass(frozen=True)
class Done:
    """What a command line said. `seconds` is the wall time it took."""

    code: int
    out: str
    err: str
    seconds: float


class LabSession:
    """One lab, which this session brings up and takes down."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.directory = labs.lab_dir(name)

    # Life

    def __enter__(self) -> LabSession:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Removes the lab; where building it failed, after saying what its machines and services said."""
        if error:
            print(self.diagnostics())
        self.down()

    def up(self, nodes: int, *firmware: str) -> None:
        """Builds the lab with blank machines that are off; `firmware` in turn, by default BIOS and UEFI."""
        chosen = [word for name in firmware for word in ("--firmware", name)]
        self.openqrm("lab", "up", self.name, "--nodes", str(nodes), *chosen, lab=False)

    def play_up(self, variables: dict[str, object]) -> None:
        """Builds the lab by the playbook, with options of the role that the command line does not have."""
        argv = [str(BIN / "ansible-playbook"), "openqrm.datacenter.lab_up"]
        argv += ["-e", json.dumps({"lab_name": self.name, **variables})]
        done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def down(self) -> None:
        """Removes the lab."""
        if "center" in self.__dict__:
            self.center.close()
        self.openqrm("lab", "down", self.name, "--yes", lab=False)

    def prepare(self, *names: str) -> None:
        """From the blank lab to idle machines (those of these names, else all), a storage server and a golden image."""
        nodes = [node for node in self.nodes if not names or node["name"] in names]
        self.openqrm("kernel", "add", KERNEL, "--package", KERNEL_PACKAGE, "--default")
        for node in nodes:
            self.openqrm("lab", "power", node["name"], "on")
        address = self.info["storage"]["addresses"][-1]
        storage = ["--type", "directory", "--host", self.info["storage"]["host"], "--location", LOCATION]
        self.openqrm("storage", "add", STORAGE, *storage, "--address", address)
        self.openqrm("image", "create", IMAGE, "--storage", STORAGE, "--deployment", "nfs", "--recipe", str(RECIPE))
        self.wait("the machines to be idle", lambda: self.states() == ["idle"] * len(nodes), 2 * WAIT_S)
        for node in nodes:
            power = [f"address={self.info['bmc_url']}", f"system={node['uuid']}"]
            options = ["--power-driver", "redfish", *(word for pair in power for word in ("--power", pair))]
            console = ["--parameter", f"console_log={node['console']}"]
            self.openqrm("resource", "set", self.resource(node["name"]).name, *options, *console)

    def states(self) -> list[str]:
        """The states of all resources."""
        with self.center.store.read() as tx:
            return [row.state for row in tx.resources()]

    # What is known of the lab

    @cached_property
    def info(self) -> dict[str, Any]:
        """The content of the lab's `lab.json`."""
        return labs.read_lab(self.directory)

    @property
    def archive(self) -> Path:
        """The archive that the golden image was made of."""
        recipe = json.dumps(check_recipe("recipe", yaml.safe_load(RECIPE.read_text())), sort_keys=True)
        return Path(self.center.config.cache_dir, "archives", f"{sha256(recipe)}.tar.zst")

    @property
    def nodes(self) -> list[dict[str, Any]]:
        """The lab's machines, as `lab.json` says."""
        nodes: list[dict[str, Any]] = self.info["nodes"]
        return nodes

    @cached_property
    def center(self) -> Datacenter:
        """The lab's data centre, for looking into its store."""
        return Datacenter.open(load_config(self.directory / "openqrm.yml"))

    def resource(self, node: str) -> Resource:
        """The resource that the store has for a machine of the lab."""
        mac = next(item["macs"][0] for item in self.nodes if item["name"] == node)
        with self.center.store.read() as tx:
            found = tx.resource_by_mac(mac)
        assert found is not None, f"{node} ({mac}) was not discovered"
        return found

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """The rows of all tables, without what each heartbeat changes."""
        with contextlib.closing(sqlite3.connect(f"file:{self.directory}/openqrm.db?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            names = [row["name"] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            return {name: [_steady(row) for row in database.execute(f'SELECT * FROM "{name}"')] for name in names}  # noqa: S608

    def boot_tree(self) -> dict[str, tuple[int, int]]:
        """The files of the boot tree with their size and time of change."""
        root = self.directory / "boot"
        files = [path for path in root.rglob("*") if path.is_file()]
        return {str(path.relative_to(root)): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}

    # Acting

    def openqrm(self, *words: str, code: int = 0, lab: bool = True) -> Done:
        """Runs the command line on this lab; it must end with this exit code."""
        with self.running(*words, lab=lab) as process:
            begun = time.monotonic()
            out, err = process.communicate()
        done = Done(process.returncode, out, err, time.monotonic() - begun)
        assert done.code == code, f"openqrm {shlex.join(words)} ended with {done.code}, not {code}:\n{out}\n{err}"
        return done

    @contextlib.contextmanager
    def running(self, *words: str, lab: bool = True) -> Iterator[subprocess.Popen[str]]:
        """The command line while it runs; it is ended if the block ends by an error."""
        argv = [str(BIN / "openqrm"), *(["--lab", self.name] if lab else []), *words]
        process = subprocess.Popen(
            argv, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
        )
        try:
            yield process
        except BaseException:
            process.terminate()
            process.communicate()
            raise

    def json(self, *words: str) -> Any:
        """What the command line answers as JSON."""
        return json.loads(self.openqrm(*words, "--json").out)

    def playbook(self, name: str, variables: dict[str, object]) -> str:
        """Runs a playbook of the collection (or one given by its path) as an operator does, with the lab's inventory.

        Returns its output.
        """
        playbook = name if "/" in name else f"openqrm.datacenter.{name}"
        argv = [str(BIN / "ansible-playbook"), playbook, "-e", json.dumps(variables)]
        argv += ["-i", str(self.directory / "inventory")]
        settings = os.environ | {"OPENQRM_CONFIG": str(self.directory / "openqrm.yml")}
        done = subprocess.run(argv, cwd=REPOSITORY, env=settings, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    # Looking from outside

    def inside(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """A command's outcome inside the lab's network."""
        command = [*labs.shell_command(self.directory), *argv]
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)

    def page(self, address: str, path: str = "/") -> str:
        """What a machine serves by HTTP now; empty if it does not answer."""
        done = self.inside("curl", "--fail", "--silent", "--max-time", "10", f"http://{address}{path}")
        return done.stdout if done.returncode == 0 else ""

    def on_storage(self, *argv: str) -> str:
        """What a command on the storage server prints; it must succeed."""
        control = ["-o", "ControlMaster=auto", "-o", "ControlPersist=60", "-o", f"ControlPath={self.directory}/run/e2e"]
        ssh = ["ssh", "-F", str(self.directory / "ssh/config"), *control, "lab-storage", shlex.join(argv)]
        done = subprocess.run(ssh, capture_output=True, text=True, errors="replace", check=False)
        assert done.returncode == 0, f"storage server: {shlex.join(argv)}: {done.stdout}{done.stderr}"
        return done.stdout

    def exports(self) -> dict[str, dict[str, set[str]]]:
        """What the storage server's kernel exports: path -> client -> options."""
        found: dict[str, dict[str, set[str]]] = {}
        words = self.on_storage("exportfs", "-v").split()
        for path, grant in zip(words[::2], words[1::2], strict=True):
            client, _, options = grant.rstrip(")").partition("(")
            found.setdefault(path, {})[client] = set(options.split(","))
        return found

    def nfs_clients(self) -> set[str]:
        """The addresses of the NFS clients that the storage server's kernel holds state for."""
        # A server without nfsd fails here. That no client is left, or that one goes while it is read, is no failure.
        text = self.on_storage("sh", "-c", "cd /proc/fs/nfsd/clients && { cat */info 2>/dev/null || true; }")
        values = [line.split('"')[1] for line in text.splitlines() if line.startswith("address:")]
        return {value.rpartition(":")[0] for value in values}

    def console(self, node: str) -> Path:
        """The log of a machine's serial console."""
        return self.directory / "consoles" / f"{node}.log"

    def wait(self, what: str, reached: Callable[[], T], seconds: float = WAIT_S) -> T:
        """What `reached` returns, once that is true in Python's sense; else the test fails with `what`."""
        deadline = time.monotonic() + seconds
        while not (found := reached()):
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
            time.sleep(POLL_S)
        return found

    def diagnostics(self) -> str:
        """The ends of the lab's consoles and logs, for a test that failed."""
        files = [*sorted(self.directory.glob("consoles/*.log")), *sorted(self.directory.glob("log/*.log"))]
        parts = []
        for path in files:
            text = path.read_bytes()[-6000:].decode(errors="replace")
            lines = [line for line in text.splitlines() if line.strip()][-40:]
            parts.append(f"--- {path}\n" + "\n".join(lines))
        return "\n".join(parts)


def storage_address(resource: Resource) -> str:
    """The address of a resource on the storage network, without prefix length."""
    value = next(nic.address for nic in resource.nics if nic.role == "storage")
    return str(ipaddress.ip_interface(value).ip)


def _steady(row: sqlite3.Row) -> dict[str, Any]:
    return {key: row[key] for key in row.keys() if key != "last_seen"}  # noqa: SIM118 - a row is no mapping
