"""Files of the boot tree that were damaged: a node takes what has the digest that its manifest names, or nothing."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.unit.boot import shell

GOOD, BAD = b"the modules of a kernel\n", b"the modules of a kernal\n"
DIGEST = hashlib.sha256(GOOD).hexdigest()
FETCH = """
oq_pause() { :; }
# The server: the n-th answer is the file served.<n>, or the last one that there is.
oq_curl() {
    tries=$((${tries:-0} + 1)); answer=$STATE/served.$tries
    [ -f "$answer" ] && cp "$answer" "$STATE/served"
    while [ "$1" != --output ]; do shift; done
    cp "$STATE/served" "$2"
}
oq_fetch_blob "$DIGEST" "$STATE/blob"; status=$?
echo "tries=${tries:-0}"
exit $status
"""


def fetch(state: Path, *answers: bytes) -> subprocess.CompletedProcess[str]:
    """Fetches the blob from a server that gives these answers, the last one for ever."""
    for number, content in enumerate(answers, start=1):
        (state / f"served.{number}").write_bytes(content)
    return shell.run_shell(FETCH, state, DIGEST=DIGEST, OQ_BOOT="https://10.77.0.1")


def test_a_blob_that_stays_damaged_is_refused_and_told(tmp_path: Path) -> None:
    done = fetch(tmp_path, BAD)
    assert done.returncode == 1
    assert not (tmp_path / "blob").exists()
    assert f"blobs/{DIGEST} has the digest {hashlib.sha256(BAD).hexdigest()}" in done.stdout
    assert f"cannot fetch https://10.77.0.1/blobs/{DIGEST}" in done.stdout
    assert "tries=5" in done.stdout


@pytest.mark.parametrize("answers", [(GOOD,), (BAD, GOOD), (b"", BAD, GOOD)])
def test_a_blob_is_fetched_until_it_is_whole(tmp_path: Path, answers: tuple[bytes, ...]) -> None:
    done = fetch(tmp_path, *answers)
    assert (done.returncode, (tmp_path / "blob").read_bytes()) == (0, GOOD), done.stdout
    assert f"tries={len(answers)}" in done.stdout


def test_what_was_fetched_is_taken_from_memory(tmp_path: Path) -> None:
    fetch(tmp_path, GOOD)
    (tmp_path / "blob").unlink()
    done = fetch(tmp_path, BAD)
    assert (done.returncode, (tmp_path / "blob").read_bytes()) == (0, GOOD)
    assert "tries=0" in done.stdout


def test_a_file_of_unknown_origin_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(BAD)
    done = fetch(tmp_path, GOOD)
    assert (done.returncode, (tmp_path / "blob").read_bytes()) == (0, GOOD)
    assert "tries=1" in done.stdout
