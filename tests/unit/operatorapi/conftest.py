"""An operator API over a store with a few objects, called in this process; playbook runs are recorded, not done."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from openqrm import operators
from openqrm.config import Config
from openqrm.datacenter import Datacenter
from openqrm.model import Appliance, Image, Kernel, Nic, Resource, Storage, Volume
from openqrm.operatorapi.app import Operations, create_app
from openqrm.runner import RunResult
from openqrm.store import open_store

ROLES = ("viewer", "operator", "admin")


@dataclass
class Runs:
    """Stands for `run_playbook`: keeps what was asked for, and returns `result`."""

    result: RunResult = field(default_factory=lambda: RunResult("successful", changed=True))
    calls: list[tuple[str, dict[str, Any], int | None, str]] = field(default_factory=list)

    def __call__(
        self,
        _config: Config,
        playbook: str,
        variables: Mapping[str, object],
        *,
        plan: int | None,
        cancel: object,  # noqa: ARG002 - as the real one takes it
        actor: str,
    ) -> RunResult:
        """Records a run."""
        self.calls.append((playbook, dict(variables), plan, actor))
        return self.result


@dataclass(frozen=True)
class Client:
    """Calls the application, each call in an event loop of its own."""

    app: FastAPI

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="https://api") as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())

    def get(self, path: str, **options: Any) -> httpx.Response:
        """The answer to a GET."""
        return self.request("GET", path, **options)


@dataclass(frozen=True)
class Api:
    """The API, its data centre, a token for each role, and the runs that it asked for."""

    client: Client
    operations: Operations
    tokens: Mapping[str, str]
    runs: Runs

    def call(self, role: str, method: str, path: str, body: object = None) -> Any:
        """The answer to a call with the token of a role."""
        return self.client.request(method, path, json=body, headers=self.headers(role))

    def headers(self, role: str) -> dict[str, str]:
        """The header with the token of a role; none for an empty one."""
        return {"authorization": f"Bearer {self.tokens[role]}"} if role else {}

    def finish(self) -> None:
        """Waits for the runs."""
        self.operations.work._runs.shutdown(wait=True)


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """An operator API over a store of its own."""
    with opened(tmp_path, monkeypatch) as found:
        yield found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An operator API for all tests of a module that change nothing."""
    with pytest.MonkeyPatch.context() as patch, opened(tmp_path_factory.mktemp("api"), patch) as found:
        yield found


class opened:  # noqa: N801 - a context manager that reads as a word
    """The API while it is entered."""

    def __init__(self, path: Path, patch: pytest.MonkeyPatch) -> None:
        self._path = path
        self._patch = patch

    def __enter__(self) -> Api:
        runs = Runs()
        self._patch.setattr("openqrm.operatorapi.work.run_playbook", runs)
        config = Config(path=self._path / "openqrm.yml", state_dir=str(self._path))
        store = open_store(f"sqlite:///{self._path}/openqrm.db", create=True)
        with store.write("test", "test") as writer:
            fill(writer)
        self._operations = Operations(Datacenter(config, store))
        tokens = {role: operators.create(store, role, role, "test") for role in ROLES}
        return Api(Client(create_app(self._operations)), self._operations, tokens, runs)

    def __exit__(self, *_: object) -> None:
        self._operations.close()
        self._operations.center.close()


def fill(writer: Any) -> None:
    """Adds an idle machine and an appliance that it can run."""
    writer.save(
        [
            Resource(
                0,
                "node1",
                cores=4,
                memory_mib=4096,
                nics=(Nic("52:54:00:00:00:01", role="management"),),
                address="10.77.0.50",
                power_driver="fake",
                mode="idle",
            ),
            Kernel(0, "k1", "6.1.0", "x86_64", "a" * 64, "b" * 64, "c" * 64),
            Storage(0, "san1", "fake", "san1", "/srv/volumes", "10.78.0.10"),
            Volume(0, "web", "san1", 1024),
            Image(0, "web", "san1", "web", "fake"),
            Appliance(0, "web01", "k1", "web"),
        ]
    )
    writer.set_state("resource", ["node1"], "idle")
    writer.set_setting("default_kernel", "k1")
    writer.add_event("info", "hello", "resource", "node1")
