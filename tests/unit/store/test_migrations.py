"""The migrations make the schema that the code uses, and other schemas are refused with what to do."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from openqrm.errors import StoreError
from openqrm.store import current, head, open_store, schema, upgrade
from openqrm.store.engine import connect, parse_url, transaction
from openqrm.store.migrate import alembic_config


def shape(connection: sa.Connection) -> dict[str, object]:
    """Everything that the database knows of its tables, in comparable form."""
    inspector = sa.inspect(connection)
    found: dict[str, object] = {}
    for table in sorted(set(inspector.get_table_names()) - {"alembic_version"}):
        columns = {c["name"]: (str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)}
        indexes = [
            (
                i["name"],
                i["column_names"],
                i["unique"],
                {key: str(value) for key, value in i["dialect_options"].items()},
            )
            for i in inspector.get_indexes(table)
        ]
        found[table] = (
            columns,
            sorted(indexes, key=str),
            inspector.get_pk_constraint(table),
            sorted(inspector.get_check_constraints(table), key=str),
            sorted(inspector.get_foreign_keys(table), key=str),
            sorted(inspector.get_unique_constraints(table), key=str),
        )
    return found


def test_migrated_schema_is_the_model(url: str) -> None:
    assert upgrade(url) == head() == current(url)
    engine = connect(parse_url(url), 5)
    with transaction(engine, write=False) as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
        migrated = shape(connection)
    with transaction(engine, write=True) as connection:
        schema.metadata.drop_all(connection)
        schema.metadata.create_all(connection)
        assert shape(connection) == migrated
    engine.dispose()


def test_revisions_are_the_migrations() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        scripts = ScriptDirectory.from_config(alembic_config(connection))
        assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == schema.REVISIONS
    engine.dispose()


def test_upgrade_twice_changes_nothing(url: str) -> None:
    assert current(url) == ""
    upgrade(url)
    with_content = open_store(url)
    with with_content.write("tester", "x") as writer:
        writer.set_setting("kept", 1)
    with_content.close()
    assert upgrade(url) == head()
    again = open_store(url, create=True)
    with again.read() as reader:
        assert reader.setting("kept") == 1
    again.close()


def test_racing_upgrades(url: str) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            upgrade(url)
        except StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert current(url) == head()


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ("9999", ["schema 9999", "does not know", "newer openQRM"]),
        ("0000", ["older than", "Run `openqrm db upgrade`."]),
    ],
)
def test_other_schemas_are_refused(url: str, found: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade(url)
    engine = connect(parse_url(url), 5)
    with transaction(engine, write=True) as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{found}'")  # noqa: S608
    engine.dispose()
    monkeypatch.setattr("openqrm.store.engine.REVISIONS", ("0000", head()))
    for create in (False, True):
        with pytest.raises(StoreError) as caught:
            open_store(url, create=create)
        assert all(word in str(caught.value) for word in words)
    if found == "9999":
        with pytest.raises(StoreError, match="does not know"):
            upgrade(url)


def test_nothing_there(url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist or is empty") as caught:
        open_store(url)
    assert "openqrm db upgrade" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_new_file_belongs_to_its_user(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path}/deep/openqrm.db")
    assert (tmp_path / "deep" / "openqrm.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("command", [open_store, upgrade, current])
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "malformed"),
        ("sqlite://", "not supported"),
        ("mysql://user:secret@host/db", "not supported"),
        ("postgresql+psycopg://user:secret@/db?host=/nonexistent", "cannot be used"),
        ("sqlite:////proc/version", "cannot be|not a database"),
        ("sqlite:////proc/none/openqrm.db", "cannot be|not exist"),
    ],
)
def test_urls_that_cannot_be(command: object, url: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openqrm.store.engine.RECONNECT_S", 0.1)
    assert callable(command)
    if command is current and "proc/none" in url:
        assert command(url) == ""
        return
    with pytest.raises(StoreError, match=words) as caught:
        command(url)
    assert "secret" not in str(caught.value)


def test_opening_does_not_load_alembic(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path}/openqrm.db")
    code = (
        "import sys; from openqrm.store import open_store; open_store(sys.argv[1]).close(); "
        "sys.exit('alembic' in sys.modules)"
    )
    command = [sys.executable, "-c", code, f"sqlite:///{tmp_path}/openqrm.db"]
    assert subprocess.run(command, check=False, env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
