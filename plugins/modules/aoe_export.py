#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: aoe_export
short_description: Grant clients volumes over ATA over Ethernet
version_added: 0.1.0
description:
  - Serves volumes by vblade, one process per grant, which answers the client's MAC address only. Shelf and slot follow
    from the volume's number - 1 + number / 255 and number % 255.
  - Revoking ends the process, and says whether it is gone.
extends_documentation_fragment:
  - openqrm.datacenter.block
  - openqrm.datacenter.block.grants
  - openqrm.datacenter.block.aoe
"""

EXAMPLES = r"""
- name: Let a node use its volume
  openqrm.datacenter.aoe_export:
    grants:
      - path: /dev/vg0/web01-0
        target: san1.web01-0
        number: 7
        client: {mac: 52:54:00:78:00:01, address: 10.78.0.100}
"""

RETURN = r"""
items:
  description: One result per grant, in the order of O(grants).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the volume, or its path.
      type: str
    path:
      description: The volume.
      type: str
    client:
      description: The client, with its C(mac).
      type: dict
    changed:
      description: Whether the grant was given or taken.
      type: bool
    sessions:
      description: With O(state=absent), what the client still holds. V(0) proves that it can no longer write.
      type: int
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.block_servers import AOE, GRANTS, server_of
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError
from ansible_collections.openqrm.datacenter.plugins.module_utils.grants import GrantError, ensure_grants


def main():
    """Run the module."""
    module = AnsibleModule(argument_spec=dict(AOE, **GRANTS), supports_check_mode=True)
    options = module.params
    try:
        server = server_of("aoe", options)
        result = ensure_grants(server, options["grants"], options["state"], module.check_mode)
    except (GrantError, CommandError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
