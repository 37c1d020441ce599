# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual media by Redfish: the CD drive that a BMC gives its machine. Source: DMTF DSP2046, VirtualMedia."""

from __future__ import annotations

import urllib.parse

from ansible_collections.openqrm.datacenter.plugins.module_utils.power import PowerError
from ansible_collections.openqrm.datacenter.plugins.module_utils.redfish_bmc import link

CD_TYPES = ("CD", "DVD")


def image_of(endpoint):
    """Return the address of the image that the endpoint is to boot from, empty for none."""
    return (endpoint.get("media") or "") if endpoint.get("device") == "cd" else ""


def check_media(endpoint):
    """Raise PowerError for a medium that is no address of an image, or one with a user or password in it."""
    media = endpoint.get("media") or ""
    try:
        url = urllib.parse.urlsplit(media)
        usable = url.scheme in ("http", "https") and url.hostname and media.isprintable() and " " not in media
    except ValueError:
        usable = False
    if media and (not usable or "@" in url.netloc):
        raise PowerError(
            f"Resource {endpoint['name']}: its power parameter media is no address of an image; give ipxe, "
            "or the http:// or https:// URL of an ISO image, without user and password."
        )


def find_drive(bmc, owners):
    """Return the address of the first device that takes CDs, of a system and its managers. Raises PowerError."""
    others = []
    for owner in owners:
        collection = link(owner, "VirtualMedia")
        for member in (bmc.get(collection)[0].get("Members") or []) if collection else []:
            types = bmc.get(link(member))[0].get("MediaTypes") or []
            if any(kind in types for kind in CD_TYPES):
                return link(member)
            others.append(f"{link(member)} ({', '.join(types)})")
    raise bmc.error("boot_device cd", f"it has no virtual media for CDs; it has: {', '.join(others) or 'none'}")


def inserted_in(drive):
    """Return the address of the image that is in the drive, empty for none."""
    return (drive.get("Image") or "without an address") if drive.get("Inserted") else ""


def insertion(drive, path, image):
    """Return method, address and body of the request that inserts the image.

    Some BMCs refuse what an action does by default (Inserted, WriteProtected), some demand how the image is fetched;
    those show that they know of it. BMCs without the action need both by PATCH. Source: openstack/sushy, VirtualMedia.
    """
    target = action_of(drive, "InsertMedia")
    if not target:
        return "PATCH", path, {"Image": image, "Inserted": True, "WriteProtected": True}
    fetching = {"TransferProtocolType": image.partition(":")[0].upper(), "TransferMethod": "Stream"}
    return "POST", target, {"Image": image, **{key: value for key, value in fetching.items() if key in drive}}


def ejection(drive, path):
    """Return method, address and body of the request that takes the image out."""
    target = action_of(drive, "EjectMedia")
    return ("POST", target, {}) if target else ("PATCH", path, {"Image": None, "Inserted": False})


def action_of(drive, name):
    """Return the address of one of the drive's actions, empty for none."""
    return ((drive.get("Actions") or {}).get(f"#VirtualMedia.{name}") or {}).get("target") or ""
