"""1,000 nodes that register, and then send a heartbeat, in the same minute: all are served, and without an error.

Run: PYTHONPATH=. python tests/benchmarks/bench_node_api.py [--nodes 1000]. Needs root: everything is in a network
namespace of its own, which ends with it. All nodes call at the same moment, each over a TLS connection of its own for
each call, as a machine that boots does; the clients take a part of the same processors.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from openqrm.config import load_config
from openqrm.store import open_store

from tests.benchmarks.bench_tree import mac
from tests.benchmarks.fetching import in_own_network
from tests.benchmarks.measuring import finish, verdict

MINUTE_S = 60
ADDRESS = ("127.0.0.1", 7443)
START_S = 30


@dataclass(frozen=True)
class Call:
    """One call of a node: where, what, and the token that it has."""

    path: str
    body: dict[str, object]
    token: str = ""


@dataclass(frozen=True)
class Answer:
    """What came back: the status, or 0 and why there is none."""

    status: int
    body: bytes
    problem: str = ""


def registration(number: int) -> Call:
    """The registration of a machine with what a real one has."""
    macs = [mac(number), mac(number).replace("52:54:00", "52:54:01")]
    nics = [
        {"mac": value, "name": f"eth{place}", "driver": "virtio_net", "link": True} for place, value in enumerate(macs)
    ]
    body: dict[str, object] = {
        "macs": macs,
        "boot_mac": macs[0],
        "address": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
        "boot_id": f"boot-{number}",
        "cores": 8,
        "memory_mib": 32768,
        "firmware": "bios",
        "dmi": {"vendor": "openQRM", "product": "simulated", "serial": str(number)},
        "disks": [{"name": "sda", "size_mib": 102400}],
        "nics": nics,
    }
    return Call("/node/v1/register", body)


def heartbeat(number: int, token: str) -> Call:
    """The first heartbeat of the same machine."""
    return Call("/node/v1/heartbeat", {"boot_id": f"boot-{number}", "mode": "idle", "uptime_s": 20.0}, token)


async def answer(call: Call, trust: ssl.SSLContext) -> Answer:
    """What the server says to one call on a connection of its own."""
    content = json.dumps(call.body).encode()
    bearer = f"Authorization: Bearer {call.token}\r\n" if call.token else ""
    head = (
        f"POST {call.path} HTTP/1.1\r\nHost: {ADDRESS[0]}\r\nConnection: close\r\n{bearer}"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    try:
        reader, writer = await asyncio.open_connection(*ADDRESS, ssl=trust, ssl_handshake_timeout=MINUTE_S)
        with contextlib.closing(writer):
            writer.write(head.encode() + content)
            found = await reader.read()
        return Answer(int(found.split(b" ", 2)[1]), found.partition(b"\r\n\r\n")[2])
    except (OSError, ValueError, IndexError) as error:
        return Answer(0, b"", f"{type(error).__name__}: {error}")


async def all_answers(calls: Sequence[Call], trust: ssl.SSLContext) -> list[Answer]:
    """The answers to calls that are made at the same moment."""
    return list(await asyncio.gather(*(answer(call, trust) for call in calls)))


@contextlib.contextmanager
def served(directory: Path) -> Iterator[ssl.SSLContext]:
    """The node API on a new store, until the end of the block; what its clients trust."""
    settings = {
        "store": f"sqlite:///{directory}/openqrm.db",
        "state_dir": str(directory),
        "api": {"listen": ADDRESS[0], "port": ADDRESS[1], "url": f"https://{ADDRESS[0]}:{ADDRESS[1]}"},
    }
    path = directory / "openqrm.yml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    open_store(load_config(str(path)).store, create=True).close()
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen([sys.executable, "-m", "openqrm", "--config", str(path), "serve"], stderr=log)
    try:
        wait_for(directory / "log")
        yield ssl.create_default_context(cafile=directory / "pki" / "ca.pem")
    finally:
        server.terminate()
        server.wait(timeout=30)


def wait_for(log: Path) -> None:
    """Returns when the server listens. Raises: RuntimeError with what it said instead."""
    deadline = time.monotonic() + START_S
    while "node API on" not in log.read_text(encoding="utf-8"):
        if time.monotonic() > deadline:
            raise RuntimeError(f"The server does not listen:\n{log.read_text(encoding='utf-8')}")
        time.sleep(0.05)


def measure(what: str, calls: Sequence[Call], trust: ssl.SSLContext, status: int) -> tuple[bool, list[Answer]]:
    """Makes the calls, prints what came of them; whether all were served in time, and the answers."""
    begun = time.perf_counter()
    answers = asyncio.run(all_answers(calls, trust))
    taken = time.perf_counter() - begun
    failed = [found for found in answers if found.status != status]
    met = not failed and taken <= MINUTE_S
    print(
        f"{len(calls)} {what} at once: {taken:.1f} s, {len(calls) / taken:.0f} a second, {len(failed)} failed,"
        f" bar {MINUTE_S} s and 0: {verdict(met)}",
        flush=True,
    )
    for reason in sorted({found.problem or f"{found.status}: {found.body[:200]!r}" for found in failed})[:5]:
        print(f"  {reason}")
    return met, answers


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=1000)
    options = parser.parse_args()
    in_own_network()
    with tempfile.TemporaryDirectory() as name, served(Path(name)) as trust:
        registered, answers = measure("registrations", [registration(n) for n in range(options.nodes)], trust, 200)
        tokens = [json.loads(found.body)["token"] if found.status == 200 else "" for found in answers]
        beats = [heartbeat(number, token) for number, token in enumerate(tokens)]
        beaten, _ = measure("heartbeats", beats, trust, 204)
    finish(registered, beaten)


if __name__ == "__main__":
    main()
