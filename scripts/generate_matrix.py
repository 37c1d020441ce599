"""Writes docs/storage-matrix.md: which pairs of back end and method booted a machine, and how long each step took.

Run after `make e2e-all T=tests/e2e/test_storage_matrix.py`, which leaves what it measured in .cache.
"""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / ".cache/storage-matrix.json"
PAGE = ROOT / "docs/storage-matrix.md"
STEPS = {
    "create": "image created",
    "start": "start in place",
    "stop": "stop",
    "start_by_reset": "start by reset",
}
HEAD = """# Back ends and methods that booted

Written by `scripts/generate_matrix.py` from the last runs of `make e2e-all` with `tests/e2e/test_storage_matrix.py` and
`tests/e2e/test_memory_roots.py`: real machines of a lab (their processors are emulated, so the seconds are many) and a
storage server with its own kernel. Pairs were run at different times, beside more or less other work.

Each pair: an image made from a recipe; a machine that takes over a clone of it in place, serves a page, writes to its
root and stops cleanly, with nothing left granted; and boots it again through its firmware.

"""


def page(results: dict[str, dict[str, float]]) -> str:
    """The page for these results: `backend method` -> step -> seconds."""
    lines = ["| back end | method | " + " | ".join(f"{name}, s" for name in STEPS.values()) + " |"]
    lines.append("| --- | --- |" + " ---: |" * len(STEPS))
    for pair, seconds in sorted(results.items()):
        backend, method = pair.split()
        lines.append(f"| `{backend}` | `{method}` | " + " | ".join(f"{seconds[step]:.0f}" for step in STEPS) + " |")
    return HEAD + "\n".join(lines) + "\n"


def main() -> None:
    """Write the page."""
    if not RESULTS.is_file():
        raise SystemExit(f"{RESULTS} is missing: run `make e2e-all T=tests/e2e/test_storage_matrix.py` first.")
    PAGE.write_text(page(json.loads(RESULTS.read_text())), encoding="utf-8")


if __name__ == "__main__":
    main()
