"""Scripts of what the verbs of a deployment method are asked on its server, and of what clients then can do."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openqrm.boot.manifest import AOE_SLOTS
from openqrm.types import TypeInfo

from tests.conformance.script import Case, Later, Script, Steps, Target
from tests.support.roles import LOCALHOST, TRANSCRIPT, Command, Host, Step

STORAGES = {"filesystem": "openqrm.datacenter.storage_directory", "block": "openqrm.datacenter.storage_file"}
"""The storage types whose volumes are granted, unless another one is named."""

# Volumes of the suite have numbers that those of a data centre do not reach.
FIRST_NUMBER, NUMBERS = 2_000_000, 9_000_000
MOST = 50  # volumes of a case
SECRET = "conformance-" + secrets.token_hex(16)
# What a client may take when it is let in, and how long it writes at most; a server may be emulated.
LIMIT_S, HELD_S = 30, 300
# Where the text is in a block volume, read past the page cache; clients have the same place in bytes.
BLOCK_BYTES, BLOCK = 4096, 512
# "$@" runs in the background once it has printed a line; "$0": where that goes.
HOLD = """\
setsid "$@" > "$0" 2> "$0.error" < /dev/null &
echo $! > "$0.pid"
for try in $(seq 200); do [ ! -s "$0" ] || exit 0; kill -0 $! || break; sleep 0.2; done 2> /dev/null
cat "$0.error" >&2
exit 1
"""
RELEASE = 'kill "$(cat "$0.pid")" 2> /dev/null; tail -n 1 "$0"'


@dataclass(frozen=True)
class Client:
    """A client: how servers know it (`name`, `address`, `mac`, `iqn`, `nqn`), and what its commands begin with."""

    known: Mapping[str, str]
    prefix: tuple[str, ...] = ()


@dataclass(frozen=True)
class MethodTarget:
    """A deployment method at a server.

    `storage`, `location`: where volumes are made; `address`: the server's, for clients; `program`: what a client runs;
    `lacks`: `read_only` where such grants are refused, `sessions` where none are counted, `volumes` where missing ones
    are not noticed; `variables` of the role; `restart`: a command on the server that restarts what serves grants;
    `patience_s`: how long a client that must be let in tries; `revoke_s`: what a revocation in use may take.
    """

    info: TypeInfo
    storage: TypeInfo
    location: str
    address: str
    client: Client
    stranger: Client
    program: tuple[str, ...]
    host: Host = LOCALHOST
    lacks: frozenset[str] = frozenset()
    variables: Mapping[str, Any] = field(default_factory=dict)
    restart: tuple[str, ...] = ()
    patience_s: int = 30
    revoke_s: float = 60
    size_mib: int = 16

    def can(self, capability: str) -> bool:
        """Whether a case that needs this has a say: `restart`, `secret`, or what may be lacking; `not` before it."""
        if capability.startswith("not "):
            return not self.can(capability.removeprefix("not "))
        known = {"restart": bool(self.restart), "secret": self.info.secret}
        return known.get(capability, capability not in self.lacks)


def own_program(method: str) -> tuple[str, ...]:
    """The client of one of this collection's methods."""
    return (sys.executable, "-m", f"tests.conformance.clients.{method}")


def client_of(name: str, prefix: Sequence[str], server: str) -> Client:
    """The client that reaches the server with commands that begin with `prefix`: its address and MAC are found."""

    def asked(*words: str) -> Any:
        argv = [*prefix, "ip", "-json", *words]
        return json.loads(subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout)[0]

    route = asked("route", "get", server)
    link = asked("link", "show", "dev", route["dev"])
    return Client(known_as(name, route["prefsrc"], link["address"]), tuple(prefix))


def known_as(name: str, address: str, mac: str) -> dict[str, str]:
    """How servers know a client of this name, which is unique to the run."""
    names = {kind: f"{kind}.2010-09.com.openqrm:{name}" for kind in ("iqn", "nqn")}
    return {"name": name, "address": address, "mac": mac, **names}


