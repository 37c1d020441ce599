"""Grants of many volumes on the lab's storage server in one call, against a loop of what the tools have for one.

Run: PYTHONPATH=. python tests/benchmarks/bench_grants.py [ROUNDS]. Needs root: it builds a lab without machines, and
removes it. Both sides authorize and revoke all volumes, and both are timed on the controller: ours is one playbook with
two calls of the role, the loop is one shell on the server, reached by ssh. Over NFS it calls exportfs for each grant.
Over iSCSI it writes to configfs as targetcli does, without starting it (which takes seconds for each command there).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.measuring import Pair, finish, judge, pairs
from tests.support.lab_session import LabSession
from tests.support.roles import Host, Step, run

NAME = "bench-grants"
VOLUMES = 200
BAR = 0.5
PLACE = "/srv/openqrm/bench"
ADDRESS, INITIATOR = "10.78.0.201", "iqn.2010-09.com.openqrm:bench"
SECRET = "bench-secret-of-a-client"  # noqa: S105 - of no real client
TIMEOUT_S = 1800
MAKE = f"""
mkdir -p {PLACE}
for n in $(seq {VOLUMES}); do mkdir -p {PLACE}/$n; truncate -s 16M {PLACE}/$n.raw; done
modprobe -a target_core_mod target_core_file iscsi_target_mod
"""
LOOPS = {
    "nfs": f"""
for n in $(seq {VOLUMES}); do
    exportfs -o rw,no_root_squash,sec=sys,no_subtree_check,sync {ADDRESS}:{PLACE}/$n
done
for n in $(seq {VOLUMES}); do exportfs -u {ADDRESS}:{PLACE}/$n; done
""",
    "iscsi": f"""
cd /sys/kernel/config/target
mkdir -p core/fileio_1 iscsi
for n in $(seq {VOLUMES}); do
    disk=core/fileio_1/$n target=iscsi/iqn.2010-09.com.example:$n
    tpg=$target/tpgt_1 acl=$target/tpgt_1/acls/{INITIATOR}
    mkdir $disk
    echo fd_dev_name={PLACE}/$n.raw,fd_dev_size=16777216,fd_buffered_io=1 > $disk/control
    echo 1 > $disk/enable
    mkdir $target $tpg $tpg/lun/lun_0 $acl
    ln -s $disk $tpg/lun/lun_0/volume
    echo 1 > $tpg/attrib/authentication
    echo {INITIATOR} > $acl/auth/userid
    echo {SECRET} > $acl/auth/password
    mkdir $acl/lun_0 $tpg/np/0.0.0.0:3260
    ln -s $tpg/lun/lun_0 $acl/lun_0/volume
    echo 1 > $tpg/enable
done
for n in $(seq {VOLUMES}); do
    disk=core/fileio_1/$n target=iscsi/iqn.2010-09.com.example:$n
    tpg=$target/tpgt_1 acl=$target/tpgt_1/acls/{INITIATOR}
    echo 0 > $tpg/enable
    rm $acl/lun_0/volume $tpg/lun/lun_0/volume
    rmdir $acl/lun_0 $acl $tpg/lun/lun_0 $tpg/np/0.0.0.0:3260 $tpg $target $disk
done
""",
}


def grants(method: str) -> list[dict[str, object]]:
    """The grants of all volumes to one client."""
    suffix = "" if method == "nfs" else ".raw"
    client = {"name": "bench", "address": ADDRESS, "iqn": INITIATOR}
    more = {} if method == "nfs" else {"secret": SECRET}
    return [
        {"path": f"{PLACE}/{number}{suffix}", "target": f"bench.{number}", "number": number, "client": client, **more}
        for number in range(1, VOLUMES + 1)
    ]


def in_one_call(lab: LabSession, method: str, directory: Path) -> float:
    """Seconds that authorize and revoke take, with one list of all grants each."""
    role, variables = f"openqrm.datacenter.deployment_{method}", {"deployment_grants": grants(method)}
    steps = [Step(role, verb, variables) for verb in ("authorize", "revoke")]
    begun = time.perf_counter()
    outcomes = run(directory, steps, {}, host=host_of(lab), timeout_s=TIMEOUT_S)
    taken = time.perf_counter() - begun
    assert [outcome.failed for outcome in outcomes] == ["", ""]
    assert all(item["changed"] for outcome in outcomes for item in outcome.items)
    print(f"  {method} in one call: {taken:.1f} s", flush=True)
    return taken


def in_a_loop(lab: LabSession, method: str) -> float:
    """Seconds that the loop takes."""
    begun = time.perf_counter()
    lab.on_storage("sh", "-euc", LOOPS[method])
    taken = time.perf_counter() - begun
    print(f"  {method} in a loop: {taken:.1f} s", flush=True)
    return taken


def host_of(lab: LabSession) -> Host:
    """The storage server."""
    return Host("lab-storage", lab.directory / "inventory")


def prepare(lab: LabSession, directory: Path) -> None:
    """Make the volumes, and prepare the server for all methods."""
    lab.on_storage("sh", "-euc", MAKE)
    steps = [Step(f"openqrm.datacenter.deployment_{method}", "prepare") for method in LOOPS]
    outcomes = run(directory, steps, {}, host=host_of(lab), timeout_s=TIMEOUT_S)
    assert [outcome.failed for outcome in outcomes] == [""] * len(LOOPS)


def measured(lab: LabSession, method: str, directory: Path, rounds: int) -> list[Pair]:
    """What both ways take with the method."""
    return pairs(rounds, lambda: in_one_call(lab, method, directory), lambda: in_a_loop(lab, method))


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with LabSession(NAME) as lab, tempfile.TemporaryDirectory() as name:
        lab.up(nodes=0)
        os.environ["OPENQRM_CONFIG"] = str(lab.directory / "openqrm.yml")
        prepare(lab, Path(name))
        found = {method: measured(lab, method, Path(name), rounds) for method in LOOPS}
    what = f"{VOLUMES} grants over {{}} in one call against a loop".format
    finish(*[judge(what(method), values, bar=BAR) for method, values in found.items()])


if __name__ == "__main__":
    main()
