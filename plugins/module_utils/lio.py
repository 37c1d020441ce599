# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grants of Linux's own iSCSI target (LIO): one target per volume, one ACL per initiator, all in configfs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.block_grants import volume_size
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import run
from ansible_collections.openqrm.datacenter.plugins.module_utils.configfs import EACH_S, ConfigFs, within
from ansible_collections.openqrm.datacenter.plugins.module_utils.iscsi import PREFIX, IscsiServer, serial_of

CONFIGFS = "/sys/kernel/config/target"
MODULES = ["target_core_mod", "target_core_iblock", "target_core_file", "iscsi_target_mod"]
# The back ends that are ours, whatever else the server exports. The number is theirs alone.
DISKS, FILES = "core/iblock_4711", "core/fileio_4711"
NO_SESSION = "No active iSCSI Session"
AT_ONCE = 16  # objects that are removed side by side


def tpg_of(target):
    """Return the directory of a target's only portal group."""
    return f"iscsi/{PREFIX}{target}/tpgt_1"


def acl_of(target, initiator):
    """Return the directory of what an initiator may do with a target."""
    return f"{tpg_of(target)}/acls/{initiator}"


def device_steps(path, target, size):
    """Return the steps to a back end of the volume; ``size``: bytes of a file, 0 for a block device.

    A file is written through the page cache and flushed when the initiator asks for it, as a disk with a cache does.
    The serial number follows from the target, so that initiators know the volume again after a reboot of this server.
    """
    parent = FILES if size else DISKS
    device = f"{parent}/{target}"
    control = f"fd_dev_name={path},fd_dev_size={size},fd_buffered_io=1" if size else f"udev_path={path}"
    return [
        ("directory", parent, ""),
        ("directory", device, ""),
        ("control", f"{device}/control", control),
        ("attribute", f"{device}/udev_path", path),
        ("attribute", f"{device}/enable", "1"),
        ("attribute", f"{device}/wwn/vpd_unit_serial", serial_of(target)),
    ]


def target_steps(target, clients, device, portals):
    """Return the steps to a target for these clients only; ``portals``: as 10.78.0.10:3260."""
    tpg = tpg_of(target)
    secret = any(value["secret"] for value in clients.values())
    attributes = {
        "authentication": int(secret),
        "generate_node_acls": 0,
        "demo_mode_write_protect": 1,
        "prod_mode_write_protect": int(all(value["mode"] == "ro" for value in clients.values())),
    }
    steps = [("directory", path, "") for path in ("iscsi", f"iscsi/{PREFIX}{target}", tpg)]
    steps += [("attribute", f"{tpg}/attrib/{name}", str(value)) for name, value in attributes.items()]
    steps += [("directory", f"{tpg}/lun/lun_0", ""), ("link", f"{tpg}/lun/lun_0/volume", device)]
    for initiator, value in sorted(clients.items()):
        steps += acl_steps(target, initiator, value)
    steps += [("directory", f"{tpg}/np/{portal}", "") for portal in portals]
    return [*steps, ("attribute", f"{tpg}/enable", "1")]


def acl_steps(target, initiator, value):
    """Return the steps to one initiator's access."""
    acl = acl_of(target, initiator)
    secret = [("userid", initiator), ("password", value["secret"])] if value["secret"] else []
    return [
        ("directory", acl, ""),
        *(("attribute", f"{acl}/auth/{name}", text) for name, text in secret),
        ("directory", f"{acl}/lun_0", ""),
        ("link", f"{acl}/lun_0/volume", f"{tpg_of(target)}/lun/lun_0"),
        ("attribute", f"{acl}/lun_0/write_protect", str(int(value["mode"] == "ro"))),
    ]


