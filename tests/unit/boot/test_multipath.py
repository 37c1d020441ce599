"""Which portals of an iSCSI volume are paths to it, what multipathd may touch, and how a shutdown leaves both."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from openqrm.boot import manifest
from openqrm.model import Image, Nic, Resource, Storage
from openqrm.types import TypeRegistry

from tests.unit.boot.shell import LIBRARY

HOOK = Path(__file__).parents[3] / "roles/deployment_iscsi/files/root-mount.sh"
# Networks 10.77.0.0/24 and 10.78.0.0/24 are this machine's own, 10.79.0.0/24 is behind a router, others are nowhere.
FAKES = """set -eu
. "$LIBRARY/block.sh"
[ "${MULTIPATH:-yes}" = no ] || . "$LIBRARY/multipath.sh"
. "$HOOK"
ip() {
    case $3 in
        10.77.0.* | 10.78.0.* | 2001:db8::*) echo "$3 dev eth0 src 10.77.0.2 uid 0" ;;
        10.79.0.*) echo "$3 via 10.77.0.254 dev eth0 src 10.77.0.2 uid 0" ;;
        *) echo "RTNETLINK answers: Network is unreachable" >&2; return 2 ;;
    esac
}
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
    script = "iscsi_paths; prepare_release"
    done = run(tmp_path, script, OPENQRM_PARAM_PORTALS="10.78.0.10,10.77.0.10", MULTIPATH="no")
    assert (done.stdout, called(tmp_path)) == ("", [])


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


@pytest.mark.parametrize(("runs", "told"), [("true", ["shutdown"]), ("false", [])])
def test_multipathd_ends_before_the_root_is_unmounted(tmp_path: Path, runs: str, told: list[str]) -> None:
    run(tmp_path, f"oq_multipath_answers() {{ {runs}; }}\nprepare_release")
    assert called(tmp_path) == [f"chroot {tmp_path} /usr/sbin/@multipathd {what}" for what in told]


LATE = """
cd "$BUNDLE"
session() { # NUMBER STATE
    mkdir -p "host$1/session$1/target" "host$1/scsi_host/host$1" "sessions/session$1"
    echo "$2" > "sessions/session$1/state"; : > "host$1/scsi_host/host$1/scan"
    ln -s "../../host$1/session$1" "sessions/session$1/device"
}
disk() { mkdir -p "host$1/session$1/target$1:0:0/$1:0:0:0/block/sd$1"; }
iscsi_sessions() { for number in $SESSIONS; do echo "$BUNDLE/sessions/session$number"; done; }
sleep() {
    round=$((${round:-0} + 1))
    case $round in
        1) SESSIONS=1 ;;
        2) session 2 FAILED; SESSIONS='1 2' ;;
        3) [ ! -s host2/scsi_host/host2/scan ]; echo LOGGED_IN > sessions/session2/state ;;
        4) cat host2/scsi_host/host2/scan; disk 2 ;;
        *) exit 5 ;;
    esac
}
session 1 LOGGED_IN; disk 1
PATHS='10.78.0.10
10.77.0.10'
iscsi_late_paths; echo "rounds $round"; cat host1/scsi_host/host1/scan
"""


def test_the_disk_of_a_path_that_comes_late_is_looked_for(tmp_path: Path) -> None:
    """iscsid itself does not, where the portal let it in after several tries only."""
    assert run(tmp_path, LATE).stdout.splitlines() == ["- - -", "rounds 4"]


@pytest.mark.parametrize(
    ("more", "portals"), [({}, "10.78.0.10"), ({"more_addresses": "10.77.0.10"}, "10.78.0.10,10.77.0.10")]
)
def test_the_manifest_names_all_portals(more: dict[str, object], portals: str) -> None:
    image, iscsi = Image(0, "i", "s", "v", "iscsi"), TypeRegistry.load(()).get("deployment", "iscsi")
    storage = Storage(0, "s", "file", "h", "/l", "10.78.0.10", more)
    root = manifest.Root(image, storage, "/l/v", iscsi, "d" * 64, "block")
    words = manifest.placeholders(Resource(0, "n", nics=(Nic("52:54:00:00:00:01"),)), root, "web", 0)
    assert root.parameters(words)["portals"] == portals
