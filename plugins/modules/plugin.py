#!/usr/bin/python
# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: plugin
short_description: Enable or disable plug-ins
version_added: 0.1.0
description:
  - Says which plug-ins (roles of the family C(plugin)) are enabled for the data centre. The hooks of an enabled plug-in
    run from the next change on.
options:
  names:
    description: The plug-ins.
    type: list
    elements: str
    required: true
  state:
    description: Whether their hooks are to run.
    type: str
    choices: [enabled, disabled]
    default: enabled
attributes:
  diff_mode:
    description: Returns what is switched.
    support: full
extends_documentation_fragment:
  - openqrm.datacenter.store
"""

EXAMPLES = r"""
- name: Put names of appliances into DNS
  openqrm.datacenter.plugin:
    names: [hosts]
    state: enabled
"""

RETURN = r"""
plugins:
  description: The plug-ins, each with C(name) and C(enabled).
  returned: success
  type: list
  elements: dict
"""
