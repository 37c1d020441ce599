#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: unused_file_places
short_description: Where large files are that may not be in use any more
version_added: 0.1.0
description:
  - Says in which directories of which hosts to look for files that nothing refers to, and which ones are in use.
  - It is what C(openqrm.datacenter.cache_prune) is made of; other playbooks use that.
attributes:
  check_mode:
    support: full
    description: Changes nothing, so that it runs in check mode as it does else.
  diff_mode:
    support: none
    description: Changes nothing.
extends_documentation_fragment:
  - openqrm.datacenter.store
"""

EXAMPLES = r"""
- name: Find out where to look
  openqrm.datacenter.unused_file_places:
"""

RETURN = r"""
places:
  description:
    - The O(openqrm.datacenter.unused_files#module:places) to look at, by host. The facts C(openqrm_unused_places) and
      C(openqrm_unused_hosts) have them and the hosts.
  returned: success
  type: dict
"""
