"""Who applies a plan, and whether that process lives: a plan whose controller died can be taken up again."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def _started(pid: int) -> str:
    """The process's start time in clock ticks since boot, empty if there is no such process. Source: proc(5)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def owner_of(pid: int | None = None) -> str:
    """`host:pid:start` of a process, this one by default."""
    number = os.getpid() if pid is None else pid
    return f"{socket.gethostname()}:{number}:{_started(number)}"


def lives(owner: str) -> bool:
    """Whether that process runs. One on another host counts as living: only there it can be known."""
    host, _, rest = owner.partition(":")
    pid, _, started = rest.partition(":")
    if not owner or not pid.isdigit():
        return False
    return host != socket.gethostname() or (bool(started) and _started(int(pid)) == started)
