"""What the tests of the lab lay over its golden image, to look at what a deployed machine sees itself."""

from __future__ import annotations

import shlex

from tests.support.lab_session import IMAGE, LOCATION, LabSession

# What is laid over the golden image: a line of its own for fstab, and a service that shows what the machine sees.
SEEN = """#!/bin/sh
mkdir -p /var/www/html/seen && cd /var/www/html/seen || exit 1
while :; do
    cat /proc/mounts > mounts; cat /proc/swaps > swaps; cat /proc/sys/kernel/random/boot_id > boot_id
    hostname > hostname; ls "/lib/modules/$(uname -r)" > modules; ip -o address > addresses
    uname -r > release; cat /proc/cmdline > cmdline; cat /sys/kernel/security/lockdown > lockdown
    sleep 2
done
"""
UNIT = "[Service]\\nExecStart=/usr/local/sbin/seen\\n"
FSTAB_STATIC = "tmpfs /srv/scratch tmpfs size=1m 0 0\\n"


def lay_over_golden(session: LabSession) -> None:
    """Lays what tests look at over the golden image."""
    root = f"{LOCATION}/{IMAGE}"
    wants = f"{root}/etc/systemd/system/multi-user.target.wants"
    script = f"""
    printf %s {shlex.quote(SEEN)} > {root}/usr/local/sbin/seen && chmod 0755 {root}/usr/local/sbin/seen &&
    printf {shlex.quote(UNIT)} > {root}/etc/systemd/system/seen.service &&
    mkdir -p {wants} {root}/srv/scratch {root}/etc/ssh && ln -s ../seen.service {wants}/seen.service &&
    printf {shlex.quote(FSTAB_STATIC)} > {root}/etc/fstab-static
    """
    session.on_storage("sh", "-c", script)
