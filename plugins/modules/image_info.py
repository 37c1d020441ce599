#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: image_info
short_description: Read images from the store
version_added: 0.1.0
description:
  - Returns images with all that the store knows of them. Filters that are given must all pass.
extends_documentation_fragment:
  - openqrm.datacenter.store
  - openqrm.datacenter.store.info
options:
  kinds:
    description: Only images of one of these kinds.
    type: list
    elements: str
  storages:
    description: Only images on one of these storages.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Read the golden images
  openqrm.datacenter.image_info:
    kinds: [golden]
  register: found
"""

RETURN = r"""
images:
  description:
    - "The images that pass, sorted by name: the options of M(openqrm.datacenter.image) and C(appliances), the names of
      the appliances that use it."
  returned: success
  type: list
  elements: dict
"""

# The work is done on the controller by the action plug-in of the same name.
