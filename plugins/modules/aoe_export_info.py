#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: aoe_export_info
short_description: List the grants of volumes over ATA over Ethernet
version_added: 0.1.0
description:
  - Lists which client may use which volume, and how many sessions each client has.
extends_documentation_fragment:
  - openqrm.datacenter.block
  - openqrm.datacenter.block.list
  - openqrm.datacenter.block.aoe
"""

EXAMPLES = r"""
- name: List the grants
  openqrm.datacenter.aoe_export_info:
"""

RETURN = r"""
items:
  description: The grants, by volume and client.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The volume.
      type: str
    path:
      description: The volume.
      type: str
    client:
      description: The client, with its C(mac).
      type: dict
    read_only:
      description: Whether the client may only read.
      type: bool
    sessions:
      description: Sessions that the client has.
      type: int
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.block_servers import AOE, server_of
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError
from ansible_collections.openqrm.datacenter.plugins.module_utils.grants import GrantError, list_grants


def main():
    """Run the module."""
    module = AnsibleModule(argument_spec=AOE, supports_check_mode=True)
    try:
        items = list_grants(server_of("aoe", module.params))
    except (GrantError, CommandError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, items=items)


if __name__ == "__main__":
    main()
