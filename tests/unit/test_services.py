"""Boot services: which there are, where they run, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from openqrm import services
from openqrm.errors import InvalidValueError, NotFoundError
from openqrm.store import Store
from openqrm.types import TypeInfo

from tests.support.fleet import make_fleet

PLUGINS = [
    TypeInfo("plugin", "backup", "a.b.plugin_backup", Path("/r/plugin_backup"), "", boot_services=("client", "check")),
    TypeInfo("plugin", "hosts", "a.b.plugin_hosts", Path("/r/plugin_hosts"), ""),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = make_fleet(f"sqlite:///{tmp_path}/openqrm.db")
    yield made
    made.close()


def change(store: Store, *scopes: str, attach: bool = True, service: str = "backup/client") -> bool:
    """Attaches or detaches; whether something changed."""
    with store.write("test", "scopes") as writer:
        before, after = services.plan_scopes(writer, PLUGINS, [service], scopes, attach)
        services.write_scopes(writer, after)
    return before != after


def test_services_are_named_after_plug_in_and_file() -> None:
    found = services.services_of(PLUGINS)
    assert list(found) == ["backup/client", "backup/check"]
    client = found["backup/client"]
    assert (client.unit, client.program) == ("backup-client", Path("/r/plugin_backup/files/client.sh"))


def test_scopes_are_added_and_taken_away(store: Store) -> None:
    assert change(store, "appliances", "resource:node1")
    assert not change(store, "appliances")
    assert change(store, "image:web", service="backup/check")
    with store.read() as reader:
        scopes = {"backup/check": ("image:web",), "backup/client": ("appliances", "resource:node1")}
        assert services.scopes_of(reader) == scopes
        assert services.running_services(reader, PLUGINS) == [], "the plug-in is not enabled"
    assert change(store, "appliances", "image:web", attach=False)
    with store.write("test", "enable") as writer:
        writer.set_plugin("backup", enabled=True)
        running = [(service.full_name, scopes) for service, scopes in services.running_services(writer, PLUGINS)]
    assert running == [("backup/check", ("image:web",)), ("backup/client", ("resource:node1",))]
    assert change(store, "resource:node1", attach=False)
    with store.read() as reader:
        assert list(services.scopes_of(reader)) == ["backup/check"]


def test_what_is_gone_can_be_detached(store: Store) -> None:
    assert change(store, "appliance:db")
    with store.write("test", "gone") as writer:
        writer.remove("appliance", ["db"])
    assert change(store, "appliance:db", attach=False)


@pytest.mark.parametrize(
    ("scopes", "runs"),
    [
        (["resources"], True),
        (["appliances"], True),
        (["images"], True),
        (["resource:node1"], True),
        (["appliance:web"], True),
        (["image:nginx"], True),
        (["image:web-0"], True),
        (["resource:node2", "appliance:db", "image:other"], False),
        (["appliance:node1"], False),
        ([], False),
    ],
)
def test_a_service_runs_in_its_scopes(scopes: list[str], runs: bool) -> None:
    assert services.is_in_scope(scopes, "node1", "web", {"web-0", "nginx"}) is runs


@pytest.mark.parametrize(
    ("scope", "error", "words"),
    [
        ("everything", InvalidValueError, "Scope 'everything' is not valid"),
        ("host:node1", InvalidValueError, "Scope 'host:node1' is not valid"),
        ("", InvalidValueError, "Scope '' is not valid"),
        ("resources:node1", InvalidValueError, "is not valid"),
        ("resource:../x", InvalidValueError, "Resource name '../x' is not valid"),
        ("resource:", InvalidValueError, "Resource name '' is not valid"),
        ("appliance:wbe", NotFoundError, "Appliance wbe does not exist"),
    ],
)
def test_scopes_that_are_none_are_refused(store: Store, scope: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words.replace("(", r"\(")):
        change(store, scope)


def test_a_service_that_no_plug_in_has_is_refused(store: Store) -> None:
    with pytest.raises(NotFoundError, match="Boot service backup/clinet does not exist"):
        change(store, "appliances", service="backup/clinet")
