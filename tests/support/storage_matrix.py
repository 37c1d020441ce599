"""What the matrix of back ends and methods has run, for `scripts/generate_matrix.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

RESULTS = Path(__file__).parents[2] / ".cache/storage-matrix.json"


def record(backend: str, method: str, seconds: Mapping[str, float]) -> None:
    """Notes that the pair was run, with how long each step took."""
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found | {f"{backend} {method}": dict(seconds)}, indent=1, sort_keys=True) + "\n")
