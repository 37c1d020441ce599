# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of running Linux systems, by rsync over ssh: what is copied, how, and what exit codes mean."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.files import write_atomic
from ansible_collections.openqrm.datacenter.plugins.module_utils.volumes import VOLUME_NAME

USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}\Z")
HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?\Z")
PATH = re.compile(r"(?:/[A-Za-z0-9._+@-]+)+\Z")
PATTERN = re.compile(r"/[A-Za-z0-9._+@*?\[\]/-]+\Z")
KEY = re.compile(r"[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,3}\Z")
# Says in the image what it is a copy of; a copy that is broken off is gone on with only where this says the same.
MARK = ".openqrm-grab"
# What a running system has in memory, or for itself alone: the directories stay, their content is left out.
EMPTIED = {"proc": 0o555, "sys": 0o555, "dev": 0o755, "run": 0o755, "tmp": 0o1777}
SILENCE_S = 300
FLAGS = (
    "--archive",
    "--hard-links",
    "--acls",
    "--xattrs",
    "--sparse",
    "--numeric-ids",
    "--one-file-system",
    "--delete",
)
VANISHED = 24
HINTS = {
    12: "the connection broke, or the source has no rsync",
    23: "some files could not be copied",
    30: f"nothing came for {SILENCE_S} s",
    255: "ssh could not connect: the host key, the login key or the network",
}


class CopyError(Exception):
    """A system that cannot be copied; the message says which, what was found and what to do."""


def check(system):
    """Raise CopyError unless each word of the description may reach a command."""
    what = f"Image {system['name']}"
    rules = [
        ("name", VOLUME_NAME, [system["name"]]),
        ("user", USER, [system["user"]]),
        ("host", HOST, [system["host"]]),
        ("identity", PATH, [system["identity"]] if system["identity"] else []),
        ("host key", KEY, system["host_keys"]),
        ("mount", PATH, system["mounts"]),
        ("exclude", PATTERN, system["excludes"]),
    ]
    for label, pattern, values in rules:
        for value in values:
            if not pattern.match(value) or ".." in value.split("/"):
                raise CopyError(f"{what}: {label} {value!r} is not valid.")
    if not 1 <= system["port"] <= 65535:
        raise CopyError(f"{what}: port {system['port']} is not valid.")


def ssh_command(system, known_hosts):
    """Return the words of ssh, which knows the source's host key or refuses; ``known_hosts``: a file, or None."""
    options = ["BatchMode=yes", "StrictHostKeyChecking=yes", "ConnectTimeout=20", "ServerAliveInterval=15"]
    options += ["ServerAliveCountMax=4", "ForwardAgent=no", "ForwardX11=no"]
    if known_hosts:
        options += [f"UserKnownHostsFile={known_hosts}", "GlobalKnownHostsFile=/dev/null", "HostKeyAlias=source"]
    if system["identity"]:
        options += [f"IdentityFile={system['identity']}", "IdentitiesOnly=yes"]
    return ["ssh", "-p", str(system["port"]), *(word for option in options for word in ("-o", option))]


def known_hosts_text(system):
    """Return the text of a known_hosts file with the source's keys."""
    return "".join(f"source {key}\n" for key in system["host_keys"])


def excludes_of(system, swap_files):
    """Return the patterns that are left out of the copy of the root."""
    emptied = [f"/{name}/*" for name in EMPTIED]
    mounted = [f"{mount}/*" for mount in system["mounts"]]
    return [f"/{MARK}", "/lost+found", *emptied, *mounted, *swap_files, *system["excludes"]]


def swap_files_of(text):
    """Return the files that the source swaps to, as patterns, from its /proc/swaps."""
    rows = [line.split() for line in text.splitlines()[1:]]
    return [row[0] for row in rows if len(row) > 1 and row[1] == "file" and PATTERN.match(row[0])]


def rsync_command(system, ssh, excludes, source, target):
    """Return the words of rsync for the directory ``source`` of the system."""
    host = f"[{system['host']}]" if ":" in system["host"] else system["host"]
    return [
        *("rsync", *FLAGS, "--partial", f"--timeout={SILENCE_S}", "--info=progress2", "--outbuf=L"),
        f"--rsh={' '.join(ssh)}",
        *(f"--exclude={pattern}" for pattern in excludes),
        *("--", f"{system['user']}@{host}:{source.rstrip('/')}/", f"{str(target).rstrip('/')}/"),
    ]


def vanished(system, code, output):
    """Return how many files were gone before they could be copied. Raises CopyError for an exit code that is worse."""
    if code not in (0, VANISHED):
        lines = [line for line in output.splitlines() if line.strip()]
        found = " ".join(lines[:3])[:600] or "it said nothing"
        hint = HINTS.get(code, "it failed")
        raise CopyError(
            f"Image {system['name']}: rsync from {system['host']} ended with status {code}, {hint}: {found}. "
            "What was copied stays; run the command again to go on."
        )
    return sum("vanished" in line and not line.startswith("rsync warning") for line in output.splitlines())


def claim(system, directory):
    """Mark the directory as a copy of this system. Raises CopyError where it has anything else in it."""
    mark = directory / MARK
    wanted = {"host": system["host"], "user": system["user"], "port": system["port"]}
    if mark.is_file() and not mark.is_symlink():
        found = json.loads(mark.read_text(encoding="utf-8") or "{}")
        if {key: found.get(key) for key in wanted} != wanted:
            raise CopyError(
                f"Image {system['name']}: its volume has a copy of {found.get('host')}; use another volume."
            )
        return
    found = sorted(path.name for path in directory.iterdir() if path.name != "lost+found")
    if found:
        raise CopyError(
            f"Image {system['name']}: its volume is not empty, it has {', '.join(found[:3])}; use another volume."
        )
    write_atomic(mark, json.dumps(wanted) + "\n")


def prepare(directory):
    """Make the copy ready for a boot from the network: empty directories, and its fstab kept out of the way."""
    for name, mode in EMPTIED.items():
        path = directory / name
        if not path.is_symlink():
            path.mkdir(exist_ok=True)
            path.chmod(mode)
    fstab = directory / "etc/fstab"
    if fstab.is_file() and not fstab.is_symlink():
        write_atomic(directory / "etc/fstab.source", fstab.read_text(encoding="utf-8", errors="replace"))
        write_atomic(fstab, "# The node writes this file. Lines of this image belong in /etc/fstab-static.\n")


def run_rsync(argv, progress, lock, timeout_s):
    """Return the exit code of rsync and what it says of errors.

    ``progress``: the file that gets how far it is; ``lock``: a file descriptor that rsync keeps open while it runs.
    Raises CopyError when it takes longer than ``timeout_s``.
    """
    with progress.open("wb") as stream:
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.PIPE,
                env=dict(os.environ, LC_ALL="C"),
                pass_fds=(lock,),
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CopyError(f"rsync took longer than {timeout_s} s; run the command again to go on.") from error
    return done.returncode, done.stderr.decode(errors="replace")


def is_whole(directory):
    """Return whether what was copied can be booted: there is an init."""
    path = directory / "sbin/init"
    return path.is_symlink() or (path.exists() and stat.S_ISREG(path.stat().st_mode))


def progress_file(name, root="/run/openqrm/grab"):
    """Return where the copy for the image ``name`` says how far it is."""
    return Path(root, f"{name}.progress")
