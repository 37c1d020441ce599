# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The NFS servers that there are, and the options by which modules choose and configure one."""

from __future__ import annotations

from ansible_collections.openqrm.datacenter.plugins.module_utils.nfs_ganesha import GaneshaServer
from ansible_collections.openqrm.datacenter.plugins.module_utils.nfs_kernel import KernelServer

SETTINGS = {
    "server": {"type": "str", "choices": ["kernel", "ganesha"], "default": "kernel"},
    "exports_file": {"type": "path", "default": "/etc/exports.d/openqrm.exports"},
    "options": {"type": "str", "default": "no_root_squash,sec=sys,no_subtree_check,sync"},
    "ganesha_dir": {"type": "path", "default": "/var/lib/openqrm/ganesha/exports"},
    "ganesha_bus": {"type": "str", "default": ""},
    "timeout_s": {"type": "int", "default": 15},
}
SERVERS = {
    "kernel": lambda o: KernelServer(o["exports_file"], o["options"], o["timeout_s"]),
    "ganesha": lambda o: GaneshaServer(o["ganesha_dir"], o["ganesha_bus"], o["timeout_s"]),
}


def server_of(options):
    """Return the NFS server that a module's options name."""
    return SERVERS[options["server"]](options)
