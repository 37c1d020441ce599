# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that serve volumes as block devices have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation shared by the modules of the block methods."""

    DOCUMENTATION = r"""
options:
  state_dir:
    description:
      - Directory of the file with the grants, from which they are served again after a reboot. It holds secrets, and
        nobody else can read it.
    type: path
    default: /var/lib/openqrm/grants
  timeout_s:
    description: Seconds that the service may take to end the sessions of clients.
    type: int
    default: 15
author:
  - openQRM project (@openqrm)
"""

    GRANTS = r"""
options:
  grants:
    description: The grants.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Block device or raw file on the server.
        type: path
        required: true
      client:
        description: The client.
        type: dict
        required: true
        suboptions:
          name:
            description: Name of the resource.
            type: str
          address:
            description: Its IP address.
            type: str
          mac:
            description: MAC address of its NIC on the storage network.
            type: str
          iqn:
            description: Its iSCSI name.
            type: str
          nqn:
            description: Its NVMe name.
            type: str
      volume:
        description: Name of the volume, for the result.
        type: str
      storage:
        description: Name of the storage that the volume is of.
        type: str
      number:
        description: Number of the volume in the store.
        type: int
      target:
        description: Name of the volume for clients, unique on this server.
        type: str
      secret:
        description: What the client proves itself with. 12 to 128 letters, digits and C(+/=_.-).
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
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Returns what differs.
    support: full
"""

    LIST = r"""
attributes:
  check_mode:
    description: Changes nothing, so that it runs in check mode as it does else.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
"""

    ISCSI = r"""
options:
  server:
    description:
      - What serves the targets, the kernel's own (LIO) or tgtd, in user space. The latter must run, with its control
        socket at C(tgt.0) in O(state_dir), as role C(deployment_iscsi) starts it.
    type: str
    choices: [lio, tgt]
    default: lio
  addresses:
    description: Addresses of this server at which targets are served. Empty for all.
    type: list
    elements: str
    default: []
  port:
    description: Port of the targets.
    type: int
    default: 3260
"""

    NVME_TCP = r"""
options:
  addresses:
    description: Addresses of this server at which subsystems are served. Empty for all.
    type: list
    elements: str
    default: []
  port:
    description: Port of the subsystems.
    type: int
    default: 4420
  authentication:
    description:
      - Whether hosts prove themselves by DH-HMAC-CHAP with the secret of their grant. V(auto) has them where the kernel
        of this server can and the grant has a secret; V(required) refuses other grants.
    type: str
    choices: [auto, required, "off"]
    default: auto
"""

    AOE = r"""
options:
  interface:
    description: Network interface on which volumes are served. Empty for the one that leads to the client's address.
    type: str
    default: ""
  io:
    description:
      - How volumes are written. AoE has no way for a client to have a server's cache written to disk, so that V(sync),
        which answers when data is on disk, is the only one that loses nothing when the server's power fails.
      - V(direct) passes over the page cache, V(buffered) uses it.
    type: str
    choices: [sync, direct, buffered]
    default: sync
  supervisor:
    description: Who keeps the processes, systemd or, on machines without it, nobody.
    type: str
    choices: [systemd, process]
    default: systemd
"""
