"""Which portals of an iSCSI volume are paths to it, what multipathd may touch, and how a shutdown leaves both."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.unit.boot.shell import LIBRARY

HOOK = Path(__file__).parents[3] / "roles/deployment_iscsi/files/root-mount.sh"
# Networks 10.77.0.0/24 and 10.78.0.0/24 are this machine's own, 10.79.0.0/24 is behind a router, others are nowhere.
FAKES = """set -eu
. "$LIBRARY/block.sh"; . "$LIBRARY/multipath.sh"; . "$HOOK"
ip() {
    case $3 in
        10.77.0.* | 10.78.0.* | 2001:db8::*) echo "$3 dev eth0 src 10.77.0.2 uid 0" ;;
        10.79.0.*) echo "$3 via 10.77.0.254 dev eth0 src 10.77.0.2 uid 0" ;;
        *) echo "RTNETLINK answers: Network is unreachable" >&2; return 2 ;;
    esac
}
iscsi_has_multipath() { [ "${MULTIPATH:-yes}" = yes ]; }
chroot() { echo "chroot $*" >> "$BUNDLE/called"; case "$*" in *"${FAILS:-nothing}"*) return 1 ;; esac; }
timeout() { shift 3; "$@"; }
"""


def run(tmp_path: Path, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script with the hook, where programs of the bundle are written down and not run."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LIBRARY": str(LIBRARY), "HOOK": str(HOOK)}
    environment |= {
        "OPENQRM_BUNDLE": str(tmp_path),
        "OPENQRM_PARAM_TARGET": "iqn.t",
        "OPENQRM_PARAM_INITIATOR": "iqn.n",
    }
    return subprocess.run(
        ["busybox", "sh", "-c", FAKES + script],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )


def called(tmp_path: Path) -> list[str]:
    """The programs that were run in the bundle."""
    path = tmp_path / "called"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    ("portals", "paths"),
    [
        ("10.78.0.10", ""),
        ("10.78.0.10,10.77.0.10", "10.78.0.10 10.77.0.10"),
        ("10.78.0.10:3261,[2001:db8::1]:3260", "10.78.0.10:3261 [2001:db8::1]:3260"),
        ("2001:db8::1,2001:db8::2", "2001:db8::1 2001:db8::2"),
        ("10.78.0.10,10.79.0.10", ""),
        ("10.78.0.10,192.0.2.1", ""),
        ("10.79.0.10,10.79.0.11", ""),
        ("10.78.0.10,10.79.0.10,10.77.0.10", "10.78.0.10 10.77.0.10"),
    ],
)
def test_paths_are_portals_on_networks_of_the_machine(tmp_path: Path, portals: str, paths: str) -> None:
    done = run(tmp_path, "iscsi_paths", OPENQRM_PARAM_PORTALS=portals)
    assert " ".join(done.stdout.split()) == paths


def test_an_older_initramfs_has_no_paths(tmp_path: Path) -> None:
    done = run(tmp_path, "iscsi_paths", OPENQRM_PARAM_PORTALS="10.78.0.10,10.77.0.10", MULTIPATH="no")
    assert done.stdout == ""


LOGIN = """
mkdir -p "$BUNDLE/etc/iscsi"
PATHS=$(iscsi_paths)
iscsi_settings; iscsi_login; cat "$BUNDLE/etc/iscsi/iscsid.conf"
"""


def test_each_path_is_logged_in_at_and_left_soon_when_it_is_lost(tmp_path: Path) -> None:
    done = run(tmp_path, LOGIN, OPENQRM_PARAM_PORTALS="10.78.0.10,10.77.0.10", OPENQRM_SECRET="s" * 12)
    begin = f"chroot {tmp_path} /usr/sbin/iscsiadm --mode node --targetname iqn.t --portal"
    assert called(tmp_path) == [
        f"{begin} {portal} {what}"
        for portal in ("10.78.0.10", "10.77.0.10")
        for what in ("--op new", "--login --no_wait")
    ]
    assert "replacement_timeout = 5\n" in done.stdout and "initial_login_retry_max = 10000000\n" in done.stdout
    assert f"password = {'s' * 12}\n" in done.stdout
    assert not [line for line in called(tmp_path) if "s" * 12 in line]


def test_one_path_is_waited_for_without_end_and_the_first_portal_that_answers_is_used(tmp_path: Path) -> None:
    done = run(tmp_path, LOGIN, OPENQRM_PARAM_PORTALS="10.79.0.10,10.78.0.10", FAILS="10.79.0.10 --login")
    assert [line.split("--portal ")[1] for line in called(tmp_path)] == [
        *("10.79.0.10 --op new", "10.79.0.10 --login"),
        *("10.78.0.10 --op new", "10.78.0.10 --login"),
    ]
    assert "replacement_timeout = -1\n" in done.stdout and "retry_max" not in done.stdout


SERIAL = "36001405a1b2c3d4"


def test_multipathd_may_use_the_paths_to_the_volume_and_nothing_else(tmp_path: Path) -> None:
    script = """
mkdir -p "$BUNDLE/etc/multipath/conf.d"
udevadm() { [ "$1" = settle ] || echo "ID_SERIAL=$SERIAL"; }
oq_multipath_settings
name=$(oq_wwid /dev/sda) && oq_multipath_allow "$name" && cat "$BUNDLE/etc/multipath/conf.d/$name.conf"
"""
    done = run(tmp_path, script, SERIAL=SERIAL)
    settings, _, allowed = done.stdout.partition("blacklist_exceptions")
    assert 'blacklist {\n    wwid ".*"\n}' in settings
    assert {"no_path_retry queue", "flush_on_last_del yes", "find_multipaths greedy"} <= {
        line.strip() for line in settings.splitlines()
    }
    assert f'wwid "^{SERIAL}$"' in allowed


@pytest.mark.parametrize("serial", ["", "../../etc", 'a"b', "a b"])
def test_a_disk_without_a_plain_serial_number_is_refused(tmp_path: Path, serial: str) -> None:
    script = 'udevadm() { [ "$1" = settle ] || echo "ID_SERIAL=$SERIAL"; }\noq_multipath /dev/sda && exit 9; exit 0'
    done = run(tmp_path, script, SERIAL=serial)
    assert "gives the disk /dev/sda no serial number" in done.stderr
    assert called(tmp_path) == []
