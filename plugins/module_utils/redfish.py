# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Power and boot device of machines by Redfish."""

from __future__ import annotations

import itertools

from ansible_collections.openqrm.datacenter.plugins.module_utils.bmc_quirks import quirks_of
from ansible_collections.openqrm.datacenter.plugins.module_utils.power import CONTINUOUS, ONCE, Driver, PowerError
from ansible_collections.openqrm.datacenter.plugins.module_utils.redfish_bmc import (
    ROOT,
    Bmc,
    host_of,
    link,
    tls_context,
)
from ansible_collections.openqrm.datacenter.plugins.module_utils.redfish_media import (
    check_media,
    ejection,
    find_drive,
    image_of,
    inserted_in,
    insertion,
)

STATES = {"On": "on", "PoweringOn": "on", "Off": "off", "PoweringOff": "on", "Paused": "on"}
TARGETS = {"pxe": "Pxe", "disk": "Hdd", "cd": "Cd"}
USB_CD = "UsbCd"
DEVICES = {target: device for device, target in TARGETS.items()} | {USB_CD: "cd"}
MODES = {ONCE: "Once", CONTINUOUS: "Continuous"}
FIRMWARE = {"uefi": "UEFI", "bios": "Legacy"}
# What does an action, best first; the first that the BMC offers is taken.
RESETS = {
    "on": ("On", "ForceOn", "PushPowerButton"),
    "off": ("ForceOff",),
    "reset": ("ForceRestart", "PowerCycle", "FullPowerCycle", "GracefulRestart"),
}


def override_of(system):
    """Return device and mode of a system's boot override, empty for none."""
    boot = system.get("Boot") or {}
    enabled, target = boot.get("BootSourceOverrideEnabled"), boot.get("BootSourceOverrideTarget")
    if enabled not in MODES.values() or target in (None, "None"):
        return ""
    return f"{DEVICES.get(target, target)} {enabled.lower()}"


def override_body(system, device, mode, firmware, quirks):
    """Return what is to be sent to a system so that it boots from the device."""
    now = system.get("Boot") or {}
    usb = device == "cd" and quirks.get("cd_by_usb")
    usb = usb and USB_CD in (now.get("BootSourceOverrideTarget@Redfish.AllowableValues") or [])
    boot = {"BootSourceOverrideEnabled": MODES[mode], "BootSourceOverrideTarget": USB_CD if usb else TARGETS[device]}
    if quirks.get("mode_with_override"):
        found = now.get("BootSourceOverrideMode")
        boot["BootSourceOverrideMode"] = FIRMWARE.get(firmware) or found or "UEFI"
    return {"Boot": boot}


def tag_for(etag, quirks):
    """Return the entity tag as the BMC takes it in If-Match."""
    return etag[2:] if quirks.get("strong_etag") and etag.startswith("W/") else etag


