# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inventory hosts and groups from the objects of a data centre: plain data, computed in one pass."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

try:
    from openqrm.knownhosts import arguments_of
    from openqrm.storageservers import appliance_of
except ImportError:
    arguments_of = appliance_of = None  # the inventory plug-in has said so: whoever has a reader has the library

# Names that mean something else in an inventory.
RESERVED = frozenset({"all", "ungrouped", "localhost", "127.0.0.1"})
UNSAFE = re.compile(r"[^A-Za-z0-9_]")
GROUPINGS = ("state", "type", "tag", "storage", "appliance")
PLANNED = ("resource", "appliance")


@dataclass
class Hosts:
    """Hosts and groups while they are collected. ``hosts``: name -> variables; ``groups``: name -> host names."""

    group_by: frozenset = frozenset(GROUPINGS)
    prefix: str = ""
    hosts: dict = field(default_factory=dict)
    groups: dict = field(default_factory=dict)

    def data(self):
        """Return everything as plain data, which a cache can keep."""
        return {"hosts": self.hosts, "groups": self.groups}

    def free_name(self, name, kind):
        """Return the name, with the kind behind it where another host has it or where it means something else."""
        while name in self.hosts or name in RESERVED:
            name = f"{name}.{kind}"
        return name

    def join(self, host, group):
        """Put the host into a group."""
        self.groups.setdefault(group, []).append(host)

    def join_by(self, host, grouping, values):
        """Put the host into the groups of a grouping, one per value, if that grouping is wanted."""
        if grouping in self.group_by:
            for value in values:
                self.join(host, safe(f"{self.prefix}{grouping}_{value}"))


def safe(name):
    """Return the name of a group: every character that Ansible does not take there becomes an underscore."""
    return UNSAFE.sub("_", name)


def add_resources(hosts, resources, assignments):
    """Add one host per resource. ``assignments``: the assignment by resource name."""
    hosts.groups.setdefault("openqrm_resources", [])
    for resource in resources:
        name = hosts.free_name(resource.name, "resource")
        hosts.hosts[name] = resource_variables(resource, assignments.get(resource.name))
        hosts.join(name, "openqrm_resources")
        hosts.join_by(name, "state", (resource.state,))
        hosts.join_by(name, "type", (resource.type,))
        hosts.join_by(name, "tag", sorted(resource.tags))


def resource_variables(resource, assignment):
    """Return the variables of a resource's host."""
    variables = {
        "openqrm_kind": "resource",
        "openqrm_name": resource.name,
        "openqrm_state": resource.state,
        "openqrm_type": resource.type,
        "openqrm_arch": resource.arch,
        "openqrm_cores": resource.cores,
        "openqrm_memory_mib": resource.memory_mib,
        "openqrm_disk_mib": resource.disk_mib,
        "openqrm_boot_mac": resource.boot_mac,
        "openqrm_macs": [nic.mac for nic in resource.nics],
        "openqrm_address": resource.address,
        "openqrm_tags": sorted(resource.tags),
        "openqrm_power_driver": resource.power_driver,
        "openqrm_power": dict(resource.power),
        "openqrm_firmware": resource.firmware,
        "openqrm_monitored": resource.monitored,
        "openqrm_mode": resource.mode,
        "openqrm_parameters": dict(resource.parameters),
        "openqrm_appliance": assignment.appliance if assignment else "",
        "openqrm_member": assignment.member if assignment else None,
    }
    if resource.address:
        variables["ansible_host"] = resource.address
    return variables


def add_appliances(hosts, appliances, assignments, addresses, ssh):
    """Add one host per member of each appliance.

    ``assignments``: the assignment by appliance name and member; ``addresses``: the address by resource name;
    ``ssh``: the arguments of ssh by appliance name and member, where its host key is known.
    """
    hosts.groups.setdefault("openqrm_appliances", [])
    for appliance in appliances:
        for member in range(appliance.members):
            own = appliance.name if appliance.members == 1 else f"{appliance.name}-{member}"
            name = hosts.free_name(own, "appliance")
            assignment = assignments.get((appliance.name, member))
            address = addresses.get(assignment.resource, "") if assignment else ""
            hosts.hosts[name] = appliance_variables(appliance, member, assignment, address)
            if (appliance.name, member) in ssh:
                hosts.hosts[name]["ansible_ssh_common_args"] = ssh[appliance.name, member]
            hosts.join(name, "openqrm_appliances")
            hosts.join_by(name, "state", (appliance.state,))
            hosts.join_by(name, "type", (appliance.requirements.type,))
            hosts.join_by(name, "tag", sorted(appliance.requirements.tags))
            hosts.join_by(name, "appliance", (appliance.name,))


