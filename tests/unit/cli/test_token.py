"""`openqrm token`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import Result
from openqrm.registration import token_sha256
from openqrm.store import Store

Run = Callable[..., Result]


def test_a_token_is_printed_once_and_works(run: Run, store: Store) -> None:
    token = run("token", "create", "ci", "--role", "operator").output.strip()
    assert token.startswith("oqt_")
    with store.read() as reader:
        found = reader.api_token(token_sha256(token))
    assert found is not None and (found.name, found.role) == ("ci", "operator")
    shown = run("token", "list").output
    assert "operator" in shown and token not in shown
    assert json.loads(run("token", "list", "--json").output)[0]["name"] == "ci"
    assert "Revoked ci." in run("token", "revoke", "ci", "ci", "--yes").output
    with store.read() as reader:
        assert reader.api_tokens() == []


def test_a_token_may_expire(run: Run, store: Store) -> None:
    run("token", "create", "ever", "--role", "viewer")
    assert run("token", "create", "ci", "--role", "viewer", "--expires-in", "30").exit_code == 0
    with store.write("test", "test") as writer:
        writer.add_api_token("old", "admin", "a" * 64, datetime.now(UTC) - timedelta(seconds=1))
    end = datetime.now(UTC) + timedelta(days=30)
    lines = {line.split()[0]: line for line in run("token", "list").output.splitlines()}
    assert lines["ever"].endswith("never") and lines["old"].endswith("expired")
    assert f"{end:%F}" in lines["ci"]
    rows = {row["name"]: row for row in json.loads(run("token", "list", "--json").output)}
    assert [rows[name]["expired"] for name in ("ever", "ci", "old")] == [False, False, True]
    assert rows["ever"]["expires"] is None
    assert abs(datetime.fromisoformat(rows["ci"]["expires"]) - end) < timedelta(minutes=5)


@pytest.mark.usefixtures("store")
def test_check_mode_makes_and_revokes_nothing(run: Run, store: Store) -> None:
    assert "would make token ci with role viewer" in run("token", "create", "ci", "--role", "viewer", "--check").output
    with store.read() as reader:
        assert reader.api_tokens() == []
    run("token", "create", "ci", "--role", "viewer")
    assert run("token", "create", "ci", "--role", "viewer", "--check").exit_code == 4
    assert "would revoke token ci" in run("token", "revoke", "ci", "--check").output
    with store.read() as reader:
        assert len(reader.api_tokens()) == 1


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("create", "a b", "--role", "viewer"), 2),
        (("create", "ci", "--role", "root"), 2),
        (("revoke", "nobody", "--yes"), 3),
        (("create", "ci"), 2),
        (("create", "ci", "--role", "viewer", "--expires-in", "0"), 2),
        (("create", "ci", "--role", "viewer", "--expires-in", "-1"), 2),
        (("create", "ci", "--role", "viewer", "--expires-in", "36501"), 2),
        (("create", "ci", "--role", "viewer", "--expires-in", "soon"), 2),
    ],
)
def test_what_cannot_be(run: Run, words: tuple[str, ...], code: int) -> None:
    result = run("token", *words)
    assert result.exit_code == code or (code == 2 and result.exit_code in (1, 2))
