# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all modules that work on the store have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation shared by the state modules and those that read the store."""

    DOCUMENTATION = r"""
options:
  config:
    description:
      - Path of the data centre's configuration file.
      - If it is not given, the file that the environment variable E(OPENQRM_CONFIG) names, else C(openqrm.yml) in the
        current directory, else C(/etc/openqrm/openqrm.yml).
    type: path
requirements:
  - The Python package C(openqrm) on the controller, in the environment that runs Ansible.
notes:
  - Runs on the controller, in the process of the task, whatever the host of the play is. Nothing is copied to a host.
author:
  - openQRM project (@openqrm)
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
"""

    STATE = r"""
options:
  state:
    description:
      - V(present) makes the objects as described. What is not given stays as it is, or has its default in a new object.
      - V(absent) removes their records from the store. What something else uses is not removed; the error says by what.
    type: str
    choices: [present, absent]
    default: present
  name:
    description: Name of a single object, whose other options are given beside it.
    type: str
  names:
    description: Names of the objects to remove. Only with O(state=absent).
    type: list
    elements: str
notes:
  - All objects are checked first; then all of them are written in one transaction. If one is wrong, nothing is changed.
  - "C(parameters) and other free mappings are merged: keys that are given are set, a key that is given as null is
    removed, all others stay. Lists, as C(tags), are replaced."
attributes:
  diff_mode:
    description: Returns each object before and after.
    support: full
"""

    INFO = r"""
options:
  names:
    description: Names of the objects to return. All if it is not given. Names that do not exist are left out.
    type: list
    elements: str
attributes:
  diff_mode:
    description: Nothing is changed, so nothing differs.
    support: N/A
"""
