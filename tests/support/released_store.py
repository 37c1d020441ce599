"""Stores as released versions left them: a database of each schema, frozen as SQL, and what must be in it ever after.

`python -m tests.support.released_store` freezes the newest schema, once, from `fill`: run it when a revision is added.
"""

from __future__ import annotations

import sqlite3
import subprocess
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from openqrm.model import (
    Appliance,
    HostKey,
    Identity,
    Image,
    Kernel,
    Nic,
    Operation,
    Plan,
    Requirements,
    Resource,
    Storage,
    Volume,
)
from openqrm.store import Reader, Store, Writer, head, open_store
from openqrm.store.backup import backup

from tests.support.postgresql import OWNER, Server, running_server

DIRECTORY = Path(__file__).parents[1] / "unit/store/released"
FORMS = ("sqlite.sql", "postgresql.sql", "backup")
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
STATES = ("idle", "active", "off", "quarantined")


def fill(tx: Writer) -> None:
    """One of everything that a store can hold; text that needs quoting, times, numbers beyond 32 bits."""
    nodes = [
        Resource(
            0,
            f"node{number}",
            state,
            cores=number,
            memory_mib=1 << 33,
            nics=(
                Nic(f"52:54:00:00:00:{number:02x}", "eth0", "management"),
                Nic(f"52:54:00:00:01:{number:02x}", "eth1", "storage", f"10.78.0.{number}/24"),
            ),
            tags=frozenset({f"rack:r{number}", "gpu"}),
            power_driver="redfish",
            power={"system": str(number)},
            hardware={"dmi": {"vendor": 'O\'Neill "& Söhne"; --'}},
            boot_id="b1",
            mode="idle",
            last_seen=MOMENT,
            parameters={"cost": 1.5, "list": ["a", "b"]},
        )
        for number, state in enumerate(STATES, start=1)
    ]
    tx.save(nodes)
    tx.save(
        [
            Kernel(0, "debian12", "6.1.0-13-cloud-amd64", "x86_64", "a" * 64, "b" * 64, "c" * 64, {"vmlinuz": 1 << 33}),
            Storage(0, "san1", "directory", "san1.example", "/srv/volumes", "10.78.0.10", {"quota": True}),
            Volume(0, "golden", "san1", 2048),
            Volume(0, "web-0", "san1", parent="golden", parameters={"pending": True}),
            Image(0, "golden", "san1", "golden", "nfs"),
            Image(0, "web-0", "san1", "web-0", "nfs", "clone", parent="golden"),
            Appliance(
                0,
                "web",
                "debian12",
                "golden",
                "active",
                requirements=Requirements(cores=2, tags=frozenset({"gpu"})),
                sla={"ha": True},
            ),
            Appliance(0, "db", "debian12", "golden", clone=False, members=2),
        ]
    )
    _history(tx)


def _history(tx: Writer) -> None:
    """Epochs, plans, orders, events, settings: and numbers that were given to objects that are gone."""
    operation = Operation(1, 1, "san1", "openqrm.datacenter.storage_directory", "volume_clone", "storage_volumes", ())
    items = ({"name": "web-0", "source": "golden"},)
    plan = tx.add_plan(
        Plan(
            0,
            "start",
            "done",
            "digest",
            (replace(operation, items=items, state="done"),),
            ({"kind": "appliance", "name": "web"},),
        )
    )
    for _ in range(2):
        tx.release("web", [0])
        tx.assign([("web", 0, "node2", "web-0", plan.id)])
    tx.set_identity(Identity("node2", "d" * 64, "c" * 64, 2, MOMENT), "register")
    tx.add_api_token("nightly", "operator", "f" * 64)
    tx.add_host_key(HostKey("web/0", "ssh-ed25519 AAAA", "sealed"))
    tx.set_order(tx.give_orders([("node2", "assign", 2, "e" * 64)])[0], "accepted")
    tx.add_event("warning", "Line one\nline two", "resource", "node2", {"problem": "test"})
    for key, value in (("default_kernel", "debian12"), ("nothing", None), ("nested", {"a": [1, None, "x"]})):
        tx.set_setting(key, value)
    tx.set_plugin("hosts", enabled=True)
    tx.save([Resource(0, "gone")])
    tx.remove("resource", ["gone"])


