#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: lab_network
short_description: Make the network namespace of a lab and its bridges
version_added: 0.1.0
description:
  - Makes a network namespace with bridges that carry addresses. Nothing of it is in the machine's own namespace.
author:
  - openQRM project (@openqrm)
options:
  namespace:
    description: Name of the network namespace.
    type: str
    required: true
  bridges:
    description: Bridges inside the namespace.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the bridge.
        type: str
        required: true
      mac:
        description: MAC address, so that it does not follow the bridge's ports. Set when the bridge is made.
        type: str
        required: true
      addresses:
        description: Addresses with prefix length, as C(10.77.0.1/24).
        type: list
        elements: str
        required: true
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Returns what differs.
    support: full
"""

EXAMPLES = r"""
- name: Make the networks of a lab
  openqrm.datacenter.lab_network:
    namespace: openqrm-demo
    bridges:
      - {name: management, mac: "52:54:00:77:02:01", addresses: [10.77.0.1/24]}
"""

RETURN = r"""
items:
  description: One entry per bridge, in the order of the input.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the bridge.
      type: str
    changed:
      description: Whether it differed.
      type: bool
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import (
    CommandError,
    run,
)
from ansible_collections.openqrm.datacenter.plugins.module_utils.differences import Differences


def namespaces(command):
    """Return the names of the machine's network namespaces."""
    return {entry["name"] for entry in json.loads(command(["ip", "-json", "netns", "list"]) or "[]")}


def interfaces(command, namespace):
    """Return name -> (kind, whether it is up, addresses) of the interfaces inside the namespace."""
    answer = json.loads(command(["ip", "-netns", namespace, "-json", "-details", "address", "show"]) or "[]")
    return {entry["ifname"]: state_of(entry) for entry in answer}


def state_of(entry):
    """Return what counts of one entry of ``ip -json address``."""
    return {
        "kind": entry.get("linkinfo", {}).get("info_kind", ""),
        "up": "UP" in entry["flags"],
        "addresses": sorted(
            f"{item['local']}/{item['prefixlen']}" for item in entry["addr_info"] if item["scope"] == "global"
        ),
    }


def bridge_commands(namespace, bridge, found):
    """Return the commands that bring a bridge from ``found`` (None: missing) to what is wanted."""
    ip, name = ["ip", "-netns", namespace], bridge["name"]
    present = [] if found is None else found["addresses"]
    commands = []
    if found is None:
        options = ["type", "bridge", "forward_delay", "0", "stp_state", "0"]
        commands.append([*ip, "link", "add", name, "address", bridge["mac"], *options])
    if found is None or not found["up"]:
        # The bridge hears the advertisements that the lab itself sends.
        commands.append(["ip", "netns", "exec", namespace, "sysctl", "-qw", f"net.ipv6.conf.{name}.accept_ra=0"])
    for address in [item for item in present if item not in bridge["addresses"]]:
        commands.append([*ip, "address", "delete", address, "dev", name])
    for address in [item for item in bridge["addresses"] if item not in present]:
        # Nobody else can have the address: no time is lost with looking for them (IPv6 only; IPv4 does not look).
        commands.append([*ip, "address", "add", address, "dev", name, *(["nodad"] if ":" in address else [])])
    if found is None or not found["up"]:
        commands.append([*ip, "link", "set", name, "up"])
    return commands


def ensure(namespace, bridges, check_mode, command=run):
    """Bring namespace and bridges to their state; return the module's result."""
    differences, items = Differences(), []
    exists = namespace in namespaces(command)
    differences.note(namespace, exists, True)
    if not exists and not check_mode:
        command(["ip", "netns", "add", namespace])
    found = interfaces(command, namespace) if exists or not check_mode else {}
    if not check_mode and not found["lo"]["up"]:
        command(["ip", "-netns", namespace, "link", "set", "lo", "up"])
    for bridge in bridges:
        before = found.get(bridge["name"])
        wanted = {"kind": "bridge", "up": True, "addresses": sorted(bridge["addresses"])}
        changed = differences.note(bridge["name"], before, wanted)
        for argv in bridge_commands(namespace, bridge, before) if changed and not check_mode else []:
            command(argv)
        items.append({"name": bridge["name"], "changed": changed})
    return differences.result(items)


def main():
    """Run the module."""
    text = {"type": "str", "required": True}
    options = {"name": text, "mac": text, "addresses": {"type": "list", "elements": "str", "required": True}}
    bridges = {"type": "list", "elements": "dict", "required": True, "options": options}
    module = AnsibleModule(argument_spec={"namespace": text, "bridges": bridges}, supports_check_mode=True)
    try:
        module.exit_json(**ensure(module.params["namespace"], module.params["bridges"], module.check_mode))
    except CommandError as error:
        module.fail_json(msg=f"Lab network {module.params['namespace']}: {error}. Making networks needs root.")


if __name__ == "__main__":
    main()
