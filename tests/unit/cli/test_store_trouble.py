"""A store that cannot be used: unreadable, locked, damaged, away. Exit status 7, who and what, in bounded time."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from openqrm.store import Store

from tests.support.unchanged import rows_of

from .conftest import Runs

Run = Callable[..., Result]
NOBODY = 65534
READING, WRITING = ("resource", "list"), ("volume", "create", "san1/x")


def refused(result: Result, path: Path, *hints: str) -> None:
    """The command ended with the status of an unusable store, and names it."""
    assert (result.exit_code, result.stdout) == (7, ""), result.output
    assert "Traceback" not in result.stderr
    for hint in (str(path), *hints):
        assert hint in result.stderr, result.stderr


@pytest.mark.parametrize("words", [READING, WRITING])
def test_a_directory_in_the_place_of_the_file(run: Run, config_file: Path, words: tuple[str, ...]) -> None:
    path = config_file.parent / "openqrm.db"
    path.mkdir()
    refused(run(*words), path, "cannot be used: unable to open database file", "Check that the file")
    assert list(path.iterdir()) == []


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("words", [READING, WRITING])
def test_a_store_of_somebody_else(config_file: Path, words: tuple[str, ...]) -> None:
    """As a user who may neither read nor write it: root, whom no permission keeps out, without that right."""
    assert os.geteuid() == 0, "run the tests as root"
    path = config_file.parent / "openqrm.db"
    path.chmod(0o600)
    os.chown(path, NOBODY, NOBODY)
    before = rows_of(path)
    code = "import sys; from openqrm.cli.main import main; main(sys.argv[1:], prog_name='openqrm')"
    done = subprocess.run(
        [
            "setpriv",
            "--bounding-set=-dac_override,-dac_read_search",
            sys.executable,
            "-c",
            code,
            "--config",
            str(config_file),
            *words,
        ],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "HOME": "/", "USER": "nobody"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (7, ""), done
    assert f"{path} cannot be used: " in done.stderr
    assert "Check that the file and its directory can be read and written" in done.stderr
    assert rows_of(path) == before


@pytest.fixture
def held(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a store on which another process holds the lock of writers; waits end after a second."""
    monkeypatch.setattr("openqrm.store.open_store.__kwdefaults__", {"create": False, "timeout_s": 1.0})
    path = config_file.parent / "openqrm.db"
    hold = "c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN IMMEDIATE'); print(1, flush=True); input()"
    code = f"import sqlite3, sys; {hold}"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stdin
        assert process.stdout.readline() == "1\n"
        yield path
        process.communicate("\n")


@pytest.mark.usefixtures("store")
def test_a_store_that_another_process_holds(run: Run, runs: Runs, held: Path) -> None:
    begun = time.monotonic()
    refused(run(*WRITING), held, "is busy: database is locked", "Another process holds it")
    assert time.monotonic() - begun < 20
    assert runs.calls == []
    assert run(*READING).exit_code == 0, "readers do not wait"


@pytest.mark.parametrize("words", [READING, WRITING])
def test_a_store_that_is_damaged(run: Run, store: Store, config_file: Path, words: tuple[str, ...]) -> None:
    store.close()
    path = config_file.parent / "openqrm.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()
    content = path.read_bytes()
    path.write_bytes(content[:100] + os.urandom(len(content) - 100))
    refused(run(*words), path, "cannot be used: ")


def test_a_server_that_is_away(run: Run, config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openqrm.store.engine.RECONNECT_S", 0.5)
    config_file.write_text("store: postgresql+psycopg://openqrm:secret@127.0.0.1:1/openqrm\n")
    result = run(*READING)
    assert (result.exit_code, result.stdout) == (7, "")
    assert "Store postgresql+psycopg://openqrm:***@127.0.0.1:1/openqrm cannot be used: " in result.stderr
    assert "Check that PostgreSQL runs" in result.stderr
    assert "secret" not in result.stderr
