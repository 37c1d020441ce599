# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grants of tgt, the iSCSI target in user space: one target per volume, whose logical unit 1 is the volume.

How tgtd 1.0.85 lets initiators in, as tried:

- A target lets in, and tells in a discovery, whom one of its rules names: an initiator name or an address. One rule is
  enough: with a name and the address ALL it lets everybody in, so no address is bound. Without rules it lets nobody in.
- A target without accounts asks for no secret: its rules go before its last account does, and come after its first.
- An account is a user and a password for all targets, and the user is the initiator: one secret for each initiator.
- A target's accounts must be unbound from the last to the first: with a gap between them tgtd ends at the next list.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.grants import GrantError
from ansible_collections.openqrm.datacenter.plugins.module_utils.iscsi import PREFIX, IscsiServer, serial_of
from ansible_collections.openqrm.datacenter.plugins.module_utils.tgt_control import (
    ACCOUNT,
    BIND,
    CONNECTION,
    DELETE,
    NEW,
    NO_CONNECTION,
    NO_SESSION,
    NO_TARGET,
    NO_USER,
    PORTAL,
    TARGET,
    TARGET_ACTIVE,
    UNBIND,
    UNIT,
    UPDATE,
    Target,
    TgtAbsentError,
    TgtControl,
    TgtError,
)

SOCKET = "tgt.0"  # in the state directory; tgtd itself adds the number of its control port
NAMES = "iqn."  # what rules that are initiator names begin with; others are addresses
LUN = 1  # number 0 is tgtd's own
POLL_S = 0.05


