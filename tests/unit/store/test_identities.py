"""Identities of machines, tokens of operators and host keys in the store, on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from openqrm.errors import ConflictError, NotFoundError
from openqrm.model import HostKey, Identity
from openqrm.store import Store

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OLD, NEW = "d" * 64, "e" * 64


def test_an_identity_is_read_as_it_was_written(filled: Store) -> None:
    identity = Identity("node01", NEW, "9" * 64, 7, NOW, None, OLD, False, True)
    with filled.write("node", "register") as writer:
        assert writer.identity("node01") is None
        writer.set_identity(identity, "token")
        assert writer.identity("node01") == identity
        assert writer.unapproved() == ["node01"]
        writer.approve(["node01"])
        assert writer.unapproved() == []
        with pytest.raises(NotFoundError):
            writer.set_identity(Identity("nobody", NEW, "", 0, NOW), "token")


@pytest.mark.parametrize(
    ("used", "valid"), [(None, True), (timedelta(seconds=30), True), (timedelta(seconds=90), False)]
)
def test_the_token_before_is_good_for_a_short_time(filled: Store, used: timedelta | None, valid: bool) -> None:
    moment = None if used is None else datetime.now(UTC) - used
    with filled.write("node", "exchange") as writer:
        writer.set_identity(Identity("node01", NEW, "", 0, NOW, moment, OLD), "")
        current, previous = writer.resource_by_token(NEW), writer.resource_by_token(OLD)
        assert current is not None and current.name == "node01"
        assert (previous is not None) == valid
        assert writer.resource_by_token("f" * 64) is None


def test_use_is_noted_once_and_ends_the_expectation_of_a_boot(filled: Store) -> None:
    with filled.write("node", "heartbeat") as writer:
        writer.set_identity(Identity("node01", NEW, "", 0, NOW, None, OLD), "token")
        writer.token_used(OLD)
        assert writer.identity("node01").used is None  # type: ignore[union-attr]
        writer.token_used(NEW)
        first = writer.identity("node01")
        writer.expect_boot(["node01", "node02"])
        assert writer.identity("node01").boot_expected  # type: ignore[union-attr]
        writer.token_used(NEW)
        assert writer.identity("node01") == first
        assert first is not None and first.used is not None


def test_removing_and_renaming_a_machine_takes_its_identity_along(filled: Store) -> None:
    import dataclasses

    with filled.write("test", "test") as writer:
        writer.set_identity(Identity("node01", NEW, "", 0, NOW), "token")
        writer.save([dataclasses.replace(writer.resource("node01"), name="renamed")])
        assert writer.identity("node01") is None
        assert writer.identity("renamed") is not None
        writer.remove("resource", ["renamed"])
        assert writer.identity("renamed") is None


def test_no_digest_and_no_key_is_in_the_audit_log(filled: Store) -> None:
    with filled.write("test", "test") as writer:
        writer.set_identity(Identity("node01", NEW, "9" * 64, 0, NOW), "token")
        writer.add_api_token("ci", "viewer", OLD)
        writer.add_host_key(HostKey("resource/node01", "ssh-ed25519 AAAA", "sealed-bytes"))
    with filled.read() as reader:
        log = repr(reader.audit(limit=10_000))
    assert "'token'" in log and "ssh-ed25519" in log
    assert not any(word in log for word in (NEW, OLD, "9" * 64, "sealed-bytes"))


def test_tokens_of_operators(filled: Store) -> None:
    with filled.write("test", "test") as writer:
        writer.add_api_token("ci", "viewer", OLD)
        found = writer.api_token(OLD)
        assert found is not None and (found.name, found.role) == ("ci", "viewer")
        assert writer.api_token(NEW) is None
        with pytest.raises(ConflictError, match="exists already"):
            writer.add_api_token("ci", "admin", NEW)
        writer.remove_api_token("ci")
        assert writer.api_tokens() == []
        with pytest.raises(NotFoundError):
            writer.remove_api_token("ci")


def test_host_keys(filled: Store) -> None:
    key = HostKey("resource/node01", "ssh-ed25519 AAAA", "sealed")
    with filled.write("test", "test") as writer:
        writer.add_host_key(key)
        assert writer.host_keys(["resource/node01"]) == [key]
        assert writer.host_keys(["resource/node02"]) == []
