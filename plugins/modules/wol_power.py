#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: wol_power
short_description: Power of machines without a BMC by Wake-on-LAN and ssh
version_added: 0.2.0
description:
  - Wakes a list of machines by magic packets, and powers off or reboots their systems by ssh.
  - Whether a machine is on is seen by whether it can be reached, which is no proof that one which cannot be is off.
extends_documentation_fragment:
  - openqrm.datacenter.power
  - openqrm.datacenter.power.ssh
options:
  broadcast:
    description: IPv4 address to which magic packets are sent, in the machines' network.
    type: str
    default: 255.255.255.255
  packets:
    description: How many magic packets are sent.
    type: int
    default: 3
"""

EXAMPLES = r"""
- name: Wake a machine
  openqrm.datacenter.wol_power:
    verb: "on"
    endpoints:
      - {name: node1, address: node1.example.com, mac: "52:54:00:12:34:56"}
"""

RETURN = r"""
items:
  description: One result per machine, in the order of O(endpoints).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the resource.
      type: str
    power:
      description: V(on) or V(off), by whether it can be reached.
      type: str
    changed:
      description: Whether something was changed.
      type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import run
from ansible_collections.openqrm.datacenter.plugins.module_utils.power import arguments, carry_out
from ansible_collections.openqrm.datacenter.plugins.module_utils.power_by_system import Wol, ssh_arguments


def main():
    """Run the module."""
    spec = arguments(
        **ssh_arguments(),
        broadcast={"type": "str", "default": "255.255.255.255"},
        packets={"type": "int", "default": 3},
    )
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    module.get_bin_path("ssh", required=True)
    carry_out(module, Wol(run, module.params))


if __name__ == "__main__":
    main()
