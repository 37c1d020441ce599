#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ssh_power
short_description: Power of machines without a BMC by ssh
version_added: 0.2.0
description:
  - Powers off or reboots the systems of a list of machines by ssh. A machine that is off cannot be switched on so.
  - Whether a machine is on is seen by whether it can be reached, which is no proof that one which cannot be is off.
extends_documentation_fragment:
  - openqrm.datacenter.power
  - openqrm.datacenter.power.ssh
"""

EXAMPLES = r"""
- name: Power a machine off
  openqrm.datacenter.ssh_power:
    verb: "off"
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
from ansible_collections.openqrm.datacenter.plugins.module_utils.power_by_system import Ssh, ssh_arguments


def main():
    """Run the module."""
    spec = arguments(**ssh_arguments())
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    module.get_bin_path("ssh", required=True)
    carry_out(module, Ssh(run, module.params))


if __name__ == "__main__":
    main()
