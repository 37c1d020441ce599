"""Backups while others write, onto the same and the other kind of database, and files and stores that are refused."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from openqrm.errors import ConflictError, InvalidValueError, OpenqrmError, StoreError
from openqrm.model import Plan
from openqrm.store import Store, current, head, open_store
from openqrm.store.backup import Summary, backup, restore

from tests.support import released_store
from tests.support.released_store import FACTS
from tests.unit.store import samples

Restore = Callable[..., Summary]


@pytest.fixture
def other(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> str:
    """A new, empty database of the other kind."""
    sqlite = f"sqlite:///{tmp_path}/other.db"
    return str(request.getfixturevalue("postgresql_url")) if url.startswith("sqlite") else sqlite


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where backups go: a directory of their own."""
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups/today.openqrm"


def put(url: str, file: Path, **options: object) -> Summary:
    """Restores; no plan's owner lives unless the options say so."""
    return restore(url, file, **{"actor": "tester", "lives": lambda _: False, **options})  # type: ignore[arg-type]


def facts(url: str) -> dict[str, object]:
    store = open_store(url)
    with store.read() as tx:
        found = released_store.facts(tx)
    store.close()
    return found


def test_one_database_and_the_other_take_a_backup(url: str, other: str, file: Path, tmp_path: Path) -> None:
    released_store.filled(url).close()
    told: list[str] = []
    made = backup(url, file, on_table=lambda name, _rows: told.append(name))
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]
    assert (made.schema, made.rows["resources"], made.rows["nics"]) == (head(), 4, 8)
    assert {"resources", "audit", "epochs"} <= set(told)
    assert put(other, file).rows == {name: rows for name, rows in made.rows.items() if rows}
    assert facts(other) == FACTS
    back = tmp_path / "back"
    backup(other, back)
    put(url, back, replace=True)
    assert facts(url) == FACTS


def test_a_backup_is_one_moment_of_a_store_that_others_write(url: str, store: Store, file: Path, other: str) -> None:
    """Each writer adds a resource and the setting that counts them in one transaction."""
    stop = threading.Event()

    def write() -> None:
        for number in range(10_000):
            with store.write("writer", "x") as tx:
                tx.save([samples.resource(number)])
                tx.set_setting("count", number + 1)
            if stop.is_set():
                return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for turn in range(3):
            backup(url, file, replace=turn > 0)
    finally:
        stop.set()
        writer.join()
    put(other, file)
    restored = open_store(other)
    with restored.read() as tx:
        assert len(tx.resources()) == tx.setting("count") == len(tx.audit("resource", limit=100_000)) > 0
    restored.close()


def test_what_was_restored_is_in_the_audit_log(url: str, filled: Store, file: Path) -> None:
    backup(url, file)
    put(url, file, replace=True, actor="alice")
    with filled.read() as tx:
        row = tx.audit("store")[-1]
        assert (row.actor, row.action, row.after["schema"]) == ("alice", "restore", head())
        assert "restored from a backup" in tx.events(["warning"], "store")[-1].message


def test_epochs_and_numbers_never_go_back(url: str, filled: Store, file: Path) -> None:
    """Machines that were started after the backup must not be taken for those of the restored store."""
    backup(url, file)
    with filled.write("tester", "later") as tx:
        for _ in range(3):
            tx.assign([("web01", 0, "node00", "web01-0", 1)])
            tx.release("web01", [0])
        number = tx.save([samples.resource(7)])[0].id
    put(url, file, replace=True)
    with filled.write("tester", "again") as tx:
        assert "node07" not in tx.names("resource")
        assert tx.save([samples.resource(8)])[0].id > number
        assert tx.assign([("web01", 0, "node00", "web01-0", 1)])[0].epoch == 4


def test_a_store_that_is_not_empty_is_kept(url: str, filled: Store, file: Path) -> None:
    backup(url, file)
    before = filled_names(filled)
    with pytest.raises(ConflictError, match="is not empty") as caught:
        put(url, file)
    assert "--replace" in caught.value.remedy
    assert filled_names(filled) == before


def filled_names(store: Store) -> list[object]:
    with store.read() as tx:
        return [tx.resources(), tx.audit(limit=1000), tx.events()]