def facts(tx: Reader) -> dict[str, Any]:
    """What must be the same in a store of `fill`, whatever schema it had."""
    nodes, web = tx.resources(), tx.appliance("web")
    token = tx.resource_by_token("d" * 64)
    return {
        "names": {kind: tx.names(kind) for kind in ("resource", "kernel", "storage", "volume", "image", "appliance")},
        "states": tuple(node.state for node in nodes),
        "nics": [(nic.mac, nic.name, nic.role, nic.address) for nic in nodes[1].nics],
        "tags": sorted(nodes[1].tags),
        "node": (nodes[1].memory_mib, nodes[1].power, nodes[1].hardware, nodes[1].last_seen, nodes[1].parameters),
        "token": token and token.name,
        "kernel": (tx.kernel("debian12").initramfs, dict(tx.kernel("debian12").sizes)),
        "storage": (tx.storage("san1").location, dict(tx.storage("san1").parameters)),
        "volume": (tx.volume("san1", "web-0").parent, dict(tx.volume("san1", "web-0").parameters)),
        "image": (tx.image("web-0").kind, tx.image("web-0").parent, tx.image("golden").kind),
        "web": (web.state, web.clone, web.requirements.cores, sorted(web.requirements.tags), dict(web.sla)),
        "db": (tx.appliance("db").state, tx.appliance("db").clone, tx.appliance("db").members),
        "assignments": [(row.appliance, row.member, row.resource, row.image, row.epoch) for row in tx.assignments()],
        "plan": [(p.verb, p.state, p.operations[0].items[0]["source"], p.objects[0]["name"]) for p in tx.plans()],
        "orders": [(order.resource, order.order, order.epoch, order.state) for order in tx.orders(states=None)],
        "events": [(event.severity, event.message, dict(event.data)) for event in tx.events(kind="resource")],
        "settings": tx.settings(),
        "plugins": tx.plugins(),
        "last change": tx.audit("resource", "gone")[-1].action,
    }  # fmt: skip


FACTS: dict[str, Any] = {
    "names": {
        "resource": ["node1", "node2", "node3", "node4"],
        "kernel": ["debian12"],
        "storage": ["san1"],
        "volume": ["san1/golden", "san1/web-0"],
        "image": ["golden", "web-0"],
        "appliance": ["db", "web"],
    },
    "states": STATES,
    "nics": [
        ("52:54:00:00:00:02", "eth0", "management", ""),
        ("52:54:00:00:01:02", "eth1", "storage", "10.78.0.2/24"),
    ],
    "tags": ["gpu", "rack:r2"],
    "node": (
        1 << 33,
        {"system": "2"},
        {"dmi": {"vendor": 'O\'Neill "& Söhne"; --'}},
        MOMENT,
        {"cost": 1.5, "list": ["a", "b"]},
    ),
    "token": "node2",
    "kernel": ("b" * 64, {"vmlinuz": 1 << 33}),
    "storage": ("/srv/volumes", {"quota": True}),
    "volume": ("golden", {"pending": True}),
    "image": ("clone", "golden", "golden"),
    "web": ("active", True, 2, ["gpu"], {"ha": True}),
    "db": ("stopped", False, 2),
    "assignments": [("web", 0, "node2", "web-0", 2)],
    "plan": [("start", "done", "golden", "web")],
    "orders": [("node2", "assign", 2, "accepted")],
    "events": [("warning", "Line one\nline two", {"problem": "test"})],
    "settings": {"default_kernel": "debian12", "nested": {"a": [1, None, "x"]}, "nothing": None},
    "plugins": {"hosts": {"enabled": True}},
    "last change": "remove",
}


def filled(url: str) -> Store:
    """A new store with `fill`, open."""
    store = open_store(url, create=True)
    with store.write("freeze", "fill") as tx:
        fill(tx)
    return store


def load(revision: str, url: str) -> None:
    """Makes the empty database into the frozen one of this revision."""
    script = (DIRECTORY / f"{revision}.{url.partition('+')[0].partition(':')[0]}.sql").read_text(encoding="utf-8")
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.executescript(script)
        connection.close()
        return
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(script.replace("%", "%%"))
    engine.dispose()


def _sqlite_script(path: Path) -> str:
    connection = sqlite3.connect(path)
    try:
        return "\n".join(connection.iterdump()) + "\n"
    finally:
        connection.close()


def _postgresql_script(server: Server, url: str) -> str:
    """What pg_dump prints, without comments, settings of its session and commands of psql, which differ by version."""
    database = str(sa.make_url(url).database)
    options = ["--inserts", "--no-owner", "--no-privileges", "-h", server.socket, "-U", OWNER]
    done = subprocess.run([server.binaries / "pg_dump", *options, database], check=True, capture_output=True, text=True)
    noise = ("--", "\\", "SET ", "SELECT pg_catalog.set_config")
    return "".join(f"{line}\n" for line in done.stdout.splitlines() if line and not line.startswith(noise))


def freeze() -> None:
    """Writes the files of the newest schema. Those of a version that was released are never written again."""
    paths = [DIRECTORY / f"{head()}.{form}" for form in FORMS]
    if any(path.exists() for path in paths):
        raise SystemExit(f"Schema {head()} is frozen already: {', '.join(map(str, paths))}.")
    with running_server() as server, tempfile.TemporaryDirectory() as scratch:
        urls = f"sqlite:///{scratch}/store.db", server.create_database()
        for url in urls:
            filled(url).close()
        paths[0].write_text(_sqlite_script(Path(scratch, "store.db")), encoding="utf-8")
        paths[1].write_text(_postgresql_script(server, urls[1]), encoding="utf-8")
        backup(urls[0], paths[2])
        paths[2].chmod(0o644)


if __name__ == "__main__":
    freeze()
