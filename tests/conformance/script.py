"""Scripts of what the verbs of a type are asked, run on its server by one playbook, and those of storage types."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openqrm.types import TypeInfo

from tests.support.roles import LOCALHOST, Command, Host, Outcome, Step, run

# What is written into a volume, and where in a block volume: beyond what identifies file systems.
MARK_BYTES, MARK_BLOCK = 512, 4096
TIMEOUT_S = 1800
Case = Generator[None, None, None]


@dataclass(frozen=True)
class Target:
    """A storage type at a location of a server; `presents` of its volumes; `lacks`: the capabilities that the type has
    and this location cannot have, as a file system without reflinks; `variables` of the role."""

    info: TypeInfo
    location: str
    presents: str
    host: Host = LOCALHOST
    lacks: frozenset[str] = frozenset()
    variables: Mapping[str, Any] = field(default_factory=dict)
    size_mib: int = 64

    def path(self, volume: Mapping[str, Any]) -> str:
        """Where the type says that a volume is."""
        return self.info.volume_path[self.presents].format(location=self.location, volume=volume["name"])

    def can(self, capability: str) -> bool:
        """Whether volumes can be cloned, snapshotted or resized here."""
        return capability in self.info.capabilities and capability not in self.lacks


@dataclass
class Later:
    """The outcome of a step, known once the script has run."""

    outcome: Outcome | None = None

    @property
    def known(self) -> Outcome:
        """The outcome."""
        assert self.outcome is not None, "the script has not run"
        return self.outcome

    @property
    def failed(self) -> str:
        """The message that the verb failed with, empty where it did not."""
        return self.known.failed

    @property
    def changed(self) -> bool:
        """Whether the verb changed something; it must not have failed."""
        assert not self.failed
        return self.known.changed

    @property
    def items(self) -> list[dict[str, Any]]:
        """The verb's items; it must not have failed."""
        assert not self.failed
        return self.known.items

    @property
    def text(self) -> str:
        """What a command printed, without what fills it up."""
        return str(self.known.result.get("stdout", "")).strip(" \0")

    @property
    def worked(self) -> bool:
        """Whether a command ended well."""
        return self.known.result.get("rc") == 0


