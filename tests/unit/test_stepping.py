"""Who answers the steps of a playbook: the process that serves them, and where it is gone the task itself."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from openqrm import stepping
from openqrm.errors import StoreError

from tests.support.center import FakeCenter, make_center


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    made = make_center(tmp_path)
    made.add_nodes(1)
    yield made
    made.store.close()


def request(step: str, **more: Any) -> Mapping[str, Any]:
    return {"step": step, "actor": "test", "plan": 99} | more


def found() -> dict[str, Any]:
    """An answer's error: the plan does not exist, which only the store can know."""
    return dict(stepping.ask(request("found"))["error"])


def test_a_served_step_is_answered_by_the_process_that_serves(
    center: FakeCenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENQRM_CONFIG", "/nonexistent/openqrm.yml")
    with stepping.serve(center.root, center.config) as variables:
        monkeypatch.setenv(stepping.SOCKET, variables[stepping.SOCKET])
        assert found()["kind"] == "NotFoundError"


def test_a_step_with_a_configuration_of_its_own_is_not_sent_to_another(
    center: FakeCenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    made = make_center(other)
    with made.store.write("test", "storage") as tx:
        tx.set_setting("default_kernel", "default")
    made.store.close()
    with stepping.serve(center.root, center.config) as variables:
        monkeypatch.setenv(stepping.SOCKET, variables[stepping.SOCKET])
        center.store.close()
        (center.root / "openqrm.db").unlink()
        answered = stepping.ask(request("found"), str(made.config.path))
    assert answered["error"]["kind"] == "NotFoundError"


@pytest.mark.parametrize("left", ["nothing", "a socket that nobody listens on", "one that hangs up"])
def test_without_the_process_that_served_a_step_is_done_here(
    left: str, center: FakeCenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = center.root / "gone"
    with socket.socket(socket.AF_UNIX) as server:
        if left != "nothing":
            server.bind(str(path))
        if left == "one that hangs up":
            server.listen()
            threading.Thread(target=lambda: server.accept()[0].close(), daemon=True).start()
        monkeypatch.setenv(stepping.SOCKET, str(path))
        monkeypatch.setenv("OPENQRM_CONFIG", str(center.config.path))
        assert found()["kind"] == "NotFoundError"


def test_an_unreadable_store_is_an_error_of_each_step(center: FakeCenter, monkeypatch: pytest.MonkeyPatch) -> None:
    (center.root / "openqrm.db").write_text("this is not a database, whatever its name says")
    with stepping.serve(center.root, center.config) as variables:
        monkeypatch.setenv(stepping.SOCKET, variables[stepping.SOCKET])
        assert found()["kind"] == "StoreError"
    monkeypatch.delenv(stepping.SOCKET)
    with pytest.raises(StoreError):
        stepping.ask(request("found"), str(center.config.path))


def test_the_socket_goes_with_the_run_and_many_tasks_are_answered_at_once(
    center: FakeCenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[str] = []
    with stepping.serve(center.root, center.config) as variables:
        monkeypatch.setenv(stepping.SOCKET, variables[stepping.SOCKET])
        threads = [threading.Thread(target=lambda: answers.append(found()["kind"])) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert answers == ["NotFoundError"] * 20
    with pytest.raises(OSError, match="refused"), socket.socket(socket.AF_UNIX) as client:
        client.connect(variables[stepping.SOCKET])
