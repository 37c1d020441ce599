# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules of all power drivers have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation shared by the modules of the power drivers."""

    DOCUMENTATION = r"""
options:
  verb:
    description:
      - What to do. V(off) is at once, without a shutdown. V(reset) switches machines on that are off.
      - V(status) only reads.
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
        description: Where the machine or its BMC is reached.
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
        choices: [pxe, disk]
      firmware:
        description: Firmware of the machine, where it is known.
        type: str
        choices: [bios, uefi, ""]
  timeout_s:
    description: Seconds until the wanted state must be read back.
    type: int
    default: 60
  parallel:
    description: How many machines are worked on at once.
    type: int
    default: 16
author:
  - openQRM project (@openqrm)
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Returns what differs.
    support: none
"""

    BMC = r"""
options:
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
  boot_override:
    description:
      - Whether O(verb=boot_device) holds for the next boot or for all.
      - V(unchanged) has it do nothing, for BMCs that cannot set it and machines whose own boot order is right.
    type: str
    choices: [once, continuous, unchanged]
    default: once
  request_timeout_s:
    description: Seconds that a BMC may take for one answer.
    type: int
    default: 20
  retries:
    description: How often a request is repeated that failed.
    type: int
    default: 2
"""

    SSH = r"""
options:
  user:
    description: User of the machines' systems who may power them off.
    type: str
    default: root
  port:
    description: Port of their ssh server.
    type: int
    default: 22
  identity_file:
    description: The user's private key, on the managed host. Left out for those that C(ssh) finds.
    type: path
  known_hosts_file:
    description: The machines' host keys. Left out for those that C(ssh) knows. An unknown key is never accepted.
    type: path
  request_timeout_s:
    description: Seconds that a machine may take to answer.
    type: int
    default: 5
requirements:
  - ssh
"""