class Redfish(Driver):
    """BMCs that speak Redfish. ``options``: those of :class:`Bmc`, and ca_path and validate_certs."""

    def __init__(self, options):
        """Keep the settings."""
        self._options = options
        self._context = tls_context(options.get("ca_path"), options["validate_certs"])
        self._bmcs = {}
        self._paths = {}
        self._drives = {}
        self._quirks = {}

    def check(self, endpoint):
        """Raise PowerError for an address or a medium that is none."""
        host_of(endpoint)
        check_media(endpoint)

    def power(self, endpoint):
        """Return the machine's power."""
        state = self.system(endpoint)[0].get("PowerState")
        if state not in STATES:
            raise PowerError(f"Resource {endpoint['name']}: its BMC says that the power is {state}, not On or Off.")
        return STATES[state]

    def switch(self, endpoint, action):
        """Have the machine do ``on``, ``off`` (at once) or ``reset``, in the way that its BMC offers."""
        action_of_bmc = (self.system(endpoint)[0].get("Actions") or {}).get("#ComputerSystem.Reset") or {}
        target = (
            action_of_bmc.get("target") or f"{self._paths[endpoint['name']].rstrip('/')}/Actions/ComputerSystem.Reset"
        )
        offered = action_of_bmc.get("ResetType@Redfish.AllowableValues") or self._offered(endpoint, action_of_bmc)
        kind = next((kind for kind in RESETS[action] if not offered or kind in offered), "")
        if not kind:
            raise self.bmc(endpoint).error(action, f"it offers {', '.join(offered)} only")
        self.bmc(endpoint).change("POST", target, {"ResetType": kind})

    def boot_device(self, endpoint):
        """Return device and mode of the boot override, and what is in the CD drive if that is not what it should be."""
        found = override_of(self.system(endpoint)[0])
        inserted = inserted_in(self.drive(endpoint)[0]) if image_of(endpoint) else ""
        return found if inserted == image_of(endpoint) else f"{found or 'none'}, CD {inserted or 'none'}"

    def set_boot_device(self, endpoint, mode):
        """Set the boot override, with the image that the endpoint is to boot from in the CD drive."""
        if image_of(endpoint):
            self._insert(endpoint)
        system, etag = self.system(endpoint)
        quirks = self.quirks(endpoint, system)
        body = override_body(system, endpoint["device"], mode, endpoint.get("firmware"), quirks)
        path = self._paths[endpoint["name"]]
        self.bmc(endpoint).change("PATCH", path, body, tag_for(etag, quirks))

    def close(self):
        """Close the connections."""
        for bmc in self._bmcs.values():
            bmc.close()

    def bmc(self, endpoint):
        """Return the endpoint's BMC."""
        name = endpoint["name"]
        if name not in self._bmcs:
            self._bmcs[name] = Bmc(endpoint, self._options, self._context)
        return self._bmcs[name]

    def system(self, endpoint):
        """Return the machine's system as its BMC has it now, and its entity tag."""
        name, bmc = endpoint["name"], self.bmc(endpoint)
        if name not in self._paths:
            systems = link(bmc.get(ROOT)[0], "Systems") or f"{ROOT}Systems"
            self._paths[name] = self._chosen(endpoint, bmc.get(systems)[0])
        return bmc.get(self._paths[name])

    def drive(self, endpoint):
        """Return the CD drive that the machine's BMC gives it, and its entity tag."""
        name, bmc = endpoint["name"], self.bmc(endpoint)
        if name not in self._drives:
            system = self.system(endpoint)[0]
            self._drives[name] = find_drive(bmc, itertools.chain([system], self._managers(endpoint, system)))
        return bmc.get(self._drives[name])

    def quirks(self, endpoint, system):
        """Return how the endpoint's BMC differs from the standard."""
        name = endpoint["name"]
        if name not in self._quirks:
            manager = next(self._managers(endpoint, system), {})
            identity = {
                "manufacturer": system.get("Manufacturer"),
                "model": system.get("Model"),
                "firmware": manager.get("FirmwareVersion"),
            }
            self._quirks[name] = quirks_of("redfish", identity)
        return self._quirks[name]

    def _managers(self, endpoint, system):
        """Return the system's managers, each read when it is come to."""
        managers = (system.get("Links") or {}).get("ManagedBy") or []
        return (self.bmc(endpoint).get(link(item))[0] for item in managers if link(item))

    def _insert(self, endpoint):
        """Have the endpoint's image in its CD drive; another one is ejected."""
        drive, etag = self.drive(endpoint)
        if inserted_in(drive) == image_of(endpoint):
            return
        path, quirks = self._drives[endpoint["name"]], self.quirks(endpoint, self.system(endpoint)[0])
        if inserted_in(drive):
            self._change_drive(endpoint, ejection(drive, path), tag_for(etag, quirks))
            drive, etag = self.drive(endpoint)
        self._change_drive(endpoint, insertion(drive, path, image_of(endpoint)), tag_for(etag, quirks))

    def _change_drive(self, endpoint, request, tag):
        """Send a request to the endpoint's CD drive; only a PATCH is bound to its entity tag."""
        method, path, body = request
        self.bmc(endpoint).change(method, path, body, tag if method == "PATCH" else "")

    def _chosen(self, endpoint, collection):
        """Return the address of the endpoint's system among those of the BMC."""
        systems = {link(item).rstrip("/").rpartition("/")[2]: link(item) for item in collection.get("Members") or []}
        wanted = endpoint.get("system") or ""
        if wanted in systems:
            return systems[wanted]
        if not wanted and len(systems) == 1:
            return next(iter(systems.values()))
        raise PowerError(
            f"Resource {endpoint['name']}: the BMC at {endpoint['address']} has no system "
            f"{wanted or '(none was named)'}; it has: {', '.join(sorted(systems)) or 'none'}."
        )

    def _offered(self, endpoint, action):
        """Return the reset types that the action's description lists, none where it has no description."""
        where = action.get("@Redfish.ActionInfo")
        parameters = self.bmc(endpoint).get(where)[0].get("Parameters") or [] if where else []
        return next((item.get("AllowableValues") or [] for item in parameters if item.get("Name") == "ResetType"), [])
