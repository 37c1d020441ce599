"""What a refused command must leave as it was."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path


def rows_of(database: Path) -> str:
    """Everything in a SQLite store, as SQL."""
    connection = sqlite3.connect(database)
    try:
        return "\n".join(connection.iterdump())
    finally:
        connection.close()


def files_below(*roots: Path) -> dict[str, str]:
    """The digests of all files below the directories; those that do not exist have none."""
    paths = [path for root in roots for path in root.rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths)}
