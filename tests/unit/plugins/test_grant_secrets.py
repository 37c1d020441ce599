"""Which grants get their secret on the controller."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.plugin_utils import grants
from ansible_collections.openqrm.datacenter.plugins.plugin_utils.grants import SecretGrantsAction

PLANNED = {"path": "/dev/vg/web", "target": "san1.web", "client": {"name": "node1", "iqn": "iqn.x:node1"}, "epoch": 3}
BY_HAND = {"path": "/dev/vg/own", "target": "san1.own", "client": {"iqn": "iqn.x:own"}}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the controller was asked for."""
    requests: list[Any] = []

    def ask(request: dict[str, Any]) -> dict[str, Any]:
        requests.append(request)
        return {"secrets": [f"secret-of-{target}" for target, _resource, _epoch in request["grants"]]}

    monkeypatch.setattr(grants, "ask", ask)
    return requests


def with_secrets(**options: Any) -> list[dict[str, Any]]:
    """The grants that the module is given."""
    action = SimpleNamespace()
    return SecretGrantsAction._with_secrets(action, options)


def test_grants_of_assignments_get_theirs_in_one_question(asked: list[Any]) -> None:
    found = with_secrets(grants=[PLANNED, BY_HAND, PLANNED | {"secret": "own-secret-of-it"}])
    assert [grant.get("secret") for grant in found] == ["secret-of-san1.web", None, "own-secret-of-it"]
    assert asked == [{"step": "grant_secrets", "grants": [["san1.web", "node1", 3]]}]
    assert "secret" not in PLANNED


@pytest.mark.parametrize("options", [{"chap": False}, {"state": "absent"}])
def test_nobody_is_asked_for_what_is_not_needed(asked: list[Any], options: dict[str, Any]) -> None:
    assert with_secrets(grants=[PLANNED], **options) == [PLANNED]
    assert asked == []
