# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of dnsmasq as one file each in a directory that it watches (dhcp-hostsdir, hostsdir)."""

from __future__ import annotations

import ipaddress
import os
import re
import signal
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.differences import Differences
from ansible_collections.openqrm.datacenter.plugins.module_utils.files import (
    read_text,
    sync_directory,
    write_all_atomic,
)

HOST_NAME = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)*\Z"
)
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")


class EntryError(ValueError):
    """An entry is not one that dnsmasq could serve; the message says which and why."""


def check_name(name):
    """Return ``name`` when it is a host name of at most 253 characters; raise EntryError else."""
    if len(name) > 253 or not HOST_NAME.match(name):
        raise EntryError(f"Entry {name!r}: not a host name; use letters, digits and dashes, at most 63 in a label.")
    return name


def check_address(name, address):
    """Return the address in its usual form; raise EntryError when it is not an IP address."""
    try:
        # A zone, as in fe80::1%eth0, could be any text.
        return str(ipaddress.ip_address("" if "%" in (address or "") else address or ""))
    except ValueError as error:
        raise EntryError(f"Entry {name}: {address or ''!r} is not an IP address.") from error


def check_mac(name, mac):
    """Return the MAC address in lower case with colons; raise EntryError when it is none."""
    wanted = (mac or "").lower().replace("-", ":")
    if not MAC.match(wanted):
        raise EntryError(f"Entry {name}: {mac or ''!r} is not a MAC address such as 52:54:00:12:34:56.")
    return wanted


def dhcp_line(entry):
    """Return the line of a DHCP reservation for ``entry`` (name, mac, address)."""
    name = check_name(entry["name"])
    return f"{check_mac(name, entry.get('mac'))},{check_address(name, entry.get('address'))},{name}\n"


def dns_line(entry):
    """Return the hosts line of a DNS record for ``entry`` (name, address)."""
    name = check_name(entry["name"])
    return f"{check_address(name, entry.get('address'))} {name}\n"


LINES = {"dhcp": dhcp_line, "dns": dns_line}


def refuse_duplicates(kind, entries):
    """Raise EntryError when two entries have the same name, or two reservations the same MAC or address."""
    for key in ("name", "mac", "address") if kind == "dhcp" else ("name",):
        owners = {}
        for entry in entries:
            value = (entry.get(key) or "").lower()
            if value and value in owners:
                raise EntryError(f"Entries {owners[value]} and {entry['name']} have the same {key} {value}.")
            owners[value] = entry["name"]


def wanted_files(kind, entries, state):
    """Return file name -> text (None: no file) for ``entries``. Raises EntryError before anything is touched."""
    refuse_duplicates(kind, entries)
    if state == "absent":
        return {check_name(entry["name"]).lower(): None for entry in entries}
    return {check_name(entry["name"]).lower(): LINES[kind](entry) for entry in entries}


def apply_files(directory, changes):
    """Write or remove the files of ``changes`` (name -> text or None) and sync the directory once."""
    write_all_atomic({Path(directory, name): text for name, text in changes.items() if text is not None})
    for name, text in changes.items():
        if text is None:
            Path(directory, name).unlink()
    if changes:
        sync_directory(directory)


def ensure_entries(kind, directory, entries, state, check_mode):
    """Bring the entries to ``state``; return (module result, whether the daemon must read its files again).

    The daemon sees new files by itself. It keeps a DHCP reservation whose file was changed or removed until a SIGHUP,
    while DNS records follow their files. Source: dnsmasq(8), dhcp-hostsdir and hostsdir.
    """
    wanted = wanted_files(kind, entries, state)
    found = {name: read_text(Path(directory, name)) for name in wanted}
    differences = Differences()
    changes = {name: text for name, text in wanted.items() if differences.note(name, found[name], text)}
    if not check_mode:
        apply_files(directory, changes)
    items = [{"name": entry["name"], "changed": entry["name"].lower() in changes} for entry in entries]
    reread = kind == "dhcp" and any(found[name] is not None for name in changes)
    return differences.result(items), reread


def tell_daemon(pid_path):
    """Send SIGHUP to the dnsmasq whose process id is in the file ``pid_path``; nothing happens when none runs."""
    pid = (read_text(pid_path) or "").strip()
    if pid.isdigit() and (read_text(f"/proc/{pid}/comm") or "").strip() == "dnsmasq":
        os.kill(int(pid), signal.SIGHUP)
