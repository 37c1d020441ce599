#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: resource
short_description: Resources, machines that boot from the network, as they are to be
version_added: 0.1.0
description:
  - Makes records of resources, changes them, or removes them. A resource is a machine with CPU and memory that is
    known by its MAC addresses.
  - Machines that boot from the network register themselves. This module describes them beforehand or adds what
    discovery cannot know, as tags and the power driver.
  - A resource on which an appliance runs is not removed.
extends_documentation_fragment:
  - openqrm.datacenter.store
  - openqrm.datacenter.store.state
options:
  resources:
    description: Several objects, each with the options of a single one. O(name), O(names) or this is required.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the resource.
        type: str
        required: true
      <<: &resource
        type:
          description: What it is, V(physical) or C(<technology>_vm). A new resource is V(physical).
          type: str
        arch:
          description: Architecture of its CPU. A new resource has V(x86_64).
          type: str
          choices: [x86_64, aarch64]
        cores:
          description: CPU cores.
          type: int
        memory_mib:
          description: Memory in MiB.
          type: int
        disk_mib:
          description: Local disks in MiB, all together.
          type: int
        macs:
          description:
            - MAC addresses by which it is known; short for NICs of which no more is said.
            - The first one is the one it boots from, unless a NIC has the role V(management).
          type: list
          elements: str
        nics:
          description:
            - NICs, joined by MAC to those that are known. NICs that discovery found and that are not listed stay.
          type: list
          elements: dict
          suboptions:
            mac:
              description: MAC address.
              type: str
              required: true
            name:
              description: Name of the interface on the machine.
              type: str
            role:
              description: Network that it is on. Empty where it is neither.
              type: str
              choices: ['', management, storage]
            address:
              description: Address with its prefix length. Empty for none.
              type: str
        purge_nics:
          description: Whether NICs that are not listed are removed.
          type: bool
        tags:
          description: Tags, as V(gpu) or V(rack:r12). The list replaces the tags that are there.
          type: list
          elements: str
        address:
          description: Its address on the management network. Discovery sets it. Empty for none.
          type: str
        power_driver:
          description: Power type that switches it, as V(redfish). Empty for none.
          type: str
        power:
          description: Parameters of the power driver, as C(address) and C(system). Credentials are inventory variables.
          type: dict
        firmware:
          description: Firmware that it boots with. Discovery sets it.
          type: str
          choices: ['', bios, uefi]
        monitored:
          description: Whether heartbeats are expected of it, and it may be chosen for appliances. A new resource is.
          type: bool
        parameters:
          description: "Free parameters: a flat mapping of names to text, numbers, booleans or lists of them."
          type: dict
  <<: *resource
"""

EXAMPLES = r"""
- name: Describe a machine before its first boot
  openqrm.datacenter.resource:
    name: node1
    macs: [52:54:00:12:34:56]
    tags: [rack:r1, ssd]
    power_driver: redfish
    power:
      address: https://10.77.0.201
      system: "1"

- name: Describe many machines in one transaction
  openqrm.datacenter.resource:
    resources:
      - {name: node1, cores: 8, memory_mib: 32768, macs: [52:54:00:12:34:56]}
      - {name: node2, cores: 8, memory_mib: 32768, macs: [52:54:00:12:34:57]}

- name: Remove machines
  openqrm.datacenter.resource:
    names: [node1, node2]
    state: absent
"""

RETURN = r"""
resources:
  description:
    - One entry per object, in the order of the task, with all its fields and C(changed).
    - With O(state=absent), only C(name) and C(changed).
    - In check mode, as the objects would be.
  returned: success
  type: list
  elements: dict
"""

# The work is done on the controller by the action plug-in of the same name.
