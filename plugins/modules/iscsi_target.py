#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: iscsi_target
short_description: Grant clients volumes over iSCSI
version_added: 0.1.0
description:
  - Serves volumes by Linux's own iSCSI target (LIO), one target per volume with the name
    C(iqn.2010-09.com.openqrm:<target>), to single initiators. What else the server exports is not touched.
  - Revoking removes the initiator's access and ends its sessions, and says how many are left.
options:
  chap:
    description:
      - Whether initiators prove by CHAP that a grant is theirs. Then the controller gives each grant of an assignment
        (one with an epoch) a secret of its own, unless it has one.
    type: bool
    default: true
extends_documentation_fragment:
  - openqrm.datacenter.block
  - openqrm.datacenter.block.grants
  - openqrm.datacenter.block.iscsi
"""

EXAMPLES = r"""
- name: Let a node use its volume
  openqrm.datacenter.iscsi_target:
    grants:
      - path: /dev/vg0/web01-0
        target: san1.web01-0
        number: 7
        client: {iqn: iqn.2010-09.com.openqrm:node01}
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
      description: The client, with its C(iqn).
      type: dict
    changed:
      description: Whether the grant was given or taken.
      type: bool
    sessions:
      description: With O(state=absent), what the client still holds. V(0) proves that it can no longer write.
      type: int
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.block_servers import GRANTS, ISCSI, server_of
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError
from ansible_collections.openqrm.datacenter.plugins.module_utils.grants import GrantError, ensure_grants


def main():
    """Run the module."""
    chap = {"type": "bool", "default": True}
    module = AnsibleModule(argument_spec=dict(ISCSI, **GRANTS, chap=chap), supports_check_mode=True)
    options = module.params
    try:
        server = server_of("iscsi", options)
        result = ensure_grants(server, options["grants"], options["state"], module.check_mode)
    except (GrantError, CommandError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
