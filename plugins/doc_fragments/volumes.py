# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that the modules of storage types have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation of volumes; ``LOCATIONS`` is that of the modules that list them."""

    DOCUMENTATION = r"""
options:
  volumes:
    description: The volumes.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name, up to 63 of a-z, 0-9, dot, underscore and dash, a letter or digit first.
        type: str
        required: true
      location:
        description: Absolute path of the directory that holds the volumes. It must exist.
        type: path
        required: true
      size_mib:
        description: Size in MiB of a new volume, or to which a volume grows. A clone has the size of its source.
        type: int
      archive:
        description:
          - Path on the controller of a tar archive, compressed or not, that fills a new volume.
          - It is copied to the managed host where a volume that needs it does not exist, once, and removed afterwards.
        type: path
      source:
        description: Name of the volume in the same location of which a new volume is a clone.
        type: str
      read_only:
        description: Whether a new volume is a snapshot of its O(volumes[].source), which stays as it is.
        type: bool
        default: false
  state:
    description:
      - Whether the volumes are to exist. V(absent) destroys their data.
      - With V(resized) volumes that exist grow to their O(volumes[].size_mib); none shrinks.
    type: str
    choices: [present, absent, resized]
    default: present
  remote_src:
    description: Whether the archives are on the managed host, where they stay.
    type: bool
    default: false
  staging:
    description: Directory on the managed host for the copies of archives, else the location of the volume.
    type: path
  archives:
    description: Where the copies of archives are, by path on the controller. Set by the action that copies them.
    type: dict
    default: {}
  archive_sizes_mib:
    description:
      - How large archives are that are not on the managed host yet, by path on the controller. Set by the action that
        copies them, for the check of the room.
    type: dict
    default: {}
  timeout_s:
    description: Seconds that one command may take, the copy of a volume for example.
    type: int
    default: 3600
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Returns what differs.
    support: full
"""

    LOCATIONS = r"""
options:
  locations:
    description: The locations.
    type: list
    elements: dict
    required: true
    suboptions:
      location:
        description: Absolute path of the directory that holds the volumes.
        type: path
        required: true
  measure_s:
    description: Seconds to spend on measuring, for all volumes together. V(0) measures none.
    type: int
    default: 30
  space:
    description:
      - Return how full the locations are instead of their volumes, an item for each, in order.
      - "An item has C(location), C(what) (what has the room), C(total_mib), C(used_mib), C(free_mib) and
        C(used_percent); of a location that cannot be looked at, C(location) and C(problem)."
    type: bool
    default: false
attributes:
  check_mode:
    description: Changes nothing, so that it runs in check mode as it does else.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
"""
