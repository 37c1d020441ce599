#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: dnsmasq_host
short_description: Manage DHCP reservations and DNS records of dnsmasq
version_added: 0.1.0
description:
  - Keeps one file per entry in a directory that dnsmasq watches (C(dhcp-hostsdir) or C(hostsdir)).
  - The daemon is never restarted. It takes new entries up by itself; when a reservation is changed or removed it
    is sent C(SIGHUP) once.
author:
  - openQRM project (@openqrm)
options:
  kind:
    description: What the entries are, DHCP reservations or DNS records.
    type: str
    choices: [dhcp, dns]
    required: true
  directory:
    description: The directory that dnsmasq watches. It must exist.
    type: path
    required: true
  entries:
    description: The entries.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Host name.
        type: str
        required: true
      mac:
        description: MAC address, of a reservation that is present.
        type: str
      address:
        description: IP address, of an entry that is present.
        type: str
  state:
    description: Whether the entries are to exist.
    type: str
    choices: [present, absent]
    default: present
  pid_file:
    description: File with the process id of dnsmasq.
    type: path
    default: /run/openqrm/dhcp.pid
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Returns what differs.
    support: full
"""

EXAMPLES = r"""
- name: Reserve an address
  openqrm.datacenter.dnsmasq_host:
    kind: dhcp
    directory: /var/lib/openqrm/dhcp/hosts
    entries:
      - {name: node1, mac: "52:54:00:12:34:56", address: 10.77.0.50}
"""

RETURN = r"""
items:
  description: One result per entry, in the order of O(entries).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the entry.
      type: str
    changed:
      description: Whether it was changed.
      type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.dnsmasq import (
    EntryError,
    ensure_entries,
    tell_daemon,
)

ENTRY = {
    "name": {"type": "str", "required": True},
    "mac": {"type": "str"},
    "address": {"type": "str"},
}


ARGUMENTS = {
    "kind": {"type": "str", "choices": ["dhcp", "dns"], "required": True},
    "directory": {"type": "path", "required": True},
    "entries": {"type": "list", "elements": "dict", "required": True, "options": ENTRY},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "pid_file": {"type": "path", "default": "/run/openqrm/dhcp.pid"},
}
ERRORS = (EntryError, OSError)


def perform(options, check_mode):
    """Return the module's result. Raises ERRORS before anything is touched."""
    result, reread = ensure_entries(
        options["kind"], options["directory"], options["entries"], options["state"], check_mode
    )
    if reread and not check_mode:
        tell_daemon(options["pid_file"])
    return result


def main():
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(**perform(module.params, module.check_mode))
    except ERRORS as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
