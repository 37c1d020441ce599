"""Databases as released versions left them become those of this version, with all that they held."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from openqrm.errors import StoreError
from openqrm.model import Resource
from openqrm.store import Store, current, head, open_store, schema, upgrade
from openqrm.store.backup import restore
from openqrm.store.engine import connect, parse_url, transaction
from openqrm.store.schema import REVISIONS

from tests.support import released_store
from tests.support.released_store import DIRECTORY, FACTS, FORMS


def check(store: Store) -> None:
    """The store holds what was put into it, and goes on from there."""
    with store.write("tester", "go on") as tx:
        assert released_store.facts(tx) == FACTS
        assert tx.save([Resource(0, "next")])[0].id == 6, "the number of a removed object is given again"
        tx.release("web", [0])
        assert tx.assign([("web", 0, "node2", "web-0", 1)])[0].epoch == 3


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_revision_is_frozen(revision: str) -> None:
    missing = [form for form in FORMS if not (DIRECTORY / f"{revision}.{form}").is_file()]
    assert missing == [], "run `python -m tests.support.released_store` and add the files that it writes"


def test_nothing_else_is_frozen() -> None:
    assert {path.name.partition(".")[0] for path in DIRECTORY.iterdir()} == set(REVISIONS)


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_released_database_is_upgraded(url: str, revision: str) -> None:
    released_store.load(revision, url)
    assert current(url) == revision
    assert upgrade(url) == head() == current(url)
    engine = connect(parse_url(url), 5)
    with transaction(engine, write=False) as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    engine.dispose()
    store = open_store(url)
    check(store)
    store.close()


@pytest.mark.parametrize("revision", [each for each in REVISIONS if each >= "0002"])
def test_tokens_that_were_there_do_not_expire(url: str, revision: str) -> None:
    released_store.load(revision, url)
    upgrade(url)
    store = open_store(url)
    with store.read() as reader:
        assert [(token.name, token.expires) for token in reader.api_tokens()] == [("nightly", None)]
    store.close()


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_released_backup_is_restored(url: str, revision: str) -> None:
    summary = restore(url, DIRECTORY / f"{revision}.backup", actor="tester", lives=lambda _: False)
    assert summary.schema == revision
    store = open_store(url)
    check(store)
    store.close()


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_older_database_is_refused_with_what_to_do(url: str, revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    released_store.load(revision, url)
    monkeypatch.setattr("openqrm.store.engine.REVISIONS", (*REVISIONS, "next"))
    with pytest.raises(StoreError, match=f"schema {revision}, older than next") as caught:
        open_store(url)
    assert caught.value.remedy == "Run `openqrm db upgrade`."


def test_what_is_frozen_is_what_is_filled_today(tmp_path: Path) -> None:
    store = released_store.filled(f"sqlite:///{tmp_path}/store.db")
    check(store)
    store.close()
