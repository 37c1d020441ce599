"""What a lab is doing, and its machines' power and consoles; the lab itself is built by `playbooks/lab_up.yml`."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from openqrm.errors import ApplyError, ConfigError, InvalidValueError, NotFoundError, StateError

LABS = Path("/var/lib/openqrm/labs")
NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")
ACTIONS = ("on", "off", "reset", "status")
TIMEOUT_S = 30


def lab_dir(name: str, labs: Path = LABS) -> Path:
    """The directory of the lab `name`, whether or not there is one.

    Raises: InvalidValueError.
    """
    if not NAME.fullmatch(name):
        raise InvalidValueError(
            f"Lab name {name!r} is not usable.",
            remedy="Use up to 20 lower-case letters, digits and dashes, a letter first.",
        )
    return labs / name


def lab_names(labs: Path = LABS) -> list[str]:
    """The names of the labs on this machine, sorted; half-built ones too."""
    return sorted(path.parent.name for path in labs.glob("*/lab.json"))


def require_root() -> None:
    """Raises: StateError for any other user: labs have network namespaces and virtual machines of the machine."""
    if os.geteuid():
        raise StateError(
            "Labs need root: they make network namespaces and virtual machines.",
            remedy='Run it as root, or as `sudo "$(command -v openqrm)" lab ...`.',
        )


def read_lab(directory: Path) -> dict[str, Any]:
    """What the lab was built as: the content of its `lab.json` (roles/lab/templates/lab.json.j2 shows the keys).

    Raises: StateError for an ordinary user, NotFoundError, ConfigError.
    """
    require_root()
    path = directory / "lab.json"
    try:
        lab: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError("Lab", directory.name, known=lab_names(directory.parent)) from error
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}.", remedy=f"Run `openqrm lab up {directory.name}` again."
        ) from error
    return lab


def lab_status(directory: Path) -> dict[str, Any]:
    """What the lab is doing now.

    Keys: `name`, `dir`, `config`, `namespace`, `namespace_present`, `addresses` (bridge -> addresses of this machine in
    it), `bmc_url`, `services` (list of `name`, `pid`, `alive`, `log`), `storage` and `nodes`: each machine with `name`,
    `firmware`, `macs`, `addresses`, `power` (on, off or unknown), `console` (path of its log) and, for nodes, `bmc`
    (URL of its Redfish system).

    Raises: NotFoundError, ConfigError.
    """
    lab = read_lab(directory)
    running = _running(lab)
    return {
        **{key: lab[key] for key in ("name", "dir", "config", "namespace", "bmc_url")},
        "namespace_present": Path("/run/netns", lab["namespace"]).exists(),
        "addresses": {bridge["name"]: bridge["addresses"] for bridge in lab["bridges"]},
        "services": services(directory),
        "storage": _machine(lab["storage"], running),
        "nodes": [_machine(node, running) for node in lab["nodes"]],
    }


def services(directory: Path) -> list[dict[str, Any]]:
    """The lab's daemons: `name`, `pid`, `alive` and `log`, from the notes in its directory `run/`."""
    found = []
    for path in sorted(directory.glob("run/*.process")):
        pid, started = _noted(path)
        alive = pid is not None and _start_time(pid) == started
        log = str(directory / "log" / f"{path.stem}.log")
        found.append({"name": path.stem, "pid": pid, "alive": alive, "log": log})
    return found


def machines(lab: dict[str, Any]) -> list[dict[str, Any]]:
    """The lab's virtual machines: the storage server, then the nodes."""
    return [lab["storage"], *lab["nodes"]]


def console_command(directory: Path, node: str) -> list[str]:
    """The command that connects a terminal to the machine's serial console (Ctrl-] leaves it).

    Raises: NotFoundError, ConfigError.
    """
    lab = read_lab(directory)
    return ["virsh", "--connect", lab["libvirt_uri"], "console", "--force", _domain(lab, node)]


def shell_command(directory: Path) -> list[str]:
    """The prefix that runs a command inside the lab's network.

    Raises: NotFoundError, ConfigError.
    """
    return ["ip", "netns", "exec", read_lab(directory)["namespace"]]


def power(directory: Path, node: str, action: str, *, check: bool = False) -> str:
    """The machine's power, `on` or `off`, after the action: `on`, `off` (at once), `reset` or `status`.

    With `check` the action is looked at and not carried out.

    Raises: InvalidValueError, NotFoundError, ConfigError, ApplyError, StateError (reset of a machine that is off).
    """
    if action not in ACTIONS:
        raise InvalidValueError(f"Power action {action!r} is not known.", remedy=f"Use one of {', '.join(ACTIONS)}.")
    lab = read_lab(directory)
    domain = _domain(lab, node)
    command = _power_command(node, action, domain in _virsh(lab, "list", "--name", "--state-running").split())
    if command and not check:
        _virsh(lab, command, domain)
    return "on" if domain in _virsh(lab, "list", "--name", "--state-running").split() else "off"


def _power_command(node: str, action: str, running: bool) -> str:
    """The virsh command for a power action; empty when there is nothing to do."""
    if action == "reset" and not running:
        raise StateError(f"{node} is off: it cannot be reset.", remedy=f"Run `openqrm lab power {node} on`.")
    commands = {("on", False): "start", ("off", True): "destroy", ("reset", True): "reset"}
    return commands.get((action, running), "")


def _domain(lab: dict[str, Any], node: str) -> str:
    known = [str(machine["name"]) for machine in machines(lab)]
    if node not in known:
        raise NotFoundError("Lab machine", node, known=known)
    return node


def _machine(machine: dict[str, Any], running: set[str] | None) -> dict[str, Any]:
    """A machine's description with its power; `running` None: libvirt does not answer."""
    power_state = "unknown" if running is None else "on" if machine["name"] in running else "off"
    shown = ("name", "firmware", "macs", "addresses", "console", "bmc")
    return {**{key: machine[key] for key in shown if key in machine}, "power": power_state}


def _running(lab: dict[str, Any]) -> set[str] | None:
    """The names of the running machines; None when the lab's libvirt does not answer."""
    try:
        return set(_virsh(lab, "list", "--name", "--state-running").split())
    except ApplyError:
        return None


def _virsh(lab: dict[str, Any], *arguments: str) -> str:
    argv = ["virsh", "--quiet", "--connect", lab["libvirt_uri"], *arguments]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env={**os.environ, "LC_ALL": "C"}
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ApplyError(f"virsh does not run: {error}.", remedy="Install libvirt-clients.") from error
    if done.returncode:
        raise ApplyError(
            f"Lab {lab['name']}: virsh {' '.join(arguments)}: {done.stderr.strip()}",
            remedy=f"Run `openqrm lab up {lab['name']}` again, and see {lab['dir']}/log/libvirtd.log.",
        )
    return done.stdout


def _noted(path: Path) -> tuple[int | None, int]:
    """The process id and start time that a file notes; (None, 0) when it notes none."""
    fields = path.read_text(encoding="utf-8").split()
    if len(fields) != 2 or not all(field.isdigit() for field in fields):
        return None, 0
    return int(fields[0]), int(fields[1])


def _start_time(pid: int) -> int | None:
    """When the process was started, in clock ticks since boot; None when it does not run. Source: proc(5)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])
