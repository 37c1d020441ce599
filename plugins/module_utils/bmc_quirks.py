# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where BMCs differ from their standards: the one table that the drivers ask, and the only place that knows vendors.

A row applies to a BMC whose manufacturer, model and firmware match its patterns whole, without regard to case. All rows
that apply count; later ones win. What a driver does with a change is said beside it.
"""

from __future__ import annotations

import re

# Changes by IPMI
#   efi_devices: codes of boot devices for UEFI machines, as the byte of the boot flags
#   flags_never_valid: boot flags are kept, yet their valid bit reads 0
#   override_stays: boot flags hold for all boots, though the persistent bit reads 0
# Changes by Redfish
#   mode_with_override: BootSourceOverrideMode is to be sent with every boot override, and is not where this is not set
#   cd_by_usb: a virtual CD is booted as UsbCd, where the BMC offers that beside Cd
#   strong_etag: entity tags are given as weak ones (W/"1"), and taken in If-Match as strong ones ("1") only
QUIRKS = [
    {
        "protocol": "ipmi",
        "manufacturer": "10876|47488",
        "changes": {"efi_devices": {"disk": 0x24}},
        "seen": "Supermicro: a UEFI disk is device 9; device 2, as the standard has it, is ignored",
        "source": "Supermicro FAQ 25559, metal-stack/metal#73 (SMCIPMITool)",
    },
    {
        "protocol": "ipmi",
        "manufacturer": "4753",
        "model": "3842",
        "changes": {"flags_never_valid": True, "override_stays": True},
        "seen": "OpenIPMI's simulator with a chassis program: of the boot flags only the device is kept",
        "source": "seen with ipmi_sim of OpenIPMI 2.0.33; tests/integration/roles/test_power_ipmi.py",
    },
    {
        "protocol": "redfish",
        "manufacturer": "Super ?micro.*",
        "changes": {"mode_with_override": True},
        "seen": "Supermicro: a boot override without a mode sets the mode to its default",
        "source": "DMTF/Redfishtool#106",
    },
    {
        "protocol": "redfish",
        "manufacturer": "Super ?micro.*",
        "changes": {"cd_by_usb": True},
        "seen": "Supermicro: virtual CDs are on USB; Cd and UsbCd are both offered, and Cd does not boot them",
        "source": "openstack/sushy, BootSource.USB_CD in sushy/resources/system/constants.py",
    },
    {
        "protocol": "redfish",
        "manufacturer": "GIGABYTE.*|Giga Computing.*",
        "changes": {"strong_etag": True, "mode_with_override": True},
        "seen": "AMI's firmware on Gigabyte: the tag that it gives is refused as it is",
        "source": "ansible-collections/community.general#6434 and option strip_etag_quotes; community.general#11542",
    },
]


def matches(quirk, identity):
    """Return whether the row applies to a BMC of this identity."""
    return all(
        re.fullmatch(quirk[key], identity.get(key) or "", re.IGNORECASE)
        for key in ("manufacturer", "model", "firmware")
        if key in quirk
    )


def quirks_of(protocol, identity):
    """Return the changes for a BMC: ``identity`` has manufacturer, model and firmware as the protocol says them."""
    found = {}
    for quirk in QUIRKS:
        if quirk["protocol"] == protocol and matches(quirk, identity):
            found.update(quirk["changes"])
    return found
