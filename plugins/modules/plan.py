#!/usr/bin/python
# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: plan
short_description: One step in the life of a plan
version_added: 0.1.0
description:
  - Prepares a change as a journalled plan, hands its operations out to the plays, journals their outcome,
    and commits or undoes it.
  - It is what the playbooks of this collection are made of; other playbooks use those.
options:
  step:
    description:
      - V(prepare) computes and stores the plan; in check mode it computes the same and leaves nothing behind.
      - V(resume) takes up a plan whose controller died, or that failed; V(cancel) has one taken back.
      - V(begin) and V(end) journal one operation.
      - V(found) returns what listing verbs found on all hosts of the plan.
      - V(settle) commits what a round did, and draws the operations of the next one, which takes back what failed, or
        tries it elsewhere; V(close) fails if the plan did not succeed.
    type: str
    required: true
    choices: [prepare, resume, cancel, begin, end, settle, found, close]
  verb:
    description: What to plan, for O(step=prepare), for example V(start).
    type: str
  arguments:
    description: The verb's arguments, for O(step=prepare).
    type: dict
    default: {}
  plan:
    description:
      - The plan's number. With O(step=prepare), a plan that was prepared before the run and is to be applied by it.
    type: int
  seq:
    description: The operation's number, for V(begin) and V(end).
    type: int
  result:
    description: What the role's verb returned, for O(step=end). Without C(items) in it, the host was unreachable.
    type: dict
    default: {}
  error:
    description: What failed, for O(step=end); empty if nothing did.
    type: str
    default: ""
  final:
    description: Whether the failure counts at once, for O(step=end), instead of after a few tries.
    type: bool
    default: false
  round:
    description: The number of the round that was carried out, for O(step=settle).
    type: int
    default: 0
  force:
    description: Whether a plan is cancelled although its controller may live on another host, for O(step=cancel).
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: V(prepare), V(resume) and V(cancel) return the plan and store nothing.
  diff_mode:
    support: full
    description: V(prepare) returns the whole plan as the diff.
extends_documentation_fragment:
  - openqrm.datacenter.store
"""

EXAMPLES = r"""
- name: Plan the start of web01
  openqrm.datacenter.plan:
    step: prepare
    verb: start
    arguments:
      appliances: [web01]
"""

RETURN = r"""
plan:
  description: The plan's number; 0 if there is nothing to do.
  returned: O(step=prepare)
  type: int
lines:
  description: The plan as text.
  returned: O(step=prepare)
  type: list
  elements: str
unchanged:
  description: Why objects need nothing.
  returned: O(step=prepare)
  type: list
  elements: str
found:
  description: What listing verbs found, each with its C(host).
  returned: O(step=found)
  type: list
  elements: dict
again:
  description: Whether the operation is to be tried again.
  returned: O(step=end)
  type: bool
"""
