"""What builds share: one at a time for a target, and nothing that outlives a build that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.builds import workspace

# Mounts as a bootstrap does, says so, and would go on for long.
BUILD = "mount -t tmpfs built {root} && touch {root}/mounted {ready} && while :; do sleep 1; done"
BUILDER = """
import subprocess, sys
from ansible_collections.openqrm.datacenter.plugins.module_utils.builds import contained
subprocess.run(contained(["sh", "-c", sys.argv[1]]))
"""


def wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def processes(word: str) -> list[int]:
    """Processes that have the word among their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and word in (entry / "cmdline").read_text():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_processes_and_mounts_of_a_killed_build_are_gone(tmp_path: Path) -> None:
    assert os.geteuid() == 0, "This test needs root, as it mounts a file system."
    root, ready = tmp_path / "root", tmp_path / "ready"
    root.mkdir()
    builder = subprocess.Popen([sys.executable, "-c", BUILDER, BUILD.format(root=root, ready=ready)])
    try:
        wait(ready.exists)
        assert len(processes(str(ready))) >= 3, "builder, its guard and the build"
        assert not (root / "mounted").exists(), "its mounts are its own"
    finally:
        builder.send_signal(signal.SIGKILL)
        builder.wait(30)
    wait(lambda: processes(str(ready)) == [])
    assert str(root) not in Path("/proc/mounts").read_text()


def test_one_target_is_built_once(tmp_path: Path) -> None:
    target = tmp_path / "cache/target"
    with workspace(target) as directory:
        assert directory is not None
        (directory / "part").write_text("whole")
        (directory / "part").replace(target)
    assert not directory.exists()
    with workspace(target) as directory:
        assert directory is None
    assert target.read_text() == "whole"
