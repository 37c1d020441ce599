"""The tables of states: closed, reachable, and with a way out of everything."""

from __future__ import annotations

import pytest
from openqrm.errors import StateError
from openqrm.states import APPLIANCE_TRANSITIONS, RESOURCE_TRANSITIONS, WAITING, check_transition

TABLES = {"resource": (RESOURCE_TRANSITIONS, "new"), "appliance": (APPLIANCE_TRANSITIONS, "stopped")}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_are_closed(kind: str) -> None:
    table, _ = TABLES[kind]
    assert set().union(*table.values()) <= table.keys()
    assert all(state not in allowed for state, allowed in table.items())


@pytest.mark.parametrize("kind", TABLES)
def test_every_state_is_reached_and_leads_back(kind: str) -> None:
    table, first = TABLES[kind]
    rest = "idle" if kind == "resource" else "stopped"
    assert _reached(table, first) == set(table)
    assert all(rest in _reached(table, state) for state in table)


def _reached(table: dict[str, frozenset[str]], start: str) -> set[str]:
    found, ahead = {start}, [start]
    while ahead:
        new = table[ahead.pop()] - found
        found |= new
        ahead += new
    return found


def test_waiting_states_have_an_exit_for_success_and_for_failure() -> None:
    for table in (RESOURCE_TRANSITIONS, APPLIANCE_TRANSITIONS):
        for state in WAITING & table.keys():
            assert len(table[state]) >= 2


@pytest.mark.parametrize("kind", TABLES)
def test_check_transition_is_the_table(kind: str) -> None:
    table, _ = TABLES[kind]
    for old in table:
        for new in table:
            if new == old or new in table[old]:
                check_transition(kind, "x", old, new)
                continue
            with pytest.raises(StateError):
                check_transition(kind, "x", old, new)


def test_the_error_says_what_is_allowed() -> None:
    with pytest.raises(StateError) as caught:
        check_transition("appliance", "web01", "stopped", "active")
    assert str(caught.value) == "Appliance web01 is stopped and cannot become active. From stopped: starting."
