#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ipmi_power
short_description: Power and boot device of many machines by IPMI
version_added: 0.2.0
description:
  - Does one power verb on a list of machines by IPMI 2.0 over LAN. It runs on the host from which the BMCs are reached.
  - Every BMC is read before anything is changed. What was changed is read back.
  - The password is given to C(ipmitool) in its environment, never in its arguments.
extends_documentation_fragment:
  - openqrm.datacenter.power
  - openqrm.datacenter.power.bmc
options:
  cipher_suite:
    description: Cipher suite, as V(3) or V(17). Left out, C(ipmitool) asks the BMC and takes the best.
    type: str
    default: ""
requirements:
  - ipmitool
"""

EXAMPLES = r"""
- name: Switch a machine off
  openqrm.datacenter.ipmi_power:
    verb: "off"
    username: admin
    password: "{{ bmc_password }}"
    endpoints:
      - {name: node1, address: bmc1.example.com}
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
      description: V(on) or V(off), as read back.
      type: str
    device:
      description: Device and mode of the boot override, as read back; with O(verb=boot_device).
      type: str
    changed:
      description: Whether something was changed.
      type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import run
from ansible_collections.openqrm.datacenter.plugins.module_utils.ipmi import Ipmi
from ansible_collections.openqrm.datacenter.plugins.module_utils.power import arguments, bmc_arguments, carry_out


def main():
    """Run the module."""
    spec = arguments(**bmc_arguments(), cipher_suite={"type": "str", "default": ""})
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    module.get_bin_path("ipmitool", required=True)
    carry_out(module, Ipmi(run, module.params))


if __name__ == "__main__":
    main()
