#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: appliance
short_description: Appliances, services that run on resources, as they are to be
version_added: 0.1.0
description:
  - Makes records of appliances, changes them, or removes them. An appliance is a kernel, an image, and what it asks
    of the resources that run it.
  - It is started and stopped by the playbooks C(openqrm.datacenter.appliance_start) and
    C(openqrm.datacenter.appliance_stop).
  - While it runs, its image, its root mode and whether it is cloned stay as they are, and it is not removed.
extends_documentation_fragment:
  - openqrm.datacenter.store
  - openqrm.datacenter.store.state
options:
  appliances:
    description: Several objects, each with the options of a single one. O(name), O(names) or this is required.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the appliance.
        type: str
        required: true
      <<: &appliance
        kernel:
          description: Kernel that it boots. A new appliance has the default kernel.
          type: str
        image:
          description: Image that it boots. Required for a new appliance.
          type: str
        members:
          description: How many resources run it at the same time. A new appliance has one member.
          type: int
        clone:
          description: Whether each member runs on a clone of the image. A new appliance does.
          type: bool
        root_mode:
          description:
            - How a member has its root. V(read-write) is a root of its own. The other modes boot the image itself,
              which must be shared and is mounted read-only.
            - With V(overlay), what a member changes is in its memory and gone when it stops.
            - With V(private), the same but for the directories of the parameter C(private_directories), which each
              member has for itself and keeps.
          type: str
          choices: [read-write, overlay, private]
        requirements:
          description: What it asks of a resource. Keys that are not given stay as they are.
          type: dict
          suboptions:
            cores:
              description: At least so many CPU cores.
              type: int
            memory_mib:
              description: At least so much memory, in MiB.
              type: int
            nics:
              description: At least so many NICs.
              type: int
            disk_mib:
              description: At least so much local disk, in MiB.
              type: int
            type:
              description: Exactly this type of resource.
              type: str
            arch:
              description: Exactly this architecture, which must be that of the kernel.
              type: str
              choices: [x86_64, aarch64]
            tags:
              description: All of these tags.
              type: list
              elements: str
            anti_affinity:
              description:
                - Tag key whose value differs between any two members' resources, as V(rack) for tags as C(rack:r12).
                - Empty for no such rule.
              type: str
            resource:
              description: Only this resource. Empty for any.
              type: str
        sla:
          description: What is promised about it; a flat mapping.
          type: dict
        parameters:
          description:
            - "Free parameters: a flat mapping of names to text, numbers, booleans or lists of them."
            - Root modes V(overlay) and V(private) have C(overlay_size_mib), the bound of what a member may change in
              memory; without it, half of the memory.
            - Root mode V(private) has C(private_directories), absolute paths, and C(private_excludes), paths in them
              that stay those of the image.
          type: dict
  <<: *appliance
"""

EXAMPLES = r"""
- name: Describe a service on two machines of different racks
  openqrm.datacenter.appliance:
    name: web
    image: debian12
    members: 2
    requirements:
      cores: 2
      memory_mib: 2048
      anti_affinity: rack

- name: Remove services that are stopped
  openqrm.datacenter.appliance:
    names: [web, db]
    state: absent
"""

RETURN = r"""
appliances:
  description:
    - One entry per object, in the order of the task, with all its fields and C(changed).
    - With O(state=absent), only C(name) and C(changed).
    - In check mode, as the objects would be.
  returned: success
  type: list
  elements: dict
"""

# The work is done on the controller by the action plug-in of the same name.
