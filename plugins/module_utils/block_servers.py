# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services that serve block devices, the options by which modules configure them, and what the modules do."""

from __future__ import annotations

import ipaddress

from ansible_collections.openqrm.datacenter.plugins.module_utils.aoe import AoeServer
from ansible_collections.openqrm.datacenter.plugins.module_utils.grants import GrantError
from ansible_collections.openqrm.datacenter.plugins.module_utils.lio import LioServer
from ansible_collections.openqrm.datacenter.plugins.module_utils.nvmet import NvmetServer
from ansible_collections.openqrm.datacenter.plugins.module_utils.tgt import TgtServer

CLIENT = {name: {"type": "str"} for name in ("name", "address", "mac", "iqn", "nqn")}
GRANT = {
    "path": {"type": "path", "required": True},
    "client": {"type": "dict", "required": True, "options": CLIENT},
    "volume": {"type": "str"},
    "storage": {"type": "str"},
    "number": {"type": "int"},
    "target": {"type": "str"},
    "secret": {"type": "str", "no_log": True},
    "read_only": {"type": "bool", "default": False},
    "epoch": {"type": "int"},
}
GRANTS = {
    "grants": {"type": "list", "elements": "dict", "required": True, "options": GRANT},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}
ANY = "0.0.0.0"  # noqa: S104 - who may use what is decided by grants, and addresses can be set
COMMON = {
    "state_dir": {"type": "path", "default": "/var/lib/openqrm/grants"},
    "timeout_s": {"type": "int", "default": 15},
}
ISCSI = dict(
    COMMON,
    server={"type": "str", "choices": ["lio", "tgt"], "default": "lio"},
    addresses={"type": "list", "elements": "str", "default": []},
    port={"type": "int", "default": 3260},
)

NVME_TCP = dict(
    COMMON,
    addresses={"type": "list", "elements": "str", "default": []},
    port={"type": "int", "default": 4420},
    authentication={"type": "str", "choices": ["auto", "required", "off"], "default": "auto"},
)
AOE = dict(
    COMMON,
    interface={"type": "str", "default": ""},
    io={"type": "str", "choices": ["sync", "direct", "buffered"], "default": "sync"},
    supervisor={"type": "str", "choices": ["systemd", "process"], "default": "systemd"},
)


def checked_addresses(addresses):
    """Return the addresses in their usual form, by default all of this server. Raises GrantError for what is none."""
    try:
        return [str(ipaddress.ip_address("" if "%" in address else address)) for address in addresses or [ANY]]
    except ValueError as error:
        raise GrantError(f"The addresses {', '.join(addresses)} are not all IP addresses.") from error


def portal(address, port):
    """Return an iSCSI portal, as 10.78.0.10:3260 or [fd00::1]:3260."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def iscsi_server(options):
    """Return the iSCSI target of these options."""
    portals = [portal(address, options["port"]) for address in checked_addresses(options["addresses"])]
    return ISCSI_SERVERS[options["server"]](options["state_dir"], options["timeout_s"], portals)


def nvmet_server(options):
    """Return the NVMe target of these options."""
    addresses = checked_addresses(options["addresses"])
    return NvmetServer(
        options["state_dir"], options["timeout_s"], addresses, options["port"], options["authentication"]
    )


def aoe_server(options):
    """Return the AoE server of these options."""
    settings = [options[name] for name in ("interface", "io", "supervisor")]
    return AoeServer(options["state_dir"], options["timeout_s"], *settings)


ISCSI_SERVERS = {"lio": LioServer, "tgt": TgtServer}
SETTINGS = {"aoe": AOE, "iscsi": ISCSI, "nvme_tcp": NVME_TCP}
SERVERS = {"aoe": aoe_server, "iscsi": iscsi_server, "nvme_tcp": nvmet_server}


def server_of(method, options):
    """Return the service of a deployment method, as the options of its modules configure it."""
    return SERVERS[method](options)
