#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: image
short_description: Images, root file systems on storages, as they are to be
version_added: 0.1.0
description:
  - Makes records of images, changes them, or removes them. An image is a volume and how nodes get it as their root.
  - The volume on the storage server is not touched. Removing an image takes away its record and that of its volume,
    never data; the playbook C(openqrm.datacenter.image_remove) removes both.
  - An image that an appliance uses, or that others are cloned from, is not removed.
extends_documentation_fragment:
  - openqrm.datacenter.store
  - openqrm.datacenter.store.state
options:
  images:
    description: Several objects, each with the options of a single one. O(name), O(names) or this is required.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the image.
        type: str
        required: true
      <<: &image
        storage:
          description: Storage on which its volume is. Required for a new image.
          type: str
        volume:
          description: Volume that holds it. Required for a new image. It is not created on the server, only recorded.
          type: str
        deployment:
          description:
            - Deployment type by which nodes get it, as V(nfs). Required for a new image.
            - What it needs, a file system or a block device, is what the storage's type must present.
          type: str
        kind:
          description: Whether it is a template (V(golden)), made from one (V(clone)), or neither (V(private)).
          type: str
          choices: [golden, clone, private]
        shared:
          description: Whether several nodes may boot it at the same time. A new image is not shared.
          type: bool
        parent:
          description: Image that it was cloned from. Empty for none.
          type: str
        parameters:
          description: "Free parameters: a flat mapping of names to text, numbers, booleans or lists of them."
          type: dict
  <<: *image
"""

EXAMPLES = r"""
- name: Register a volume that is there as an image
  openqrm.datacenter.image:
    name: debian12
    storage: san1
    volume: debian12
    deployment: nfs

- name: Forget an image; its volume stays on the server
  openqrm.datacenter.image:
    name: debian12
    state: absent
"""

RETURN = r"""
images:
  description:
    - One entry per object, in the order of the task, with all its fields and C(changed).
    - With O(state=absent), only C(name) and C(changed).
    - In check mode, as the objects would be.
  returned: success
  type: list
  elements: dict
"""

# The work is done on the controller by the action plug-in of the same name.
