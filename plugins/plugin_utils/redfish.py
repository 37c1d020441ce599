# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Power and boot device of machines through the Redfish modules of community.general."""

from __future__ import annotations

import time

INFO = "community.general.redfish_info"
COMMAND = "community.general.redfish_command"
BOOT_TARGETS = {"pxe": "Pxe", "disk": "Hdd"}
STARTING = {"On": "on", "PoweringOn": "on", "Off": "off", "PoweringOff": "on", "Paused": "on"}


class RedfishError(Exception):
    """A BMC did not do what was asked; the message names the machine, what was asked and what was found."""


def command_for(verb, power):
    """Return the Redfish command that does ``verb`` on a machine whose power is ``power``, empty for none."""
    if verb == "reset":
        return "PowerForceRestart" if power == "on" else "PowerOn"
    return {("on", "off"): "PowerOn", ("off", "on"): "PowerForceOff"}.get((verb, power), "")


def host_of(endpoint):
    """Return host and port of the BMC. Raises RedfishError for a URL without TLS."""
    address = (endpoint.get("address") or "").rstrip("/")
    if not address or address.startswith("http://"):
        raise RedfishError(
            f"Resource {endpoint['name']}: its BMC address is {address or 'empty'}; give the host or the https:// URL."
        )
    return address.partition("://")[2] or address


def system_of(endpoint, entries):
    """Return the data of the endpoint's system among ``entries``, pairs of address and data of each system."""
    systems = {keys["system_uri"].rstrip("/").rpartition("/")[2]: data for keys, data in entries}
    wanted = endpoint.get("system") or ""
    if wanted in systems:
        return systems[wanted]
    if not wanted and len(systems) == 1:
        return next(iter(systems.values()))
    raise RedfishError(
        f"Resource {endpoint['name']}: the BMC at {endpoint['address']} has no system {wanted or '(none was named)'}; "
        f"it has: {', '.join(sorted(systems)) or 'none'}."
    )


class Redfish:
    """The machines' BMCs; ``call(module, arguments)`` runs a module of community.general and returns its result."""

    def __init__(self, call, connection, credentials, timeout_s):
        """Keep the settings.

        ``connection``: module options for all BMCs (username, password, validate_certs, ca_path, timeout);
        ``credentials``: resource -> username and password where they differ; ``timeout_s`` bounds reading back.
        """
        self._call = call
        self._connection = connection
        self._credentials = credentials
        self._timeout_s = timeout_s

    def power(self, endpoint):
        """Return the machine's power, ``on`` or ``off``, as its BMC says."""
        state = system_of(endpoint, self._read(endpoint, "GetSystemInventory", "system")).get("PowerState")
        if state not in STARTING:
            raise RedfishError(f"Resource {endpoint['name']}: its BMC says that the power is {state}, not On or Off.")
        return STARTING[state]

    def set_power(self, endpoint, verb, power):
        """Do ``verb`` (on, off, reset) on a machine whose power is ``power``; return the power that was read back."""
        wanted = "off" if verb == "off" else "on"
        self._command(endpoint, command=command_for(verb, power))
        return self._wait(endpoint, "power", self.power, wanted)

    def boot_device(self, endpoint):
        """Return the target of the boot override, one-time or not, empty when there is none."""
        entry = system_of(endpoint, self._read(endpoint, "GetBootOverride", "boot_override"))
        return entry.get("BootSourceOverrideTarget", "") if entry.get("BootSourceOverrideEnabled") != "Disabled" else ""

    def set_boot_device(self, endpoint):
        """Have the machine boot from ``endpoint['device']`` once; return the target that was read back."""
        target = BOOT_TARGETS[endpoint["device"]]
        self._command(endpoint, command="SetOneTimeBoot", bootdevice=target)
        return self._wait(endpoint, "boot device", self.boot_device, target)

    def _options(self, endpoint):
        own = self._credentials.get(endpoint["name"], {})
        return dict(self._connection, **own, baseuri=host_of(endpoint), category="Systems")

    def _read(self, endpoint, command, fact):
        result = self._checked(endpoint, INFO, dict(self._options(endpoint), command=[command]))
        return result["redfish_facts"][fact]["entries"]

    def _command(self, endpoint, **what):
        options = dict(self._options(endpoint), **what)
        options["command"] = [what["command"]]
        if endpoint.get("system"):
            options["resource_id"] = endpoint["system"]
        self._checked(endpoint, COMMAND, options)

    def _checked(self, endpoint, module, options):
        result = self._call(module, options)
        if result.get("failed"):
            raise RedfishError(
                f"Resource {endpoint['name']}: the BMC at {endpoint['address']} did not do {options['command'][0]}: "
                f"{result.get('msg', 'no answer')}"
            )
        return result

    def _wait(self, endpoint, what, read, wanted):
        deadline = time.monotonic() + self._timeout_s
        while True:
            found = read(endpoint)
            if found == wanted:
                return found
            if time.monotonic() >= deadline:
                raise RedfishError(
                    f"Resource {endpoint['name']}: {what} {wanted} was asked for, the BMC at {endpoint['address']} "
                    f"still says {found or 'none'} after {self._timeout_s} s."
                )
            time.sleep(0.5)


def planned(redfish, verb, endpoint):
    """Return (power now, whether ``verb`` changes something) of one machine."""
    power = redfish.power(endpoint)
    if verb == "boot_device":
        return power, redfish.boot_device(endpoint) != BOOT_TARGETS[endpoint["device"]]
    return power, verb != "status" and command_for(verb, power) != ""


def apply(redfish, verb, endpoint, power):
    """Do ``verb`` on one machine; return its power afterwards."""
    if verb == "boot_device":
        redfish.set_boot_device(endpoint)
        return power
    return redfish.set_power(endpoint, verb, power)


def ensure(redfish, verb, endpoints, check_mode):
    """Do ``verb`` on all machines; return the result with one item per machine.

    Every BMC is read before anything is changed: RedfishError is raised when one cannot be. What fails afterwards does
    not keep the other machines from being changed; the result then has ``failed`` and a message for all of them.
    """
    plans = [(endpoint, *planned(redfish, verb, endpoint)) for endpoint in endpoints]
    items, problems = [], []
    for endpoint, power, changed in plans:
        item = {"name": endpoint["name"], "power": power, "changed": changed}
        try:
            if changed and not check_mode:
                item["power"] = apply(redfish, verb, endpoint, power)
            elif changed and verb != "boot_device":
                item["power"] = "off" if verb == "off" else "on"
        except RedfishError as error:
            problems.append(str(error))
        items.append(item)
    result = {"changed": any(item["changed"] for item in items), "items": items}
    return dict(result, failed=True, msg=" ".join(problems)) if problems else result
