"""Requests made from the APIs' own descriptions, valid and not: no crash, no undescribed answer, nothing leaked."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from .conftest import Target

# For each call of an API and each of the two ways (valid requests, and not); some 20 ms each.
EXAMPLES = 12
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
MODES = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
LEAKS = ("Traceback", "sqlalchemy", "site-packages", 'File "')


@pytest.fixture(autouse=True)
def quiet_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fails where the log has a traceback."""
    with caplog.at_level(logging.WARNING):
        yield
    assert not [record for record in caplog.records if record.exc_info or "bug:" in record.getMessage()]


def fuzz(target: Target) -> int:
    """Calls everything that the description names; the number of requests."""
    count = 0
    session = requests.Session()
    schema = schemathesis.openapi.from_dict(target.description())
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path == "/node/v1/order":
            continue  # waits by design; its parameters have tests of their own
        for mode in MODES:

            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def run(case: schemathesis.Case) -> None:
                nonlocal count
                count += 1
                if case.path.startswith("/api/v1/tokens") and case.method == "DELETE":
                    case.path_parameters = {"name": "nobody"}  # never the fuzz run's own
                answer = case.call(base_url=target.url, headers=dict(target.headers), verify=target.ca, session=session)
                case.validate_response(answer, checks=CHECKS)
                leaked = [word for word in (*LEAKS, *target.secrets) if word in answer.text]
                assert not leaked, answer.text

            run()
    session.close()
    return count


def test_node_api(node_api: Target) -> None:
    assert fuzz(node_api) > 5 * EXAMPLES
    assert node_api.lives()


def test_operator_api(operator_api: Target) -> None:
    assert fuzz(operator_api) > 25 * EXAMPLES
    assert operator_api.lives()


@pytest.mark.parametrize("api", ["node_api", "operator_api"])
def test_without_a_token_nothing_is_answered_but_a_refusal(api: str, request: pytest.FixtureRequest) -> None:
    target: Target = request.getfixturevalue(api)
    for path, calls in target.description()["paths"].items():
        for method in calls:
            if path == "/node/v1/register":
                continue
            place = path.replace("{order_id}", "1").replace("{plan_id}", "1").replace("{name}", "web01")
            answer = target.ask(method.upper(), place, json={})
            assert answer.status_code in (400, 401), (method, path, answer.text)
            assert set(answer.json()) == {"error", "remedy"}
