# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all iscsi servers have in common: names of targets, serial numbers of volumes, and which grants go together."""

from __future__ import annotations

import hashlib

from ansible_collections.openqrm.datacenter.plugins.module_utils.block_grants import BlockServer
from ansible_collections.openqrm.datacenter.plugins.module_utils.grants import GrantError

PREFIX = "iqn.2010-09.com.openqrm:"


def serial_of(target):
    """Return the serial number of a target's volume: initiators know it again after a reboot of the server."""
    return hashlib.sha256(target.encode()).hexdigest()[:32]


class IscsiServer(BlockServer):
    """An iSCSI server, which knows its clients by their initiator names."""

    method = "iscsi"
    identity = "iqn"

    def check_all(self, grants):
        """Raise GrantError also when only some clients of a volume have a secret."""
        super().check_all(grants)
        for path, clients in grants.items():
            if len({bool(value["secret"]) for value in clients.values()}) > 1:
                raise GrantError(f"Grant of {path}: give all of its clients a secret, or none.")
