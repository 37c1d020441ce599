"""Every benchmark runs to its verdict. The sizes here are tiny, so what it says is not asked for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BENCHMARKS = REPOSITORY / "tests" / "benchmarks"
# Name -> its arguments, and how many verdicts it gives.
RUNS = {
    "bench_boot_storm": ("--nodes 5 --kernel-mib 1 --initramfs-mib 1 --rounds 1", 2),
    "bench_cli": ("--resources 5 --rounds 1", 2),
    "bench_fleet": ("--resources 20 --rounds 1", 2),
    "bench_growth": ("--appliances 2 --times 2 --rounds 1", 1),
    "bench_inventory": ("--resources 5 --appliances 2 --rounds 1", 1),
    "bench_mass_start": ("--appliances 4 --rounds 1", 1),
    "bench_node_api": ("--nodes 5", 2),
    "bench_start": ("--rounds 1", 1),
    "bench_tree": ("--resources 20 --rounds 2", 1),
}
# Needs a lab with real machines; tests/e2e has what it does.
LAB = {
    "bench_grants",
    "bench_local",
    "bench_lvm_clones",
    "bench_root_throughput",
    "bench_takeover",
    "bench_zfs_clones",
}
VERDICT = re.compile(r"^.+ bar .+: (met|NOT MET)$", re.MULTILINE)
NOT_MET = 3


@pytest.mark.parametrize("name", sorted(RUNS))
def test_benchmark_ends_with_its_verdicts(name: str) -> None:
    arguments, verdicts = RUNS[name]
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments.split()],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found = VERDICT.findall(done.stdout)
    assert len(found) == verdicts, done.stdout + done.stderr
    assert done.returncode == (NOT_MET if "NOT MET" in found else 0), done.stdout + done.stderr


def test_every_benchmark_is_run() -> None:
    assert {path.stem for path in BENCHMARKS.glob("bench_*.py")} == RUNS.keys() | LAB


def test_every_benchmark_is_documented() -> None:
    text = (REPOSITORY / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert [name for name in RUNS.keys() | LAB if f"`{name}.py`" not in text] == []
