# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Power and boot device of machines by IPMI 2.0, through ipmitool."""

from __future__ import annotations

import contextlib
import re
import time

from ansible_collections.openqrm.datacenter.plugins.module_utils.bmc_quirks import quirks_of
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError
from ansible_collections.openqrm.datacenter.plugins.module_utils.power import (
    CONTINUOUS,
    ONCE,
    Driver,
    PowerError,
    credentials_of,
)

# Set and Get System Boot Options, IPMI 2.0 section 28.12 and 28.13. Parameter 3 keeps the BMC from dropping the boot
# flags when the machine is not reset within a minute; parameter 5 are the boot flags.
KEEP_FLAGS = ["raw", "0x00", "0x08", "0x03", "0x08"]
SET_FLAGS = ["raw", "0x00", "0x08", "0x05"]
GET_FLAGS = ["raw", "0x00", "0x09", "0x05", "0x00", "0x00"]
VALID, PERSISTENT, EFI = 0x80, 0x40, 0x20
DEVICES = {"pxe": 0x04, "disk": 0x08}
PAUSE_S = 1
ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9][A-Za-z0-9.-]*))(?::([0-9]{1,5}))?")
IDENTITY = {"manufacturer": "Manufacturer ID", "model": "Product ID", "firmware": "Firmware Revision"}


def parse_address(endpoint):
    """Return host and port of the BMC of ``endpoint``. Raises PowerError."""
    match = ADDRESS.fullmatch((endpoint.get("address") or "").strip())
    if match is None:
        raise PowerError(
            f"Resource {endpoint['name']}: its BMC address is {endpoint.get('address') or 'empty'}; give a host, "
            "with a port where it is not 623, as 10.0.0.9 or [fd00::9]:6230."
        )
    return match[1] or match[2], match[3] or "623"


def parse_identity(text):
    """Return manufacturer, model and firmware from what C(ipmitool mc info) prints; ids are numbers."""
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    found = {key.strip(): value.split()[0] if value.split() else "" for key, value in fields.items()}
    return {key: found.get(name, "") for key, name in IDENTITY.items()}


def flags(device, mode, firmware, quirks):
    """Return the five bytes of the boot flags."""
    first = VALID | (PERSISTENT if mode == CONTINUOUS else 0) | (EFI if firmware == "uefi" else 0)
    codes = quirks.get("efi_devices", {}) if firmware == "uefi" else {}
    return [f"0x{byte:02x}" for byte in (first, codes.get(device, DEVICES[device]), 0, 0, 0)]


def parse_flags(text, quirks):
    """Return device and mode of the boot flags that a BMC returned, empty where they are not valid or say none."""
    data = [int(word, 16) for word in text.split()][2:]
    if len(data) < 2 or not (data[0] & VALID or quirks.get("flags_never_valid")):
        return ""
    codes = {code: name for name, code in (*DEVICES.items(), *quirks.get("efi_devices", {}).items())}
    code = data[1] & 0x3C
    mode = CONTINUOUS if data[0] & PERSISTENT or quirks.get("override_stays") else ONCE
    return f"{codes.get(code, f'device {code >> 2}')} {mode}" if code else ""


class Ipmi(Driver):
    """BMCs that speak IPMI 2.0 over LAN; ``run(argv, timeout_s, environment=...)`` runs ipmitool."""

    def __init__(self, run, options):
        """Keep the settings.

        ``options``: username, password, credentials (of single machines), cipher_suite (empty: what ipmitool finds
        best), request_timeout_s (for one call of ipmitool), retries (calls after one that failed).
        """
        self._run = run
        self._options = options
        self._identities = {}

    def check(self, endpoint):
        """Raise PowerError for an address that is none."""
        parse_address(endpoint)

    def power(self, endpoint):
        """Return the machine's power."""
        text = self._ask(endpoint, "chassis", "power", "status")
        found = re.search(r"Chassis Power is (on|off)", text)
        if found is None:
            raise PowerError(f"Resource {endpoint['name']}: its BMC says of its power: {text.strip() or 'nothing'}.")
        return found[1]

    def switch(self, endpoint, action):
        """Have the machine do ``on``, ``off`` (at once) or ``reset``."""
        self._ask(endpoint, "chassis", "power", action)

    def boot_device(self, endpoint):
        """Return device and mode of the boot flags."""
        return parse_flags(self._ask(endpoint, *GET_FLAGS), self._quirks(endpoint))

    def set_boot_device(self, endpoint, mode):
        """Set the boot flags."""
        quirks = self._quirks(endpoint)
        with contextlib.suppress(
            PowerError
        ):  # A BMC that refuses it drops the flags after a minute; they are read back.
            self._ask(endpoint, *KEEP_FLAGS, retries=0)
        self._ask(endpoint, *SET_FLAGS, *flags(endpoint["device"], mode, endpoint.get("firmware"), quirks))

    def _quirks(self, endpoint):
        name = endpoint["name"]
        if name not in self._identities:
            self._identities[name] = quirks_of("ipmi", parse_identity(self._ask(endpoint, "mc", "info")))
        return self._identities[name]

    def _ask(self, endpoint, *words, retries=None):
        """Return what ipmitool prints; the password goes through its environment."""
        host, port = parse_address(endpoint)
        username, password = credentials_of(
            endpoint, self._options["username"], self._options["password"], self._options["credentials"]
        )
        cipher = ["-C", self._options["cipher_suite"]] if self._options["cipher_suite"] else []
        argv = ["ipmitool", "-I", "lanplus", "-H", host, "-p", port, "-U", username, "-E", *cipher]
        argv += ["-N", "2", "-R", "2", *words]
        for left in range(self._options["retries"] if retries is None else retries, -1, -1):
            try:
                return self._run(argv, self._options["request_timeout_s"], environment={"IPMI_PASSWORD": password})
            except CommandError as error:
                if not left:
                    raise PowerError(failure(endpoint, words, error)) from error
            time.sleep(PAUSE_S)
        return ""


def failure(endpoint, words, error):
    """Return the message for a call of ipmitool that failed."""
    return (
        f"Resource {endpoint['name']}: the BMC at {endpoint['address']} did not do {' '.join(words)}: "
        f"{error.output or 'no answer'}. See that it is reached by IPMI over LAN (UDP) from the power host, and that "
        "user, password and cipher suite are right."
    )