class LioServer(IscsiServer):
    """The iSCSI target of this machine's kernel."""

    def __init__(self, state_dir, timeout_s, portals, tree=None, command=run):
        """Keep the settings; ``portals``: as 10.78.0.10:3260."""
        super().__init__(state_dir, timeout_s)
        self._portals = portals
        self._tree = tree or ConfigFs(CONFIGFS)
        self._command = command

    def unserved(self, grants):
        """Return the pairs that are not in configfs as they should be."""
        return {
            (path, client)
            for path, clients in grants.items()
            if not all(self._tree.is_done(step) for step in self._steps(path, clients))
            for client in clients
        }

    def leftover(self, grants):
        """Return the pairs that have an ACL and no grant."""
        return {
            (path, client)
            for path, target in self._targets().items()
            for client in self._tree.names(f"{tpg_of(target)}/acls")
            if client not in grants.get(path, {})
        }

    def serve(self, grants, paths):
        """Make targets, back ends and ACLs of these volumes. Others and their sessions are not touched."""
        if not self._tree.has("core"):
            self._command(["modprobe", "--all", *MODULES])
        served = self._targets()
        for path in sorted(paths):
            clients = grants[path]
            target = next(iter(clients.values()))["target"]
            for other in [name for where, name in served.items() if (where == path) != (name == target)]:
                self._remove(other)
            self._tree.apply(self._steps(path, clients))

    def end_sessions(self, pairs, grants):
        """Take the volumes from the clients; return pair -> sessions left, 0 where the ACL has gone.

        The kernel removes an ACL when all its sessions have ended, and nothing of them can reach the volume any more.
        The volumes are taken from all clients first, so that none writes on while sessions of others end.
        """
        served = self._targets()
        acls = {(path, client): acl_of(served[path], client) for path, client in pairs if path in served}
        unused = [served[path] for path, _client in acls if path not in grants]

        def remove():
            for acl in acls.values():
                self._tree.unlink(f"{acl}/lun_0/volume")
            # The kernel waits at each of them, at many at the same time.
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(self._remove_acl, acls.values()))
                list(pool.map(self._remove, dict.fromkeys(unused)))

        problem = within(self._timeout_s + EACH_S * len(pairs), remove) if acls else None
        left = {pair: int(pair in acls and self._tree.has(acls[pair])) for pair in pairs}
        if problem and not any(left.values()):
            raise OSError(problem)
        return left

    def count_sessions(self, pair):
        """Return 1 where the initiator has a session with the volume's target, else 0."""
        target = self._targets().get(pair[0], "")
        info = self._tree.read(f"{acl_of(target, pair[1])}/info")
        return int(bool(info) and not info.startswith(NO_SESSION))

    def _steps(self, path, clients):
        target = next(iter(clients.values()))["target"]
        size = volume_size(path)
        device = f"{FILES if size else DISKS}/{target}"
        return device_steps(path, target, size or 0) + target_steps(target, clients, device, self._portals)

    def _targets(self):
        """Return volume -> target of what is served."""
        return {
            self._tree.read(f"{parent}/{target}/udev_path"): target
            for parent in (DISKS, FILES)
            for target in self._tree.names(parent)
            if self._tree.has(f"{parent}/{target}/udev_path")
        }

    def _remove_acl(self, acl):
        """Remove an initiator's access; its volume has been taken from it."""
        self._tree.remove(f"{acl}/lun_0")
        self._tree.remove(acl)

    def _remove(self, target):
        """Remove a target with all that is left of it, then its back end."""
        tpg = tpg_of(target)
        self._tree.disable(tpg)
        for initiator in self._tree.names(f"{tpg}/acls"):
            acl = acl_of(target, initiator)
            self._tree.unlink(f"{acl}/lun_0/volume")
            self._remove_acl(acl)
        self._tree.unlink(f"{tpg}/lun/lun_0/volume")
        for name in (f"{tpg}/lun/lun_0", *(f"{tpg}/np/{portal}" for portal in self._tree.names(f"{tpg}/np"))):
            self._tree.remove(name)
        for name in (tpg, str(Path(tpg).parent), f"{DISKS}/{target}", f"{FILES}/{target}"):
            self._tree.remove(name)
