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
  - Does one power verb on a list of machines through the Redfish modules of C(community.general), which must be
    installed on the controller. The modules run on the managed host, which must reach the BMCs over HTTPS.
  - Every BMC is read before anything is changed. What was changed is read back.
author:
  - openQRM project (@openqrm)
options:
  verb:
    description: What to do. V(reset) switches machines on that are off. V(status) only reads.
    type: str
    choices: ["on", "off", reset, status, boot_device]
    required: true
  endpoints:
    description: The machines.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the resource.
        type: str
        required: true
      address:
        description: Host, with port where needed, or https:// URL of the BMC.
        type: str
        required: true
      system:
        description: Id of the machine in the BMC. It may be left out where the BMC has one machine only.
        type: str
      mac:
        description: MAC address of the machine; not used.
        type: str
      device:
        description: What to boot from next, with O(verb=boot_device).
        type: str
        choices: [pxe, disk]
  username:
    description: User of the BMCs.
    type: str
    default: ""
  password:
    description: Password of the BMCs.
    type: str
    default: ""
  credentials:
    description: Username and password of single machines, by resource.
    type: dict
    default: {}
  validate_certs:
    description: Whether the BMCs' certificates are checked.
    type: bool
    default: true
  ca_path:
    description: Certificates that are trusted, on the managed host. Leave it out for those of the system.
    type: path
  timeout_s:
    description: Seconds until the wanted state must be read back.
    type: int
    default: 60
  request_timeout_s:
    description: Seconds that a BMC may take for one answer.
    type: int
    default: 10
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Returns what differs.
    support: none
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
    changed:
      description: Whether something was changed.
      type: bool
"""
