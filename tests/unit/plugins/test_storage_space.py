"""What a host's answer to the question for its space comes to; the whole check is in tests/integration."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.action.storage_space import outcome

ITEM = {"location": "/srv", "used_percent": 40.0}
UNREACHABLE = {"problem": "host san1 is unreachable"}
CASES: dict[str, tuple[list[dict[str, Any]] | None, dict[str, Any]]] = {
    "answer": ([{"items": [ITEM], "changed": False}], {"items": [ITEM]}),
    "failed verb": ([{"problem": "no such directory"}], {"problem": "no such directory"}),
    "not in the inventory": (None, {"problem": "host san1 is not in the inventory"}),
    "no answer": ([], UNREACHABLE),
    "unreachable while it was asked": ([{"unreachable": True, "items": [ITEM]}], UNREACHABLE),
    "an answer without anything": ([{}], UNREACHABLE),
}


@pytest.mark.parametrize("case", CASES)
def test_each_call_has_items_or_a_problem(case: str) -> None:
    answers, expected = CASES[case]
    assert outcome("san1", answers, 0) == expected


def test_each_call_has_its_own_answer() -> None:
    answers = [{"items": [ITEM]}, {"problem": "full"}]
    assert [outcome("san1", answers, number) for number in (0, 1, 2)] == [{"items": [ITEM]}, answers[1], UNREACHABLE]
