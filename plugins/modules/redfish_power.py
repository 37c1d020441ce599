#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: redfish_power
short_description: Power and boot device of many machines by Redfish
version_added: 0.1.0
description:
  - Does one power verb on a list of machines by Redfish. Runs on the host from which the BMCs are reached over HTTPS.
  - Every BMC is read before anything is changed. What was changed is read back.
extends_documentation_fragment:
  - openqrm.datacenter.power
  - openqrm.datacenter.power.bmc
options:
  endpoints:
    suboptions:
      name:
        description: Name of the resource.
        type: str
        required: true
      address:
        description: Host, with port where needed, or https:// URL of the BMC.
        type: str
      system:
        description: Id of the machine in a BMC that has several.
        type: str
      mac:
        description: MAC address of the machine.
        type: str
      device:
        description: What to boot from next, with O(verb=boot_device).
        type: str
        choices: [pxe, disk, cd]
      media:
        description:
          - Address (http:// or https://) of the ISO image that is inserted as virtual CD with O(endpoints[].device=cd).
            Another image that is inserted is ejected. Without it, what is in the drive is booted.
        type: str
      firmware:
        description: Firmware of the machine, where it is known.
        type: str
        choices: [bios, uefi, ""]
  validate_certs:
    description: Whether the BMCs' certificates are checked.
    type: bool
    default: true
  ca_path:
    description: Certificates that are trusted, on the managed host. Leave it out for those of the system.
    type: path
"""

EXAMPLES = r"""
- name: Switch a machine off
  openqrm.datacenter.redfish_power:
    verb: "off"
    username: admin
    password: "{{ bmc_password }}"
    endpoints:
      - {name: node1, address: bmc1.example.com, system: "1"}
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
      description:
        - Device and mode of the boot override, as read back; with O(verb=boot_device).
        - In check mode also the image in the CD drive, where it is not the one that was asked for.
      type: str
    changed:
      description: Whether something was changed.
      type: bool
"""

import ssl

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.power import arguments, bmc_arguments, carry_out
from ansible_collections.openqrm.datacenter.plugins.module_utils.redfish import Redfish


def main():
    """Run the module."""
    trust = {"validate_certs": {"type": "bool", "default": True}, "ca_path": {"type": "path"}}
    endpoint = {"device": {"type": "str", "choices": ["pxe", "disk", "cd"]}, "media": {"type": "str"}}
    spec = arguments(endpoint, **bmc_arguments(), **trust)
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    try:
        driver = Redfish(module.params)
    except (OSError, ssl.SSLError) as error:
        module.fail_json(msg=f"The certificates in {module.params['ca_path']} cannot be read: {error}")
    carry_out(module, driver)


if __name__ == "__main__":
    main()
