"""`openqrm db`: schema, backup and restore."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import Result
from openqrm.model import Plan
from openqrm.planning.owner import owner_of
from openqrm.store import Store

Run = Callable[..., Result]


@pytest.mark.usefixtures("store")
def test_backup_and_restore(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    made = run("db", "backup", str(file))
    assert (made.exit_code, made.stdout.startswith("Backed up ")) == (0, True), made.output
    assert "resources: 2\n" in made.stderr
    (tmp_path / "openqrm.db").unlink()
    done = run("db", "restore", str(file))
    assert (done.exit_code, done.stdout.startswith("Restored ")) == (0, True), done.output
    assert [item["name"] for item in json.loads(run("resource", "list", "--json").output)] == ["node1", "node2"]


@pytest.mark.usefixtures("store")
def test_backup_as_json(run: Run, tmp_path: Path) -> None:
    made = run("db", "backup", str(tmp_path / "backup"), "--json")
    report = json.loads(made.stdout)
    assert (report["file"], report["rows"]["resources"], made.stderr) == (str(tmp_path / "backup"), 2, "")
    checked = json.loads(run("db", "restore", str(tmp_path / "backup"), "--replace", "--check", "--json").stdout)
    assert (checked["check"], checked["rows"]["resources"]) == (True, 2)
    assert checked["created"] == report["created"]


@pytest.mark.usefixtures("store")
def test_a_backup_in_check_mode_writes_nothing(run: Run, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    file = tmp_path / "backup"
    checked = run("db", "backup", str(file), "--check")
    words = "Check mode: nothing was written; it would back up "
    assert (checked.exit_code, checked.stdout.startswith(words)) == (0, True), checked.output
    report = json.loads(run("db", "backup", str(file), "--check", "--json").stdout)
    assert (report["check"], report["rows"]["resources"]) == (True, 2)
    assert sorted(tmp_path.iterdir()) == before
    nowhere = run("db", "backup", str(tmp_path / "none/backup"), "--check")
    assert (nowhere.exit_code, "No such file or directory" in nowhere.stderr) == (1, True)
    assert run("db", "backup", str(tmp_path), "--check").exit_code == 2
    file.write_text("kept")
    assert run("db", "backup", str(file), "--check").exit_code == 4
    assert run("db", "backup", str(file), "--check", "--replace").exit_code == 0
    assert file.read_text() == "kept"


@pytest.mark.usefixtures("store")
def test_restore_asks_before_it_replaces(run: Run, tmp_path: Path) -> None:
    file = str(tmp_path / "backup")
    assert run("db", "backup", file, "--quiet").output == ""
    refused = run("db", "restore", file)
    assert (refused.exit_code, "is not empty" in refused.stderr, "--replace" in refused.stderr) == (4, True, True)
    unasked = run("db", "restore", file, "--replace")
    assert (unasked.exit_code, "--yes" in unasked.stderr) == (2, True)
    assert run("db", "restore", file, "--replace", "--yes").exit_code == 0


def test_a_plan_that_this_machine_applies_keeps_its_store(run: Run, store: Store, tmp_path: Path) -> None:
    file = str(tmp_path / "backup")
    run("db", "backup", file)
    with store.write("tester", "plan") as tx:
        number = tx.add_plan(Plan(0, "stop", "applying", "", (), owner=owner_of())).id
    refused = run("db", "restore", file, "--replace", "--yes")
    assert (refused.exit_code, f"plan {number} (stop) is applied by {owner_of()}" in refused.stderr) == (4, True)


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (("backup", "/nonexistent/file"), 1, "cannot be written"),
        (("restore", "/nonexistent/file"), 1, "cannot be read"),
        (("restore", "/etc/hostname"), 2, "no whole backup"),
        (("backup", "/etc/hostname"), 4, "exists already"),
    ],
)
def test_files_that_cannot_be(run: Run, words: tuple[str, ...], code: int, hint: str) -> None:
    result = run("db", *words)
    assert (result.exit_code, hint in result.stderr, result.stdout) == (code, True, ""), result.output


@pytest.mark.parametrize("words", [("upgrade",), ("upgrade", "--check"), ("backup", "file")])
def test_a_store_of_a_newer_version(run: Run, store: Store, tmp_path: Path, words: tuple[str, ...]) -> None:
    store.close()
    engine = sa.create_engine(f"sqlite:///{tmp_path}/openqrm.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    result = run("db", *words)
    assert (result.exit_code, result.stdout) == (7, "")
    assert "has schema 9999, which this openQRM (schema 0" in result.stderr
    assert "openqrm db upgrade" in result.stderr


@pytest.mark.usefixtures("store")
def test_prune_asks_counts_and_removes(run: Run, tmp_path: Path) -> None:
    assert "Nothing to do" in run("db", "prune", "--older-than", "1", "--yes").stdout
    engine = sa.create_engine(f"sqlite:///{tmp_path}/openqrm.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE events SET time = '2020-01-01 00:00:00.000000'")
    engine.dispose()
    unasked = run("db", "prune", "--older-than", "30")
    assert (unasked.exit_code, "--yes" in unasked.stderr) == (2, True)
    assert (
        "Would remove 2 events, 0 audit, 0 orders, 0 plans."
        in run("db", "prune", "--older-than", "30", "--check").stdout
    )
    done = json.loads(run("db", "prune", "--older-than", "30", "--yes", "--json").stdout)
    assert (done["changed"], done["rows"]["events"]) == (True, 2)
    assert "No events." in run("event", "list").stdout
    assert run("db", "prune", "--older-than", "0").exit_code == 2


@pytest.mark.usefixtures("store")
def test_what_is_no_file_is_not_replaced(run: Run, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    refused = run("db", "backup", str(pipe), "--replace")
    assert (refused.exit_code, "is no file that a backup could replace" in refused.stderr) == (2, True)
    assert pipe.is_fifo()
