"""1,000 simulated nodes that boot at once from one boot server, against the same transfers from a bare nginx.

Run: PYTHONPATH=. python tests/benchmarks/bench_boot_storm.py [--nodes 1000] [--kernel-mib 8] [--initramfs-mib 16]
[--rounds 3]. Needs root: everything is in a network namespace of its own, which ends with it.

The boot server is nginx as the role service_http sets it up; the bare one serves the same tree and does nothing else.
Each node fetches what its firmware would: the entry script, its own entry, then kernel and initramfs by their digests,
each over a connection of its own. A first try has failed when anything but the whole file comes, or when the kernel
dropped a connection for which the server had no room (the node would try again a second later).
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from openqrm.boot import tree
from openqrm.boot.manifest import sha256
from openqrm.config import Config

from tests.benchmarks.bench_tree import mac, publish
from tests.benchmarks.fetching import Fetch, Outcome, dropped_connections, fetch_all, in_own_network
from tests.benchmarks.measuring import finish, judge, pairs, verdict
from tests.support.center import KERNEL
from tests.support.roles import Step, run

BAR = 0.9
OURS, BARE = ("127.0.0.1", 8080), ("127.0.0.1", 8081)
ROLE = "openqrm.datacenter.service_http"
# Every so many-th node checks the digest of what it gets.
CHECKED = 50
BARE_CONF = """
daemon off;
user www-data;
worker_processes auto;
error_log {root}/bare.log;
pid {root}/bare.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    server {{ listen {address[0]}:{address[1]}; root {root}/boot; }}
}}
"""


def blob(root: Path, name: str, mebibytes: int) -> str:
    """A file of that size under its digest, which is returned."""
    content = (sha256(name) * 16).encode() * (1024 * mebibytes)
    digest = sha256(content)
    (root / "blobs").mkdir(parents=True, exist_ok=True)
    (root / "blobs" / digest).write_bytes(content)
    return digest


def make_tree(directory: Path, nodes: int, kernel_mib: int, initramfs_mib: int) -> list[list[Fetch]]:
    """The boot tree; what each node fetches from it, in order."""
    config = replace(Config(), boot=replace(Config().boot, root=str(directory / "boot")))
    root = Path(config.boot.root)
    kernel = replace(KERNEL, vmlinuz=blob(root, "kernel", kernel_mib), initramfs=blob(root, "initramfs", initramfs_mib))
    publish(tree.default_entries(config, kernel))
    found = []
    for number in range(nodes):
        publish(tree.node_entries(config, mac(number), kernel, "{}"))
        names = ["boot.ipxe", f"nodes/{tree.file_name(mac(number))}.ipxe"]
        names += [f"blobs/{digest}" for digest in (kernel.vmlinuz, kernel.initramfs)]
        found.append([fetch_of(root, name, check=number % CHECKED == 0) for name in names])
    return found


def fetch_of(root: Path, name: str, *, check: bool) -> Fetch:
    """The fetch of one file: its size, and its digest where it is to be checked."""
    path = root / name
    return Fetch(f"/{name}", path.stat().st_size, sha256(path.read_bytes()) if check else "")


@contextlib.contextmanager
def served(directory: Path) -> Iterator[None]:
    """Both servers, until the end of the block."""
    settings = {
        "service_supervisor": "process",
        "service_run_dir": str(directory / "run"),
        "service_log_dir": str(directory / "log"),
        "service_http_state_dir": str(directory / "http"),
        "service_http_root": str(directory / "boot"),
        "service_http_listen": [f"{OURS[0]}:{OURS[1]}"],
    }
    configuration = directory / "bare.conf"
    configuration.write_text(BARE_CONF.format(root=directory, address=BARE), encoding="utf-8")
    run(directory, [Step(ROLE, "prepare", settings)], {})
    bare = subprocess.Popen(["nginx", "-c", str(configuration), "-e", str(directory / "bare.log")])
    try:
        time.sleep(1)
        yield
    finally:
        bare.terminate()
        bare.wait(timeout=30)
        run(directory, [Step(ROLE, "stop", settings)], {})


def throughput(address: tuple[str, int], nodes: list[list[Fetch]], outcomes: list[Outcome]) -> float:
    """MiB a second of all nodes together; what came of it is appended to `outcomes`."""
    dropped = dropped_connections()
    begun = time.perf_counter()
    outcome = fetch_all(address, nodes)
    taken = time.perf_counter() - begun
    outcomes.append(replace(outcome, dropped=dropped_connections() - dropped))
    return outcome.received / taken / 1024**2


def judge_failures(found: list[Outcome]) -> bool:
    """Prints what failed at our server, and returns whether nothing did."""
    failed = [reason for outcome in found for reason in outcome.failed]
    dropped = sum(outcome.dropped for outcome in found)
    met = not failed and not dropped
    print(f"failed first tries: {len(failed)}, dropped connections: {dropped}, bar 0: {verdict(met)}")
    for reason in sorted(set(failed))[:5]:
        print(f"  {reason}")
    return met


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("nodes", 1000), ("kernel-mib", 8), ("initramfs-mib", 16), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    in_own_network()
    ours: list[Outcome] = []
    bare: list[Outcome] = []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)  # the servers' workers are another user
        nodes = make_tree(directory, options.nodes, options.kernel_mib, options.initramfs_mib)
        with served(directory):
            throughput(BARE, nodes, bare)  # fills the page cache
            found = pairs(options.rounds, lambda: throughput(OURS, nodes, ours), lambda: throughput(BARE, nodes, bare))
    what = f"{options.nodes} nodes that boot at once, bare nginx"
    finish(judge(what, found, bar=BAR, unit="MiB/s", at_least=True), judge_failures(ours))


if __name__ == "__main__":
    main()
