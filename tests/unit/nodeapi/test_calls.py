"""The calls of the node API, over TLS, as a node makes them."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from .conftest import MAC, NAME, Running, bearer, registration

HEARTBEAT = {
    "boot_id": "boot-1",
    "mode": "idle",
    "stage": "up",
    "epoch": 0,
    "manifest": "a" * 64,
    "kernel": "b" * 64,
    "uptime_s": 12,
    "load": [0.1, 0.2, 0.3],
    "memory_free_mib": 100,
}


def give(api: Running, order: str = "assign") -> int:
    """Gives the machine an order and returns its id."""
    with api.store.write("test", "test") as writer:
        return writer.give_orders([(NAME, order, 3, "d" * 64)])[0]


def test_registration_answers_with_name_token_and_state(api: Running) -> None:
    answer = api.client.post("/node/v1/register", json=registration())
    body = answer.json()
    assert (answer.status_code, body["resource"], body["state"], body["heartbeat_s"]) == (200, NAME, "idle", 10)
    assert len(body["token"]) >= 32


def test_order_that_is_there_comes_at_once(api: Running) -> None:
    token = api.register()
    number = give(api)
    answer = api.client.get("/node/v1/order", params={"wait_s": 0}, headers=bearer(token))
    assert answer.json() == {"id": number, "order": "assign", "epoch": 3, "manifest": "d" * 64}


def test_order_that_comes_later_wakes_the_node_that_waits(api: Running) -> None:
    token = api.register()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api.client.get, "/node/v1/order", params={"wait_s": 60}, headers=bearer(token))
        number = give(api, "release")
        assert waiting.result().json()["id"] == number


def test_no_order_is_204(api: Running) -> None:
    answer = api.client.get("/node/v1/order", params={"wait_s": 1}, headers=bearer(api.register()))
    assert (answer.status_code, answer.content) == (204, b"")


def test_many_nodes_wait_while_others_are_served(api: Running) -> None:
    tokens = [api.register(f"52:54:00:00:01:{number:02x}") for number in range(40)]
    with (
        ThreadPoolExecutor(len(tokens)) as pool,
        httpx.Client(
            base_url=api.client.base_url, verify=api.context, timeout=60, limits=httpx.Limits(max_connections=None)
        ) as client,
    ):
        waiting = [
            pool.submit(client.get, "/node/v1/order", params={"wait_s": 60}, headers=bearer(token)) for token in tokens
        ]
        answer = api.client.post("/node/v1/heartbeat", json=HEARTBEAT, headers=bearer(tokens[0]))
        assert answer.status_code == 204
        assert not any(future.done() for future in waiting)
        with api.store.write("test", "test") as writer:
            writer.give_orders([(f"node-52-54-00-00-01-{number:02x}", "reboot", 0, "") for number in range(40)])
        assert {future.result().json()["order"] for future in waiting} == {"reboot"}


def test_order_result(api: Running) -> None:
    token = api.register()
    number = give(api)
    answer = api.client.post(f"/node/v1/order/{number}", json={"result": "accepted"}, headers=bearer(token))
    assert answer.status_code == 204
    with api.store.read() as reader:
        assert [order.state for order in reader.orders(states=None)] == ["accepted"]


def test_event_and_heartbeat(api: Running) -> None:
    token = api.register()
    event = {"severity": "warning", "step": "network", "message": "slow", "epoch": 1}
    assert api.client.post("/node/v1/event", json=event, headers=bearer(token)).status_code == 204
    assert api.client.post("/node/v1/heartbeat", json=HEARTBEAT, headers=bearer(token)).status_code == 204
    with api.store.read() as reader:
        assert [found.message for found in reader.events(severities=["warning"])] == ["network: slow"]
        assert reader.resource(NAME).manifest == "a" * 64


def test_heartbeats_at_once_are_all_written(api: Running) -> None:
    tokens = [api.register(f"52:54:00:00:02:{number:02x}") for number in range(30)]
    with ThreadPoolExecutor(30) as pool:
        calls = [
            pool.submit(api.client.post, "/node/v1/heartbeat", json=HEARTBEAT, headers=bearer(token))
            for token in tokens
        ]
        assert {call.result().status_code for call in calls} == {204}
    with api.store.read() as reader:
        assert all(resource.manifest == "a" * 64 for resource in reader.resources())


def test_stop_answers_the_nodes_that_wait(api: Running) -> None:
    token = api.register()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api.client.get, "/node/v1/order", params={"wait_s": 60}, headers=bearer(token))
        while not waiting.running():
            pass
        api.client.post("/node/v1/heartbeat", json=HEARTBEAT, headers=bearer(token))
        api.stop()
        assert waiting.result().status_code == 204


def test_description_names_every_call(api: Running) -> None:
    paths = api.client.get("/openapi.json").json()["paths"]
    assert sorted(paths) == [
        "/node/v1/event",
        "/node/v1/heartbeat",
        "/node/v1/order",
        "/node/v1/order/{order_id}",
        "/node/v1/register",
        "/node/v1/secrets",
        "/node/v1/token",
    ]


def test_tokens_never_reach_the_log(api: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = api.register()
    api.client.post("/node/v1/heartbeat", json=HEARTBEAT | {"mode": "x"}, headers=bearer(token))
    api.client.get("/node/v1/order", params={"wait_s": 0}, headers=bearer(token[:-1]))
    assert caplog.messages
    assert token[:12] not in caplog.text


@pytest.mark.parametrize(
    "changes",
    [
        {"macs": []},
        {"macs": ["x"]},
        {"macs": [MAC] * 65},
        {"macs": "x"},
        {"boot_mac": "01:00:5e:00:00:01"},
        {"address": "nowhere"},
        {"cores": 0},
        {"cores": -1},
        {"cores": 10**30},
        {"memory_mib": "much"},
        {"memory_mib": 2**60},
        {"mode": "broken"},
        {"boot_id": "a b"},
        {"boot_id": "x" * 100},
        {"kernel": "z"},
        {"arch": "../x"},
        {"dmi": []},
        {"dmi": {"vendor": "x" * 300}},
        {"disks": [{"name": "a", "size_mib": -1}]},
        {"disks": [{"name": "a", "size_mib": 1}] * 1025},
        {"nics": [1]},
        {"bmc": {"address": "x'; --"}},
    ],
)
def test_bad_registrations_are_refused_with_a_reason(shared_api: Running, changes: dict[str, Any]) -> None:
    answer = shared_api.client.post("/node/v1/register", json=registration(**changes))
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]
    with shared_api.store.read() as reader:
        assert not reader.resources()


def test_what_the_firmware_says_is_made_printable(api: Running) -> None:
    api.register(dmi={"vendor": "A\x00c\u001bm\u009be\u2028\u202e \n", "product": "  "})
    with api.store.read() as reader:
        dmi = reader.resource(NAME).hardware["dmi"]
    assert (dmi["vendor"], dmi["product"]) == ("A c m e", "")  # type: ignore[index]


def test_fields_of_newer_nodes_are_ignored(api: Running) -> None:
    assert api.register(quantum_cores=7)


def test_machine_with_the_macs_of_two_resources_is_a_conflict(api: Running) -> None:
    other = "52:54:00:12:34:99"
    api.register()
    api.register(other)
    answer = api.client.post("/node/v1/register", json=registration(macs=[MAC, other]))
    assert (answer.status_code, "belong to several" in answer.json()["error"]) == (409, True)
