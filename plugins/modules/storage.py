#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: storage
short_description: Storages, places for volumes on storage servers, as they are to be
version_added: 0.1.0
description:
  - Makes records of storages, changes them, or removes them. A storage is an inventory host, a type, and where on the
    host volumes live.
  - The server itself is prepared by the role of the type. Nothing is changed on it here.
  - A storage that has images or volumes is not removed, and keeps its type and location.
extends_documentation_fragment:
  - openqrm.datacenter.store
  - openqrm.datacenter.store.state
options:
  storages:
    description: Several objects, each with the options of a single one. O(name), O(names) or this is required.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the storage.
        type: str
        required: true
      <<: &storage
        type:
          description: Storage type, as V(directory). A role C(storage_<type>) provides it. Required for a new storage.
          type: str
        host:
          description:
            - Inventory host of the storage server. Required for a new storage, or O(storages[].appliance), or
              O(storages[].resource).
          type: str
        location:
          description: Where on the server the volumes live, an absolute path. Required for a new storage.
          type: str
        address:
          description: IP address under which nodes reach the server. Required with a new host.
          type: str
        appliance:
          description:
            - Appliance that is the storage server, in place of O(storages[].host) and O(storages[].address). It has one
              member, and runs when the storage is made. The address follows it from resource to resource.
          type: str
        resource:
          description: Resource that runs this appliance now, in place of its name.
          type: str
        parameters:
          description: "Free parameters: a flat mapping of names to text, numbers, booleans or lists of them."
          type: dict
  <<: *storage
"""

EXAMPLES = r"""
- name: Use a directory of a storage server
  openqrm.datacenter.storage:
    name: san1
    type: directory
    host: san1
    location: /srv/openqrm/volumes
    address: 10.78.0.10

- name: Remove a storage that has no images
  openqrm.datacenter.storage:
    name: san1
    state: absent
"""

RETURN = r"""
storages:
  description:
    - One entry per object, in the order of the task, with all its fields and C(changed).
    - With O(state=absent), only C(name) and C(changed).
    - In check mode, as the objects would be.
  returned: success
  type: list
  elements: dict
"""

# The work is done on the controller by the action plug-in of the same name.
