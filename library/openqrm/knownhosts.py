"""The SSH host keys of what runs, as clients are told of them. Imports little: the inventory plug-in uses it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from openqrm.boot.manifest import hostname
from openqrm.model import Appliance, Assignment, HostKey

if TYPE_CHECKING:
    from openqrm.store import Reader


def subject(appliance: str, member: int) -> str:
    """Whose key it is, as the store names it."""
    return f"appliance/{appliance}/{member}"


def known_hosts(reader: Reader) -> list[str]:
    """A line for each member that runs and has a key, as known_hosts has them: host name and address, then the key."""
    assignments = reader.assignments()
    keys = {key.subject: key.public for key in reader.host_keys()}
    appliances = {item.name: item for item in reader.appliances()}
    addresses = {item.name: item.address for item in reader.resources([row.resource for row in assignments])}
    return [
        f"{','.join(filter(None, (hostname(appliances[row.appliance], row.member), addresses[row.resource])))} {public}"
        for row in assignments
        if (public := keys.get(subject(row.appliance, row.member)))
    ]


def ssh_arguments(name: str, public: str) -> str:
    """Arguments of ssh, as a shell would take them, that accept this host key and no other for the host."""
    command = f"KnownHostsCommand=/bin/echo {name} {public}"
    options = [command, f"HostKeyAlias={name}", "UserKnownHostsFile=/dev/null", "StrictHostKeyChecking=yes"]
    return shlex.join(word for option in options for word in ("-o", option))


def arguments_of(
    keys: Iterable[HostKey], appliances: Iterable[Appliance], assignments: Iterable[Assignment]
) -> Mapping[tuple[str, int], str]:
    """The arguments of ssh for each member that runs and has a key, by appliance and number."""
    known = {key.subject: key.public for key in keys}
    named = {item.name: item for item in appliances}
    return {
        (row.appliance, row.member): ssh_arguments(hostname(named[row.appliance], row.member), public)
        for row in assignments
        if row.appliance in named and (public := known.get(subject(row.appliance, row.member)))
    }
