"""What the benchmarks share: pairs measured in turn, memory of a process tree, verdicts, data centres as they were."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import yaml
from openqrm.config import Config
from openqrm.runner import environment

from tests.support.center import make_center

BIN = Path(sys.executable).parent
# The exit code for a bar that is not met; 1 is a benchmark that broke.
NOT_MET = 3
SAMPLE_S = 0.01
Measure = Callable[[], float]


@dataclass(frozen=True)
class Pair:
    """What was measured, and what it is measured against, in one round."""

    value: float
    base: float

    @property
    def ratio(self) -> float:
        """The one in terms of the other."""
        return self.value / self.base


def pairs(rounds: int, value: Measure, base: Measure) -> list[Pair]:
    """Both in each round; who is first changes, so that what drifts during a round favours neither."""
    found = []
    for number in range(rounds):
        if number % 2:
            against = base()
            found.append(Pair(value(), against))
        else:
            found.append(Pair(value(), base()))
    return found


def judge(what: str, found: Sequence[Pair], *, bar: float, unit: str = "s", at_least: bool = False) -> bool:
    """Prints medians, ratio and verdict, and returns whether the median ratio keeps the bar."""
    value, base = (statistics.median(getattr(pair, name) for pair in found) for name in ("value", "base"))
    ratios = [pair.ratio for pair in found]
    ratio = statistics.median(ratios)
    met = ratio >= bar if at_least else ratio <= bar
    print(
        f"{what}: {value:.4g} {unit} against {base:.4g} {unit}, ratio {ratio:.3f} ({min(ratios):.3f} to"
        f" {max(ratios):.3f}, {len(found)} rounds), bar {'>=' if at_least else '<='} {bar:g}: {verdict(met)}",
        flush=True,
    )
    return met


def verdict(met: bool) -> str:
    """The word for it."""
    return "met" if met else "NOT MET"


def finish(*met: bool) -> NoReturn:
    """Ends the benchmark with exit code 0 if all bars are met, else NOT_MET."""
    sys.exit(0 if all(met) else NOT_MET)


def run(command: Sequence[str], settings: Mapping[str, str]) -> None:
    """Runs a command, which must succeed; what it printed is shown if it does not."""
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")


def seconds(command: Sequence[str], settings: Mapping[str, str]) -> float:
    """Wall seconds of a command."""
    begun = time.perf_counter()
    run(command, settings)
    return time.perf_counter() - begun


def peak_mib(command: Sequence[str], settings: Mapping[str, str]) -> float:
    """The most memory that the command and its descendants have at one time, as sampled; shared pages count once."""
    peak = 0
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=os.environ | settings, stdout=output, stderr=output)
        while process.poll() is None:
            peak = max(peak, sum(proportional_kib(number) for number in tree(process.pid)))
            time.sleep(SAMPLE_S)
        if process.returncode:
            output.seek(0)
            raise RuntimeError(f"{' '.join(command[:4])} ended with {process.returncode}:\n{output.read().decode()}")
    return peak / 1024


def tree(process: int) -> list[int]:
    """The process and its descendants."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended
        parents.setdefault(parent, []).append(int(path.parent.name))
    found = [process]
    for number in found:
        found += parents.get(number, [])
    return found


def proportional_kib(process: int) -> int:
    """The process's share of memory (PSS); 0 for one that has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


class Template:
    """A data centre of simulated parts that is put back as it was before each measurement.

    Its appliances are `web0`, `web1` ...; their golden images are on `storages` servers, in turn.
    """

    def __init__(self, root: Path, *, resources: int, appliances: int, storages: int = 1) -> None:
        root.mkdir()
        center = make_center(root)
        settings = yaml.safe_load(center.config.path.read_text(encoding="utf-8"))
        settings["deadlines"]["node_up_s"] = 3600  # no machine is to be late because this one is slow
        settings["deadlines"]["lease_s"] = 7200
        center.config.path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        center.add_nodes(resources)
        center.add_appliances([f"web{number}" for number in range(appliances)], storages=storages)
        center.store.close()
        self.config: Config = center.config
        self._root, self._saved = root, root.with_suffix(".saved")
        shutil.copytree(root, self._saved)

    @property
    def settings(self) -> dict[str, str]:
        """The environment of commands that work on it."""
        return environment(self.config)

    def restored(self) -> Template:
        """The data centre as it was made."""
        shutil.rmtree(self._root)
        shutil.copytree(self._saved, self._root)
        return self

    def start(self, measure: Callable[[Sequence[str], Mapping[str, str]], float], *which: str) -> float:
        """What one start of these appliances (names, or `--all`) takes."""
        return measure([str(BIN / "openqrm"), "appliance", "start", *which], self.restored().settings)
