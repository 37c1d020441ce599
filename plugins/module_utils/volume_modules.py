# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules ``<type>_volume`` and ``<type>_volume_info``: each names its back end, the rest is here."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import (
    VolumeError,
    ensure_volumes,
    list_spaces,
    list_volumes,
)


def carry_out(backend_of, own=None, presents=(), location="path"):
    """Run a module that keeps volumes by the back end ``backend_of(options)``.

    ``own``: the module's own options; ``presents``: the kinds of volume, where there is more than one; ``location``:
    the type of a location.
    """
    module = AnsibleModule(argument_spec=volume_arguments(own, presents, location), supports_check_mode=True)
    options = module.params
    for volume in options["volumes"]:
        volume["archive_mib"] = options["archive_sizes_mib"].get(volume["archive"])
        volume["archive"] = options["archives"].get(volume["archive"], volume["archive"])
    finish(module, lambda: ensure_volumes(backend_of(options), options["volumes"], options["state"], module.check_mode))


def carry_out_listing(backend_of, own=None, location="path"):
    """Run a module that lists the volumes of the back end ``backend_of(options)``, or the space of its locations."""
    module = AnsibleModule(
        argument_spec=dict(listing_arguments(location), **(own or {})),
        supports_check_mode=True,
    )
    options = module.params

    def listing():
        backend = backend_of(options)
        if options["space"]:
            return {"changed": False, "items": list_spaces(backend, options["locations"])}
        return {"changed": False, "items": list_volumes(backend, options["locations"], options["measure_s"])}

    finish(module, listing)


def listing_arguments(location="path"):
    """Return the argument spec of a module that lists."""
    return {
        "locations": location_argument(location),
        "measure_s": {"type": "int", "default": 30},
        "space": {"type": "bool", "default": False},
    }


def finish(module, perform):
    """End the module with the result of ``perform``, or with the message of what kept it from it."""
    try:
        result = perform()
    except (VolumeError, CommandError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


def location_argument(location="path"):
    """Return the option ``locations``."""
    options = {"location": {"type": location, "required": True}}
    return {"type": "list", "elements": "dict", "required": True, "options": options}


def volume_arguments(own=None, presents=(), location="path"):
    """Return the argument spec of a module that keeps volumes."""
    volume = {
        "name": {"type": "str", "required": True},
        "location": {"type": location, "required": True},
        "size_mib": {"type": "int"},
        "archive": {"type": "path"},
        "source": {"type": "str"},
        "read_only": {"type": "bool", "default": False},
    }
    if presents:
        volume["presents"] = {"type": "str", "choices": list(presents)}
    return dict(
        {
            "volumes": {"type": "list", "elements": "dict", "required": True, "options": volume},
            "state": {"type": "str", "choices": ["present", "absent", "resized"], "default": "present"},
            "archives": {"type": "dict", "default": {}},
            "archive_sizes_mib": {"type": "dict", "default": {}},
            "remote_src": {"type": "bool", "default": False},
            "staging": {"type": "path"},
            "timeout_s": {"type": "int", "default": 3600},
        },
        **(own or {}),
    )
