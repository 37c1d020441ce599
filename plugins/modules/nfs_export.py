#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: nfs_export
short_description: Grant clients directories over NFS
version_added: 0.1.0
description:
  - Exports directories to single client addresses over NFSv4, and takes exports back.
  - Revoking ends the client's sessions, too, and says how many are left. A client that keeps another grant of the
    server is left alone; then its files that are still open below the directory are counted.
author:
  - openQRM project (@openqrm)
options:
  grants:
    description: The grants.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Directory on the server.
        type: path
        required: true
      volume:
        description: Name of the volume, for the result.
        type: str
      target:
        description: What a storage network calls the volume; not used.
        type: str
      number:
        description: Number of the volume; not used.
        type: int
      client:
        description: The client.
        type: dict
        required: true
        suboptions:
          name:
            description: Name of the resource; not used.
            type: str
          address:
            description: Its IP address.
            type: str
            required: true
          mac:
            description: Its MAC address; not used.
            type: str
          iqn:
            description: Its iSCSI name; not used.
            type: str
          nqn:
            description: Its NVMe name; not used.
            type: str
      read_only:
        description: Whether the client may only read.
        type: bool
        default: false
      epoch:
        description: Epoch of the assignment; not used.
        type: int
  state:
    description: Whether the clients are to have the grants.
    type: str
    choices: [present, absent]
    default: present
  server:
    description: Which NFS server this machine runs.
    type: str
    choices: [kernel, ganesha]
    default: kernel
  exports_file:
    description: The exports file with the grants, for O(server=kernel).
    type: path
    default: /etc/exports.d/openqrm.exports
  options:
    description: Export options after C(rw) or C(ro), for O(server=kernel).
    type: str
    default: no_root_squash,sec=sys,no_subtree_check,sync
  ganesha_dir:
    description: Directory of the export files, for O(server=ganesha).
    type: path
    default: /var/lib/openqrm/ganesha/exports
  ganesha_bus:
    description: D-Bus address at which nfs-ganesha is reached. Empty for the system's bus.
    type: str
    default: ""
  timeout_s:
    description: Seconds that the server may take to end the sessions of clients.
    type: int
    default: 15
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Returns what differs.
    support: full
"""

EXAMPLES = r"""
- name: Let a client mount its root
  openqrm.datacenter.nfs_export:
    grants:
      - path: /srv/openqrm/volumes/web01-0
        client: {address: 10.78.0.100}
"""

RETURN = r"""
items:
  description: One result per grant, in the order of O(grants).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the volume, or the directory.
      type: str
    path:
      description: The directory.
      type: str
    client:
      description: The client, with its C(address).
      type: dict
    changed:
      description: Whether the grant was given or taken.
      type: bool
    sessions:
      description: With O(state=absent), what the client still holds. V(0) proves that it can no longer write.
      type: int
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError
from ansible_collections.openqrm.datacenter.plugins.module_utils.grants import GrantError, ensure_grants
from ansible_collections.openqrm.datacenter.plugins.module_utils.nfs_servers import SETTINGS, server_of

CLIENT = {
    "name": {"type": "str"},
    "address": {"type": "str", "required": True},
    "mac": {"type": "str"},
    "iqn": {"type": "str"},
    "nqn": {"type": "str"},
}
GRANT = {
    "path": {"type": "path", "required": True},
    "volume": {"type": "str"},
    "target": {"type": "str"},
    "number": {"type": "int"},
    "client": {"type": "dict", "required": True, "options": CLIENT},
    "read_only": {"type": "bool", "default": False},
    "epoch": {"type": "int"},
}


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec=dict(
            SETTINGS,
            grants={"type": "list", "elements": "dict", "required": True, "options": GRANT},
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
        ),
        supports_check_mode=True,
    )
    options = module.params
    try:
        result = ensure_grants(server_of(options), options["grants"], options["state"], module.check_mode)
    except (GrantError, CommandError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