@pytest.mark.parametrize("replace", [True, False])
def test_a_store_on_which_a_plan_is_applied_is_kept(url: str, store: Store, file: Path, replace: bool) -> None:
    backup(url, file)
    with store.write("tester", "plan") as tx:
        tx.add_plan(Plan(0, "start", "applying", "", (), owner="host:1:2"))
    with pytest.raises(ConflictError, match="plan 1 .start. is applied by host:1:2" if replace else "not empty"):
        put(url, file, replace=replace, lives=lambda owner: owner == "host:1:2")
    with store.read() as tx:
        assert tx.plan(1).state == "applying"
    put(url, file, replace=True)
    with store.read() as tx:
        assert tx.plans() == []


def test_check_restores_nothing(url: str, filled: Store, file: Path, tmp_path: Path) -> None:
    backup(url, file)
    before = filled_names(filled)
    assert put(url, file, replace=True, check=True).rows["resources"] == 3
    assert filled_names(filled) == before
    assert put(f"sqlite:///{tmp_path}/none.db", file, check=True).rows["resources"] == 3
    assert not (tmp_path / "none.db").exists()


def flipped(data: bytes) -> bytes:
    text = gzip.decompress(data).replace(b'"node00"', b'"node99"')
    return gzip.compress(text)


def forged(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Puts `new` for the first `old`, with the digest that fits."""

    def change(data: bytes) -> bytes:
        lines = gzip.decompress(data).splitlines(keepends=True)[:-1]
        text = b"".join(lines).replace(old, new, 1)
        return gzip.compress(text + json.dumps({"sha256": hashlib.sha256(text).hexdigest()}).encode() + b"\n")

    return change


BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut off": (lambda data: data[:-20], "no whole backup"),
    "empty": (lambda _data: b"", "no whole backup"),
    "other content": (flipped, "SHA-256"),
    "no digest": (lambda data: gzip.compress(b"".join(gzip.decompress(data).splitlines(True)[:-1])), "SHA-256"),
    "text": (lambda _data: b"hello\n", "no whole backup"),
    "other json": (lambda _data: gzip.compress(b'{"a": 1}\n'), "does not begin as a backup"),
    "no schema": (forged(b'"schema":', b'"other":'), "does not say its schema"),
    "unknown table": (forged(b'{"table":"resources"', b'{"table":"machines"'), "its rows of machines are not those"),
    "unknown column": (forged(b'"resources","columns":["id"', b'"resources","columns":["no"'), "are not those"),
    "short row": (forged(b'\n["', b'\n["x"]\n["'), "are not those of schema"),
    "junk between": (forged(b'\n{"table":"resources"', b'\n{junk\n{"table":"resources"'), "no whole backup"),
    "number between": (forged(b'\n{"table":"resources"', b'\n7\n{"table":"resources"'), "neither a row nor a table"),
    "newer format": (
        lambda data: gzip.compress(gzip.decompress(data).replace(b'"version":1', b'"version":2')),
        "reads 1",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_damaged_backup_is_not_restored(tmp_path: Path, file: Path, how: str) -> None:
    url = f"sqlite:///{tmp_path}/openqrm.db"
    store = open_store(url, create=True)
    with store.write("tester", "fill") as tx:
        samples.fill(tx)
    before = filled_names(store)
    backup(url, file)
    change, words = BROKEN[how]
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(InvalidValueError, match=words) as caught:
        put(url, file, replace=True)
    assert str(file) in caught.value.message
    assert filled_names(store) == before
    store.close()


def test_a_backup_of_a_newer_schema_is_refused(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/openqrm.db"
    open_store(url, create=True).close()
    backup(url, file)
    monkeypatch.setattr("openqrm.store.schema.REVISIONS", ("0000",))
    with pytest.raises(StoreError, match=f"schema {head()}, which this openQRM .schema 0000"):
        put(f"sqlite:///{tmp_path}/new.db", file)
    assert not (tmp_path / "new.db").exists()


def test_a_file_is_replaced_only_if_that_is_wanted(url: str, filled: Store, file: Path) -> None:
    file.write_text("mine")
    with pytest.raises(ConflictError, match="exists already"):
        backup(url, file)
    assert file.read_text() == "mine"
    backup(url, file, replace=True)
    assert put(url, file, replace=True).rows["resources"] == 3
    assert filled is not None


def test_a_directory_that_is_missing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/openqrm.db"
    open_store(url, create=True).close()
    with pytest.raises(OpenqrmError, match="cannot be written: No such file") as caught:
        backup(url, tmp_path / "none/file")
    assert caught.value.remedy
    with pytest.raises(OpenqrmError, match="cannot be read: No such file"):
        put(url, tmp_path / "none/file")
    with pytest.raises(StoreError, match="does not exist or is empty"):
        backup(f"sqlite:///{tmp_path}/none.db", tmp_path / "file")
    assert current(url) == head()