class Steps:
    """Collects steps. `directory` is for files of the controller."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.steps: list[tuple[Step | Command, Later]] = []

    def add(self, step: Step | Command) -> Later:
        """One more step."""
        later = Later()
        self.steps.append((step, later))
        return later

    def clean(self) -> None:
        """Add the steps that take back what the others made."""


class Script(Steps):
    """Collects the steps of one case, whose volumes have names of its own."""

    def __init__(self, target: Target, prefix: str, directory: Path) -> None:
        super().__init__(directory)
        self.target = target
        self.made: list[dict[str, Any]] = []
        self._prefix = prefix

    def volumes(self, *names: str) -> list[dict[str, Any]]:
        """Volumes of these names, with the size that new ones get."""
        return [self.volume(name) for name in names]

    def volume(self, name: str, **more: Any) -> dict[str, Any]:
        """One such volume; it is removed in the end."""
        made = {"name": self._prefix + name, "location": self.target.location} | self._presents()
        self.made.append(made)
        return made | {"size_mib": self.target.size_mib} | more

    def odd(self, **values: Any) -> dict[str, Any]:
        """An item as given, which is no volume of this case."""
        return {"location": self.target.location, "size_mib": self.target.size_mib} | self._presents() | values

    def _presents(self) -> dict[str, str]:
        return {"presents": self.target.presents} if len(self.target.info.presents) > 1 else {}

    def verb(self, verb: str, *volumes: Mapping[str, Any], check: bool = False) -> Later:
        """Have the role do `volume_<verb>` with the volumes; each gives the keys that the verb takes."""
        keys = {"name", "location", "presents", *KEYS[verb]}
        items = [{key: value for key, value in volume.items() if key in keys} for volume in volumes]
        return self.add(
            Step(self.target.info.role, f"volume_{verb}", {**self.target.variables, "storage_volumes": items}, check)
        )

    def prepare(self, check: bool = False) -> Later:
        """Have the role prepare the location."""
        return self._locations("prepare", check)

    def list(self, check: bool = False) -> Later:
        """Have the role list the volumes of the location."""
        return self._locations("volume_list", check)

    def space(self, check: bool = False) -> Later:
        """Have the role tell how full the location is."""
        return self._locations("space", check)

    def _locations(self, verb: str, check: bool) -> Later:
        variables = {**self.target.variables, "storage_locations": [{"location": self.target.location}]}
        return self.add(Step(self.target.info.role, verb, variables, check))

    def write(self, volume: Mapping[str, Any], text: str) -> Later:
        """Write a short text into the volume, over what was written before."""
        if self.target.presents == "block":
            where = [f"of={self.target.path(volume)}", f"seek={MARK_BLOCK}", "conv=notrunc,nocreat,fsync"]
        else:
            where = [f"of={self.target.path(volume)}/conformance", "conv=notrunc,fsync"]
        return self.add(Command(["dd", f"bs={MARK_BYTES}", "status=none", *where], text.ljust(MARK_BYTES)))

    def read(self, volume: Mapping[str, Any], name: str = "conformance") -> Later:
        """Read what was written into the volume, or another of its files."""
        if self.target.presents == "block":
            where = [f"if={self.target.path(volume)}", f"skip={MARK_BLOCK}"]
        else:
            where = [f"if={self.target.path(volume)}/{name}"]
        return self.add(Command(["dd", f"bs={MARK_BYTES}", "count=1", "status=none", *where]))

    def size(self, volume: Mapping[str, Any]) -> Later:
        """Read the size in bytes of a block volume."""
        return self.add(Command(["python3", "-c", SIZE, self.target.path(volume)]))

    def exists(self, volume: Mapping[str, Any]) -> Later:
        """Look whether there is something where the volume would be; by `worked`."""
        return self.add(Command(["test", "-e", self.target.path(volume)]))

    def clean(self) -> None:
        """Remove the volumes, clones before their sources."""
        for volume in reversed(self.made):
            self.verb("remove", volume)

    def named(self, listing: Later) -> dict[str, dict[str, Any]]:
        """The volumes of this case in a listing, by their names without the prefix."""
        return {
            item["name"].removeprefix(self._prefix): item
            for item in listing.items
            if item["name"].startswith(self._prefix)
        }


KEYS = {
    "create": ("size_mib", "archive"),
    "clone": ("source",),
    "snapshot": ("source",),
    "resize": ("size_mib",),
    "remove": (),
}
SIZE = "import os, sys; print(os.lseek(os.open(sys.argv[1], os.O_RDONLY), 0, os.SEEK_END))"


def play(scripts: Sequence[Steps], directory: Path, host: Host) -> None:
    """Run the scripts, each after the one before it, then what cleans up after them, by one playbook."""
    counts = [len(script.steps) for script in scripts]
    for script in scripts:
        script.clean()
    pairs = list(zip(scripts, counts, strict=True))
    steps = [step for script, count in pairs for step in script.steps[:count]]
    steps += [step for script, count in pairs for step in script.steps[count:]]
    outcomes = run(
        directory,
        [step for step, _later in steps],
        {},
        collections=os.environ.get("ANSIBLE_COLLECTIONS_PATH", ""),
        host=host,
        timeout_s=TIMEOUT_S,
    )
    for (_step, later), outcome in zip(steps, outcomes, strict=True):
        later.outcome = outcome


class Conformance:
    """The outcomes of all cases at one target, which are run by one playbook when the first is asked for.

    `begin` has the cases write their scripts; `host` is the target's.
    """

    def __init__(self, begin: Callable[[], tuple[dict[str, Case], list[Steps]]], host: Host, directory: Path) -> None:
        self._begin, self._host, self._directory = begin, host, directory
        self._running: dict[str, Case] = {}

    def verify(self, name: str) -> None:
        """Raise AssertionError unless the target does what the case demands. One that it cannot do has no say."""
        if not self._running:
            self._running, scripts = self._begin()
            play(scripts, self._directory, self._host)
        with contextlib.suppress(StopIteration):
            next(self._running.get(name, iter(())))