class GrantScript(Steps):
    """Collects the steps of one case, whose volumes have names of its own; they are there before it begins."""

    def __init__(self, target: MethodTarget, prefix: str, volumes: Script, number: int) -> None:
        """`volumes` makes and removes them; `number` is that of the first one."""
        super().__init__(volumes.directory)
        self.target = target
        self.given: list[dict[str, Any]] = []
        self.volumes: dict[str, dict[str, Any]] = {}
        self._storage, self._prefix, self._number = volumes, prefix, number
        self._requests = 0

    def grant(self, name: str, client: Client | None = None, **more: Any) -> dict[str, Any]:
        """The grant of a volume, which is made, to the client, or another one."""
        if name not in self.volumes:
            self.volumes[name] = self._storage.volume(f"{self._prefix}{name}")
        number = self._number + list(self.volumes).index(name)
        return self._grant(self.volumes[name]["name"], number, client) | more

    def missing(self) -> dict[str, Any]:
        """The grant of a volume that does not exist."""
        return self._grant(f"{self._storage.made[0]['name']}-missing", self._number + MOST)

    def _grant(self, name: str, number: int, client: Client | None = None) -> dict[str, Any]:
        return {
            "volume": name,
            "path": self._storage.target.path({"name": name}),
            "target": f"conformance.{name}",
            "number": number,
            "client": dict((client or self.target.client).known),
            "read_only": False,
            **({"secret": SECRET} if self.target.info.secret else {}),
        }

    def prepare(self) -> Later:
        """Have the role prepare the server."""
        return self._step("prepare")

    def list(self) -> Later:
        """Have the role list all grants."""
        return self._step("grants_list")

    def authorize(self, *grants: dict[str, Any], check: bool = False) -> Later:
        """Have the role give grants that can be given; what is left of them is taken back after the case."""
        self.given += [grant for grant in grants if grant not in self.given and not check]
        return self.verb("authorize", *grants, check=check)

    def revoke(self, *grants: dict[str, Any], check: bool = False) -> Later:
        """Have the role take grants back."""
        self.given = [grant for grant in self.given if check or grant not in grants]
        return self.verb("revoke", *grants, check=check)

    def take_back(self) -> None:
        """Have the role take back what is left."""
        if self.given:
            self.revoke(*self.given)

    def verb(self, verb: str, *grants: Mapping[str, Any], check: bool = False) -> Later:
        """Have the role do the verb with any grants."""
        return self._step(verb, {"deployment_grants": [dict(grant) for grant in grants]}, check)

    def _step(self, verb: str, variables: Mapping[str, Any] | None = None, check: bool = False) -> Later:
        return self.add(Step(self.target.info.role, verb, {**self.target.variables, **(variables or {})}, check))

    def named(self, listing: Later, *grants: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What a list says of the volumes of these grants."""
        return [item for item in listing.items if item["path"] in {grant["path"] for grant in grants}]

    # What clients do

    def read(self, grant: Mapping[str, Any]) -> Later:
        """Have the grant's client read the text of its volume, which it must be let."""
        return self._client("read", grant, self.target.patience_s)

    def write(self, grant: Mapping[str, Any], text: str) -> Later:
        """Have the grant's client write a text, which it must be let."""
        return self._client("write", grant, self.target.patience_s, text=text)

    def attempt(
        self, grant: Mapping[str, Any], client: Client | None = None, action: str = "read", **more: Any
    ) -> Later:
        """Have a client, that of the grant or another one, try once; by `worked`. `more` replaces what it is told."""
        return self._client(action, grant, 0, client or self._client_of(grant), **more)

    def hold(self, grant: Mapping[str, Any]) -> tuple[Later, str]:
        """Have the grant's client write numbers in one session from now on; also where they are noted."""
        request = self._request(grant, self._client_of(grant), patience_s=self.target.patience_s, limit_s=HELD_S)
        log = f"{request}.log"
        return self._here("sh", "-c", HOLD, log, *self._command(self._client_of(grant), "hold", request)), log

    def release(self, log: str) -> Later:
        """End such a session; the last number that the server took."""
        return self._here("sh", "-c", RELEASE, log)

    def clock(self) -> Later:
        """Read the time in seconds."""
        return self._here("date", "+%s.%N")

    def _client_of(self, grant: Mapping[str, Any]) -> Client:
        clients = self.target.client, self.target.stranger
        return next(client for client in clients if client.known["name"] == grant["client"]["name"])

    def _client(
        self, action: str, grant: Mapping[str, Any], patience_s: int, client: Client | None = None, **more: Any
    ) -> Later:
        client = client or self._client_of(grant)
        request = self._request(grant, client, patience_s=patience_s, limit_s=LIMIT_S + patience_s, **more)
        return self._here(*self._command(client, action, request))

    def _command(self, client: Client, action: str, request: str) -> list[str]:
        return [*client.prefix, *self.target.program, action, request]

    def _here(self, *argv: str) -> Later:
        return self.add(Command(argv, here=True))

    def _request(self, grant: Mapping[str, Any], client: Client, **more: Any) -> str:
        """The file in which a client is told what a node would be told, and what it is to do."""
        self._requests += 1
        path = self.directory / f"{self._prefix}{self._requests}.json"
        told = {
            "parameters": self._parameters(grant, client),
            "client": dict(client.known),
            "secret": grant.get("secret", ""),
            "variables": dict(self.target.variables),
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(told | more), encoding="utf-8")
        return str(path)

    def _parameters(self, grant: Mapping[str, Any], client: Client) -> dict[str, str]:
        """The manifest's parameters of the grant. Another client takes them as they are, but says its own names."""
        words = {
            "storage_address": self.target.address,
            "storage_addresses": self.target.address,
            "volume_path": grant["path"],
            "volume": grant["volume"],
            "location": self.target.location,
            "target": grant["target"],
            "aoe_shelf": str(1 + grant["number"] // AOE_SLOTS),
            "aoe_slot": str(grant["number"] % AOE_SLOTS),
            "appliance": "conformance",
            "member": "0",
        }
        owner, own = ({f"client_{key}": value for key, value in who.items()} for who in (grant["client"], client.known))
        names = {f"{{{key}}}" for key in own}
        return {
            key: text.format_map(words | (own if text in names else owner))
            for key, text in self.target.info.manifest.items()
        }

    # What is on the server

    def on_server(self, grant: Mapping[str, Any], after_s: float = 0) -> Later:
        """Read the text of the volume on the server, after some seconds."""
        if self.target.info.needs == "block":
            reading = ["dd", f"if={grant['path']}", "iflag=direct", f"bs={BLOCK_BYTES}", f"skip={BLOCK}", "count=1"]
        else:
            reading = ["cat", f"{grant['path']}/conformance"]
        return self.add(Command(["sh", "-c", f'sleep {after_s}; exec "$@"', "sh", *reading]))

    def restart(self) -> Later:
        """Restart what serves the grants."""
        return self.add(Command(self.target.restart))

    def transcript(self) -> str:
        """All that the run printed, when it is over."""
        return (self.directory / TRANSCRIPT).read_text(encoding="utf-8")


class Volumes(Script):
    """Makes the volumes of all cases, and removes them."""

    def clean(self) -> None:
        """Remove them by one call; none is a clone."""
        self.verb("remove", *self.made)


def begin(
    target: MethodTarget, directory: Path, cases: Mapping[str, tuple[str, Callable[[GrantScript], Case]]]
) -> tuple[dict[str, Case], list[Steps]]:
    """Have the cases that the target can do write their scripts; making the volumes and preparing comes first."""
    storage = Target(target.storage, target.location, target.info.needs, target.host, size_mib=target.size_mib)
    volumes = Volumes(storage, f"conf{secrets.token_hex(3)}-", directory)
    number = FIRST_NUMBER + secrets.randbelow(NUMBERS)
    running: dict[str, Case] = {}
    scripts: list[GrantScript] = []
    for place, (name, (capability, case)) in enumerate(cases.items()):
        if not capability or target.can(capability):
            script = GrantScript(target, f"{place}-", volumes, number + 2 * MOST * place)
            running[name] = case(script)
            next(running[name])
            script.take_back()
            scripts.append(script)
    first = GrantScript(target, "", volumes, number)
    volumes.prepare()
    volumes.verb("create", *(volume for script in scripts for volume in script.volumes.values()))
    first.prepare()
    return running, [volumes, first, *scripts]
