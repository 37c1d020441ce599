"""Throughput of a node's root over each method, by fio, against a TCP stream between node and server.

Run: PYTHONPATH=. python tests/benchmarks/bench_root_throughput.py [METHOD...]. Needs root: it builds a lab with one
BIOS node, boots an image with fio from each method in turn, and removes the lab. The node measures, at its service's
start: in each round a stream from the server and to it, and fio's sequential read and write of a file on the root,
past the node's cache. What is read is in the server's memory, so that the way there is what limits.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.support.lab_session import RECIPE, STORAGE, LabSession

NAME = "bench-root"
METHODS = ("nfs", "iscsi", "nvme_tcp", "aoe")
FILES, FILES_LOCATION = "file", "/srv/openqrm/files"
IMAGE_MIB, DATA_MIB, ROUNDS = 2048, 96, 3
SEND_PORT, TAKE_PORT = 5201, 5202
SETTLED_S, TIMEOUT_S = 60, 900
WEB = "/var/www/html/bench"

# On the storage server: who connects to one port is sent zeros until it has enough, to the other may send as much.
STREAMS = f"""
import socket, socketserver

class Send(socketserver.BaseRequestHandler):
    def handle(self):
        left, block = {DATA_MIB} << 20, bytes(1 << 20)
        while left > 0:
            self.request.sendall(block)
            left -= len(block)

class Take(socketserver.BaseRequestHandler):
    def handle(self):
        left = {DATA_MIB} << 20
        while left > 0 and (data := self.request.recv(1 << 20)):
            left -= len(data)
        self.request.sendall(b"all of it\\n")

import threading
socketserver.ThreadingTCPServer.allow_reuse_address = True
send = socketserver.ThreadingTCPServer(("", {SEND_PORT}), Send)
take = socketserver.ThreadingTCPServer(("", {TAKE_PORT}), Take)
threading.Thread(target=send.serve_forever).start()
take.serve_forever()
"""

# On the node. /dev/tcp is bash's. What is sent counts once the server has said that it has all of it.
MEASURE = f"""#!/bin/bash
set -eu
server=$1 mib={DATA_MIB}
mkdir -p {WEB} /var/bench
cd /var/bench
now() {{ date +%s.%N; }}
stream_read() {{ head -c $((mib << 20)) < /dev/tcp/$server/{SEND_PORT} > /dev/null; }}
stream_write() {{
    exec 3<> /dev/tcp/$server/{TAKE_PORT}
    head -c $((mib << 20)) /dev/zero >&3
    read -r _said <&3
    exec 3>&-
}}
disk() {{
    fio --name="$1" --rw="$1" --bs=1M --size="$mib"M --filename=/var/bench/data --direct=1 --ioengine=libaio \\
        --iodepth=8 --end_fsync=1 --output-format=json --output={WEB}/"$2"
}}
timed() {{
    begun=$(now)
    "$1"
    echo "$begun $(now)" > {WEB}/"$2"
}}
disk write warm
for round in $(seq {ROUNDS}); do
    timed stream_write stream_write.$round
    disk write write.$round
    timed stream_read stream_read.$round
    disk read read.$round
done
touch {WEB}/done
"""

UNIT = """[Unit]
Description=Measures the throughput of the root

[Service]
Type=oneshot
ExecStartPre=/bin/sleep {settled_s}
ExecStart=/bin/bash /usr/local/sbin/bench {server}
"""


@dataclass(frozen=True)
class Rates:
    """MiB/s of one round."""

    stream: float
    root: float


def recipe(server: str) -> dict[str, object]:
    """The recipe of the web server, with fio and what measures."""
    base = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    unit = UNIT.format(settled_s=SETTLED_S, server=server)
    start = "[Service]\nExecStartPost=/bin/systemctl start --no-block bench.service\n"
    files = [
        {"path": "/usr/local/sbin/bench", "content": MEASURE, "mode": "0755"},
        {"path": "/etc/systemd/system/bench.service", "content": unit},
        {"path": "/etc/systemd/system/nginx.service.d/bench.conf", "content": start},
    ]
    return {**base, "packages": [*base["packages"], "fio"], "files": [*base["files"], *files]}


def rates(lab: LabSession, address: str, kind: str) -> list[Rates]:
    """What the node measured of `read` or `write`."""
    found = []
    for number in range(1, ROUNDS + 1):
        begun, ended = map(float, lab.page(address, f"/bench/stream_{kind}.{number}").split())
        job = json.loads(lab.page(address, f"/bench/{kind}.{number}"))["jobs"][0][kind]
        found.append(Rates(DATA_MIB / (ended - begun), job["bw_bytes"] / (1 << 20)))
    return found


def measure(lab: LabSession, method: str, path: Path) -> str:
    """Boots the image from the method, and returns what the node measured as lines."""
    name = f"bench-{method}".replace("_", "-")
    storage = STORAGE if method == "nfs" else FILES
    size = [] if method == "nfs" else ["--size-mib", str(IMAGE_MIB)]
    image = ["image", "create", name, "--storage", storage, "--deployment", method, "--recipe", str(path)]
    lab.openqrm(*image, *size)
    lab.openqrm("appliance", "create", name, "--image", name)
    lab.openqrm("appliance", "start", name)
    address = lab.resource(lab.nodes[0]["name"]).address
    lab.wait(f"the figures of {method}", lambda: lab.inside(*look(address)).returncode == 0, TIMEOUT_S)
    lines = [line_of(method, kind, rates(lab, address, kind)) for kind in ("read", "write")]
    lab.openqrm("appliance", "stop", name)
    lab.openqrm("appliance", "remove", name, "--yes")
    for left in (f"{name}-0", name):
        lab.openqrm("image", "remove", left, "--yes", "--destroy-data")
    return "\n".join(lines)


def look(address: str) -> Sequence[str]:
    """The command that finds out whether the node is done."""
    return ("curl", "--fail", "--silent", "--max-time", "10", f"http://{address}/bench/done")


def line_of(method: str, kind: str, found: Sequence[Rates]) -> str:
    """The medians of the rounds and of their ratios."""
    ratios = [round_.root / round_.stream for round_ in found]
    root, stream = (statistics.median(getattr(round_, name) for round_ in found) for name in ("root", "stream"))
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    return (
        f"{method} {kind}: root {root:.1f} MiB/s, stream {stream:.1f} MiB/s; "
        f"ratio {statistics.median(ratios):.2f} ({spread})"
    )


def main() -> None:
    """Measure and print."""
    methods = sys.argv[1:] or METHODS
    with LabSession(NAME) as lab:
        lab.up(1, "bios")
        lab.prepare()
        server = lab.info["storage"]["addresses"][-1]
        lab.openqrm(
            *("storage", "add", FILES, "--type", FILES, "--location", FILES_LOCATION),
            *("--host", lab.info["storage"]["host"], "--address", server),
        )
        lab.on_storage("systemd-run", "--quiet", "--unit=streams", "python3", "-c", STREAMS)
        path = lab.directory / "bench.yml"
        path.write_text(yaml.safe_dump(recipe(server)))
        for method in methods:
            print(measure(lab, method, path), flush=True)


if __name__ == "__main__":
    main()