class TgtServer(IscsiServer):
    """The tgtd of this machine that was started with a socket in the state directory. All in it is of these grants."""

    unit = "openqrm-tgt.service"

    def __init__(self, state_dir, timeout_s, portals, control=None):
        """Keep the settings; ``portals``: as 10.78.0.10:3260."""
        super().__init__(state_dir, timeout_s)
        self._portals = set(portals)
        self._control = control or TgtControl(Path(state_dir, SOCKET), timeout_s)
        self._last_seen = None

    # What can be granted

    def check(self, grant):
        """Raise GrantError also for a path with a comma, which separates options of tgtd."""
        super().check(grant)
        if "," in grant["path"]:
            raise GrantError(f"Grant of {grant['path']}: tgt cannot serve a path with a comma; rename the volume.")

    def check_all(self, grants):
        """Raise GrantError also where tgt cannot tell clients of a volume, or grants of a client, from each other."""
        super().check_all(grants)
        known = {}
        for path, clients in grants.items():
            if len({value["mode"] for value in clients.values()}) > 1:
                raise GrantError(
                    f"Grant of {path}: with tgt a volume is read-only for all of its clients, or for none."
                )
            for client, secret in secrets_of(clients).items():
                other, same = known.setdefault(client, (path, secret))
                if secret != same:
                    raise GrantError(
                        f"Grant of {path}: {client} has another secret for {other}, and tgt knows one for each client; "
                        "revoke that grant first."
                    )

    # What is served

    def unserved(self, grants):
        """Return the pairs of volumes that tgtd does not serve as it should; all where it does not run."""
        pairs = {(path, client) for path, clients in grants.items() for client in clients}
        if not pairs:
            return set()
        try:
            served = self._served()
            if self._control.portals() != self._portals:
                return pairs
        except TgtAbsentError:
            return pairs
        return {(path, client) for path, client in pairs if not is_served(served.get(path), grants[path])}

    def leftover(self, grants):
        """Return the pairs that are let in and have no grant."""
        return {
            (path, rule)
            for path, target in self._served().items()
            for rule in target.rules
            if rule not in grants.get(path, {})
        }

    def count_sessions(self, pair):
        """Return the connections of the initiator to the volume's target. One look at all targets is kept for many."""
        seen = self._served() if self._last_seen is None else self._last_seen
        target = seen.get(pair[0])
        return self._count(target.tid, pair[1]) if target else 0

    def _count(self, tid, initiator):
        return sum(name == initiator for _sid, _cid, name in self._control.connections(tid))

    def _served(self):
        """Return volume -> target of what is served; one that has no volume, as a killed run leaves it, by its name."""
        targets = [target for target in self._control.targets() if target.name.startswith(PREFIX)]
        self._last_seen = {target.path or target.name: target for target in targets}
        return self._last_seen

    # Serving

    def apply(self, grants, pairs):
        """Take changed secrets from tgtd before the new ones are in the file: a killed run cannot leave an old one."""
        before = {}
        for clients in self.written().values():
            before.update(secrets_of(clients))
        changed = {
            client
            for path, _client in pairs
            for client, secret in secrets_of(grants.get(path, {})).items()
            if secret != before.get(client)
        }
        self._drop_accounts(changed)
        super().apply(grants, pairs)

    def serve(self, grants, paths):
        """Make targets of these volumes, and let their clients in. Others and their sessions are not touched."""
        self._listen()
        self._add_accounts(grants, paths)
        served = self._served()
        for path in sorted(paths):
            self._let_in(self._target_of(path, grants[path], served), grants[path])

    def _add_accounts(self, grants, paths):
        """Have accounts for the clients of these volumes. Only one that has a target of a grant has its secret, too."""
        known = {
            name for path, target in self._served().items() for name in target.accounts if name in grants.get(path, {})
        }
        wanted = {client: secret for path in paths for client, secret in secrets_of(grants[path]).items()}
        missing = wanted.keys() - known
        self._drop_accounts(missing)
        for client in sorted(missing):
            text = f"user={client},password={wanted[client]}"
            self._control.ask(ACCOUNT, NEW, text, f"add the account {client}")

    def _listen(self):
        """Have tgtd listen at the portals, and at no others."""
        found = self._control.portals()
        for operation, portals in ((DELETE, found - self._portals), (NEW, self._portals - found)):
            for portal in sorted(portals):
                self._control.ask(PORTAL, operation, f"portal={portal}", f"listen at {portal}")

    def _target_of(self, path, clients, served):
        """Return the volume's target, which is made anew where it is not as it should be."""
        value = next(iter(clients.values()))
        name, serial, read_only = PREFIX + value["target"], serial_of(value["target"]), value["mode"] == "ro"
        for key, other in list(served.items()):
            is_same = (other.path, other.serial, other.name) == (path, serial, name)
            if (other.path == path or other.name == name) and not is_same:
                self._remove(served.pop(key))
        target = served.get(path)
        if target is None:
            return self._make(name, path, serial, read_only)
        if target.read_only != read_only:
            self._set_unit(target.tid, name, f"readonly={int(read_only)}")
        return target

    def _make(self, name, path, serial, read_only):
        """Return a new target with its volume. Its number is new: a login that was begun at an old one is not in it."""
        tid = secrets.randbelow(2**31 - 2) + 1
        self._control.ask(TARGET, NEW, f"targetname={name}", f"add the target {name}", tid=tid)
        self._control.ask(UNIT, NEW, f"path={path}", f"serve {path}", tid=tid, lun=LUN)
        identity = f"vendor_id=openQRM,product_id=volume,scsi_sn={serial},scsi_id={serial[:24]}"
        self._set_unit(tid, name, f"readonly={int(read_only)},{identity}")
        return Target(tid, name, path, serial, read_only, [], [])

    def _set_unit(self, tid, name, parameters):
        text = f"targetOps {parameters},"
        self._control.ask(UNIT, UPDATE, text, f"set the volume of {name}", tid=tid, lun=LUN)

    def _let_in(self, target, clients):
        """Have a target let these clients in; who is let in without a grant keeps that, where it is no address."""
        wanted = sorted(secrets_of(clients))
        if sorted(target.accounts) != wanted:
            target = self._set_accounts(target, wanted)
        for rule in addresses_of(target):
            self._rule(target, UNBIND, rule)
        for client in sorted(set(clients) - set(target.rules)):
            self._rule(target, BIND, client)

    # Rules and accounts

    def _rule(self, target, operation, rule):
        """Let an initiator name or an address in, or no more."""
        kind = "name" if rule.startswith(NAMES) else "address"
        what = f"change who is let in by {target.name}"
        self._control.ask(TARGET, operation, f"initiator-{kind}={rule}", what, tid=target.tid)

    def _shut(self, target):
        """Return the target as it lets nobody in. Who is in stays."""
        for rule in target.rules:
            self._rule(target, UNBIND, rule)
        return target._replace(rules=[])

    def _set_accounts(self, target, wanted):
        """Return the target with exactly these accounts, as it lets nobody in."""
        target = self._shut(target)
        for operation, names in ((UNBIND, reversed(target.accounts)), (BIND, wanted)):
            for name in names:
                what = f"change the accounts of {target.name}"
                self._control.ask(ACCOUNT, operation, f"user={name}", what, tid=target.tid)
        return target._replace(accounts=list(wanted))

    def _drop_accounts(self, clients):
        """Remove the accounts of these clients, from all targets first, which do not let them in then."""
        if not clients:
            return
        for target in self._served().values():
            if clients & set(target.accounts):
                self._keep_accounts(target, [name for name in target.accounts if name not in clients])
        for client in sorted(clients):
            try:
                self._control.ask(ACCOUNT, DELETE, f"user={client}", f"remove the account {client}")
            except TgtError as error:
                if error.code != NO_USER:
                    raise

    def _keep_accounts(self, target, kept):
        """Leave a target only these of its accounts, and have it let in only whom they are of."""
        names = [rule for rule in target.rules if rule in kept]
        target = self._set_accounts(target, kept)
        for name in names:
            self._rule(target, BIND, name)

    # Taking away

    def end_sessions(self, pairs, grants):
        """Shut these clients out and end what they have; return pair -> connections left.

        A target whose last client goes is removed, which tgtd does only when nothing of its sessions is left.
        """
        served, deadline = self._served(), time.monotonic() + self._timeout_s
        for target in [target for target in served.values() if target.path is None]:
            self._remove(target)
        gone = {}
        for path, client in pairs:
            if path in served:
                gone.setdefault(path, set()).add(client)
        for path, clients in gone.items():
            self._shut_out(served[path], clients, grants)
        unused = [served[path] for path in gone if path not in grants]
        watched = {served[path].tid: None if path not in grants else clients for path, clients in gone.items()}
        self._end_connections(watched, deadline)
        stuck = {target.path for target in unused if not self._is_removed(target, deadline)}
        granted = {client for clients in grants.values() for client in clients}
        self._drop_accounts({client for _path, client in pairs} - granted)
        left = {}
        for path, client in pairs:
            count = self._count(served[path].tid, client) if path in gone else 0
            left[(path, client)] = count or int(path in stuck)
        return left

    def _shut_out(self, target, gone, grants):
        """Let clients in no more; who else has a grant is let in, also where a killed run has left that undone."""
        if target.path not in grants:
            self._shut(target)
            return
        stay = [rule for rule in target.rules if rule not in gone]
        for client in sorted(gone & set(target.rules)):
            self._rule(target, UNBIND, client)
        self._add_accounts(grants, {target.path})
        self._let_in(self._served()[target.path]._replace(rules=stay), grants[target.path])

    def _end_connections(self, watched, deadline):
        """End connections, wait until they are gone with their I/O; ``watched``: target -> clients or None (all)."""
        ended = set()
        while True:
            left = [
                (tid, sid, cid)
                for tid, clients in watched.items()
                for sid, cid, name in self._control.connections(tid)
                if clients is None or name in clients
            ]
            for connection in set(left) - ended:
                self._end_connection(*connection)
            ended |= set(left)
            if not left or time.monotonic() >= deadline:
                return
            time.sleep(POLL_S)

    def _end_connection(self, tid, sid, cid):
        try:
            self._control.ask(CONNECTION, DELETE, what="end a connection", tid=tid, sid=sid, cid=cid)
        except TgtError as error:
            if error.code not in (NO_TARGET, NO_SESSION, NO_CONNECTION):
                raise

    def _is_removed(self, target, deadline):
        """Remove a target that lets nobody in; return whether it has gone."""
        while True:
            try:
                self._control.ask(TARGET, DELETE, what=f"remove the target {target.name}", tid=target.tid)
            except TgtError as error:
                if error.code == NO_TARGET:
                    return True
                if error.code != TARGET_ACTIVE:
                    raise
                if time.monotonic() >= deadline:
                    return False
                time.sleep(POLL_S)
            else:
                return True

    def _remove(self, target):
        """Remove a target that is not as it should be, with all of its sessions."""
        deadline = time.monotonic() + self._timeout_s
        target = self._set_accounts(target, [])
        self._end_connections({target.tid: None}, deadline)
        if not self._is_removed(target, deadline):
            raise OSError(f"tgtd: the target {target.name} has sessions that do not end; try again.")


def secrets_of(clients):
    """Return client -> secret of a volume's clients that have one."""
    return {client: value["secret"] for client, value in clients.items() if value["secret"]}


def addresses_of(target):
    """Return the rules of a target that let in whoever has an address."""
    return [rule for rule in target.rules if not rule.startswith(NAMES)]


def is_served(target, clients):
    """Return whether a target serves its volume as it should to all of its clients."""
    if target is None:
        return False
    value = next(iter(clients.values()))
    return (
        target.name == PREFIX + value["target"]
        and target.serial == serial_of(value["target"])
        and target.read_only == (value["mode"] == "ro")
        and set(clients) <= set(target.rules)
        and set(clients) & set(target.accounts) == set(secrets_of(clients))
        and not addresses_of(target)
    )
