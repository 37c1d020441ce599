"""Who applies a plan, and whether that process lives: a plan whose controller died can be taken up again."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path


def _started(pid: int) -> str:
    """The process's start time in clock ticks since boot, empty if it has ended. Source: proc(5)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        # One that was killed stays a zombie until its parent asks, which an init of a container may never do.
        return "" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return ""


def owner_of(pid: int | None = None) -> str:
    """`host:pid:start` of a process, this one by default."""
    number = os.getpid() if pid is None else pid
    return f"{socket.gethostname()}:{number}:{_started(number)}"


def lives(owner: str, *, heard: datetime | None = None, lease_s: float = 0) -> bool:
    """Whether that process runs. Of one on another host (a container of AWX has a name of its own) only its journal can
    be seen: it counts as living until `lease_s` after it was last `heard` of."""
    host, _, rest = owner.partition(":")
    pid, _, started = rest.partition(":")
    if not owner or not pid.isdigit():
        return False
    if host != socket.gethostname():
        return heard is not None and datetime.now(UTC) - heard < timedelta(seconds=lease_s)
    return bool(started) and _started(int(pid)) == started


def is_ours(owner: str) -> bool:
    """Whether the owner is this process or one that it descends from."""
    pid = os.getpid()
    while pid > 1:
        if owner == owner_of(pid):
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            return False
    return False
