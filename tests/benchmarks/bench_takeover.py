"""Take-over in place against the same start forced through reset and PXE: from the command to the node's init.

Run: PYTHONPATH=. python tests/benchmarks/bench_takeover.py [PAIRS]. Needs root: it builds a lab with one BIOS node,
starts an appliance both ways in turn, and removes the lab. The clock starts with the command line `openqrm appliance
start` and ends when the node's console says that init starts, right before switch_root: the same place for both ways.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.measuring import NOT_MET
from tests.support.lab_session import IMAGE, LabSession

NAME = "bench-takeover"
APPLIANCE = "web01"
INIT = f"starting init of {APPLIANCE}, member 0".encode()
WANTED = 0.25
POLL_S = 0.02


@dataclass(frozen=True)
class Times:
    """Seconds from the command's start to the node's init, and to the command's end (the service is up)."""

    init_s: float
    up_s: float


def times_of(lab: LabSession, boot: str) -> Times:
    """Starts the appliance that way, stops it again, and returns the start's times."""
    console = lab.console(lab.nodes[0]["name"])
    before = console.stat().st_size
    begun = time.monotonic()
    init_s = 0.0
    with lab.running("appliance", "start", APPLIANCE, "--boot", boot) as process:
        while process.poll() is None:
            if not init_s and INIT in new_text(console, before):
                init_s = time.monotonic() - begun
            time.sleep(POLL_S)
        up_s = time.monotonic() - begun
        out, err = process.communicate()
    if process.returncode or not init_s:
        raise SystemExit(
            f"start with --boot {boot} ended with {process.returncode}:\n{out}\n{err}\n{lab.diagnostics()}"
        )
    lab.openqrm("appliance", "stop", APPLIANCE)
    return Times(init_s, up_s)


def new_text(console: Path, before: int) -> bytes:
    """What the console log has gained."""
    with console.open("rb") as log:
        log.seek(before)
        return log.read()


def measure(lab: LabSession, pairs: int) -> list[tuple[Times, Times]]:
    """The pairs, in place and by reset; each is printed."""
    lab.openqrm("appliance", "create", APPLIANCE, "--image", IMAGE)
    times_of(lab, "in_place")  # makes the clone, warms the caches
    found = []
    for number in range(1, pairs + 1):
        pair = (times_of(lab, "in_place"), times_of(lab, "reset"))
        found.append(pair)
        print(
            f"pair {number}: in place {pair[0].init_s:.1f} s to init, {pair[0].up_s:.1f} s to service;"
            f" reset {pair[1].init_s:.1f} s to init, {pair[1].up_s:.1f} s to service",
            flush=True,
        )
    return found


def main() -> None:
    """Measure and print."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with LabSession(NAME) as lab:
        lab.up(nodes=1)
        lab.prepare()
        found = measure(lab, pairs)
    ratios = [in_place.init_s / reset.init_s for in_place, reset in found]
    print(f"in place, command to init: median {statistics.median(row[0].init_s for row in found):.1f} s")
    print(f"reset,    command to init: median {statistics.median(row[1].init_s for row in found):.1f} s")
    ratio = statistics.median(ratios)
    print(f"ratio: median {ratio:.3f} (min {min(ratios):.3f}, max {max(ratios):.3f}), wanted <= {WANTED}")
    sys.exit(NOT_MET if ratio > WANTED else 0)


if __name__ == "__main__":
    main()
