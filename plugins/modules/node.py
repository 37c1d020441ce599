#!/usr/bin/python
# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node
short_description: Orders to nodes, and waiting for what they report
version_added: 0.1.0
description:
  - Puts orders where nodes fetch them, and waits until nodes report the wanted state.
  - It is what the role P(openqrm.datacenter.node#role) is made of.
options:
  verb:
    description:
      - V(order) gives an order, V(cancel) takes back orders that were not fetched.
      - V(expect) marks reserved resources as starting.
      - V(wait_up) waits for a deployed system of an epoch, V(wait_idle) for the idle system after a new boot.
    type: str
    required: true
    choices: [order, expect, cancel, wait_up, wait_idle]
  items:
    description:
      - The nodes, each with C(resource) and what the verb needs.
      - That is C(order), C(epoch) and C(manifest), or C(boot_id), C(deadline_s) and C(stage).
    type: list
    elements: dict
    required: true
attributes:
  check_mode:
    support: full
    description: Does nothing in check mode.
  diff_mode:
    support: none
    description: There is no state to compare.
extends_documentation_fragment:
  - openqrm.datacenter.store
"""

EXAMPLES = r"""
- name: Reboot an idle node
  openqrm.datacenter.node:
    verb: order
    items:
      - {resource: node01, order: reboot, epoch: 0, manifest: ""}
"""

RETURN = r"""
items:
  description: The resources that were told, or that arrived.
  returned: always
  type: list
  elements: dict
missing:
  description: For each resource that did not arrive, why.
  returned: when waiting
  type: dict
seconds:
  description: How long the wait took.
  returned: when waiting
  type: float
"""
