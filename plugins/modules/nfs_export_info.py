#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: nfs_export_info
short_description: List the grants of an NFS server
version_added: 0.1.0
description:
  - Lists which client address may mount which directory, and how many sessions each client has.
author:
  - openQRM project (@openqrm)
options:
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
    description: Changes nothing, so that it runs in check mode as it does else.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
"""

EXAMPLES = r"""
- name: List the grants
  openqrm.datacenter.nfs_export_info:
"""

RETURN = r"""
items:
  description: The grants, by directory and address.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The directory.
      type: str
    path:
      description: The directory.
      type: str
    client:
      description: The client, with its C(address).
      type: dict
    read_only:
      description: Whether the client may only read.
      type: bool
    sessions:
      description: Sessions that the client has with the server, whatever directory it uses.
      type: int
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError
from ansible_collections.openqrm.datacenter.plugins.module_utils.grants import list_grants
from ansible_collections.openqrm.datacenter.plugins.module_utils.nfs_servers import SETTINGS, server_of


def main():
    """Run the module."""
    module = AnsibleModule(argument_spec=SETTINGS, supports_check_mode=True)
    try:
        items = list_grants(server_of(module.params))
    except (CommandError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, items=items)


if __name__ == "__main__":
    main()