def appliance_variables(appliance, member, assignment, address):
    """Return the variables of the host of an appliance's member; ``assignment`` is None where it does not run."""
    variables = {
        "openqrm_kind": "appliance",
        "openqrm_name": appliance.name,
        "openqrm_appliance": appliance.name,
        "openqrm_member": member,
        "openqrm_members": appliance.members,
        "openqrm_state": appliance.state,
        "openqrm_kernel": appliance.kernel,
        "openqrm_image": assignment.image if assignment else appliance.image,
        "openqrm_resource": assignment.resource if assignment else "",
        "openqrm_epoch": assignment.epoch if assignment else 0,
        "openqrm_address": address,
        "openqrm_type": appliance.requirements.type,
        "openqrm_tags": sorted(appliance.requirements.tags),
        "openqrm_sla": dict(appliance.sla),
        "openqrm_parameters": dict(appliance.parameters),
    }
    if address:
        variables["ansible_host"] = address
    return variables


def add_storages(hosts, storages):
    """Add the servers of the storages: hosts of the user's own inventory, which get a variable and groups."""
    hosts.groups.setdefault("openqrm_storage", [])
    for storage in storages:
        variables = hosts.hosts.setdefault(storage.host, {})
        variables.setdefault("openqrm_storages", []).append(
            {"name": storage.name, "type": storage.type, "location": storage.location, "address": storage.address}
        )
        hosts.join(storage.host, "openqrm_storage")
        hosts.join_by(storage.host, "storage", (storage.type,))


@dataclass(frozen=True)
class Filters:
    """Which objects become hosts; None: no such filter."""

    kinds: frozenset = frozenset(("resource", "appliance", "storage"))
    states: frozenset | None = None
    types: frozenset | None = None
    tags: frozenset | None = None

    def passes(self, kind, tags):
        """Return whether something of this type that has these tags is wanted."""
        return (self.types is None or kind in self.types) and (self.tags is None or self.tags <= tags)


def collect(hosts, reader, filters):
    """Add what passes the filters. Servers that are appliances come last: their hosts are those of the appliances."""
    storages = reader.storages() if "storage" in filters.kinds else None
    if storages is not None:
        add_storages(hosts, [storage for storage in storages if not appliance_of(storage)])
    rows = reader.assignments()
    everything = "resource" in filters.kinds
    resources = reader.resources(states=filters.states) if everything else []
    if everything:
        wanted = [item for item in resources if filters.passes(item.type, item.tags)]
        add_resources(hosts, wanted, {row.resource: row for row in rows})
    if "appliance" in filters.kinds:
        wanted = [
            item
            for item in reader.appliances(states=filters.states)
            if filters.passes(item.requirements.type, item.requirements.tags)
        ]
        _add_members(hosts, reader, wanted, rows, resources)
    if storages is not None:
        add_storages(hosts, [storage for storage in storages if appliance_of(storage)])


def collect_plan(hosts, reader, number):
    """Add what the plan is about: resources, appliances, and the hosts on which its operations run."""
    plan = reader.plan(number)
    servers = {operation.host for operation in plan.operations} - RESERVED
    storages = [storage for storage in reader.storages() if storage.host in servers]
    serving = {appliance_of(storage) for storage in storages} - {""}
    add_storages(hosts, [storage for storage in storages if not appliance_of(storage)])
    for server in sorted(servers - serving):
        hosts.hosts.setdefault(server, {})
    names = {kind: sorted({str(item["name"]) for item in plan.objects if item["kind"] == kind}) for kind in PLANNED}
    resources = reader.resources(names["resource"])
    rows = reader.assignments(resources=names["resource"])
    add_resources(hosts, resources, {row.resource: row for row in rows})
    appliances = sorted({*names["appliance"], *serving})
    _add_members(hosts, reader, reader.appliances(appliances), reader.assignments(appliances), resources)
    add_storages(hosts, [storage for storage in storages if appliance_of(storage)])


def _add_members(hosts, reader, appliances, rows, resources):
    """Add the members of the appliances. ``resources`` are read already; those that are missing are read here."""
    addresses = {item.name: item.address for item in resources}
    missing = sorted({row.resource for row in rows} - addresses.keys())
    if missing:
        addresses.update((item.name, item.address) for item in reader.resources(missing))
    ssh = arguments_of(reader.host_keys(), appliances, rows)
    add_appliances(hosts, appliances, {(row.appliance, row.member): row for row in rows}, addresses, ssh)
