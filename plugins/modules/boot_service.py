#!/usr/bin/python
# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: boot_service
short_description: Say where boot services run
version_added: 0.2.0
description:
  - Boot services are programs that plug-ins bring and that deployed systems run, whatever image they have. This module
    says for which resources, appliances or images they do.
  - A member takes them over at its next start. Services of plug-ins that are not enabled do not run.
options:
  services:
    description: The services, each as C(plug-in/service).
    type: list
    elements: str
    required: true
  scopes:
    description:
      - Where they run. V(resources), V(appliances) or V(images) for all of them, or a single one as
        V(resource:node1), V(appliance:web01), V(image:nginx). Clones count as the image that they are of.
    type: list
    elements: str
    required: true
  state:
    description: Whether they are to run there.
    type: str
    choices: [attached, detached]
    default: attached
attributes:
  diff_mode:
    description: Returns the scopes before and after.
    support: full
extends_documentation_fragment:
  - openqrm.datacenter.store
"""

EXAMPLES = r"""
- name: Run a backup client in all appliances, and on one machine whatever runs there
  openqrm.datacenter.boot_service:
    services: [backup/client]
    scopes: [appliances, "resource:node1"]
"""

RETURN = r"""
services:
  description: The services, each with C(name), and C(scopes) as they are now, or would be outside check mode.
  returned: success
  type: list
  elements: dict
"""

# The work is done on the controller by the action plug-in of the same name.
