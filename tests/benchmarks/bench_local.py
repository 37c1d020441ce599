"""Deploy and grab of a machine's own disk against the same by hand, with a disk of 2 GiB of which half is empty.

Run: PYTHONPATH=. python tests/benchmarks/bench_local.py [ROUNDS]. Needs root: it builds a lab with one BIOS machine.
All times are those of the machine itself, from the first byte to all of it on the disk (or on the storage server):

- deploy: as the machine reports it, against `curl | zstd -d | dd` from the same storage server, on the same machine;
- grab: as the machine reports it, into an image that is empty, against `dd | zstd | nc` to the same storage server.
"""

from __future__ import annotations

import re
import sys

from tests.benchmarks.measuring import Pair, finish, judge
from tests.support.lab_session import KERNEL, KERNEL_PACKAGE, LOCATION, STORAGE, WAIT_S, LabSession
from tests.support.local_disk import make_disk

NAME = "bench-local"
NODE, APPLIANCE = "node01", "ondisk"
DISK_MIB, DATA_MIB, PORT = 2048, 1000, 8000
BAR = 1.15
# On the storage server: gives a file by HTTP, or takes one; in the kernel, as far as that can be.
SERVE = f"""
import socket, sys
listening = socket.create_server(("", {PORT}))
print("ready", flush=True)
while True:
    connection, _ = listening.accept()
    if sys.argv[1] == "give":
        connection.recv(65536)
        with open(sys.argv[2], "rb") as file:
            connection.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n")
            connection.sendfile(file)
    else:
        buffer = bytearray(1 << 20)
        with open(sys.argv[2], "wb", buffering=0) as file:
            while count := connection.recv_into(buffer):
                file.write(memoryview(buffer)[:count])
    connection.close()
"""
TIMED = (
    "set -o pipefail; begun=$(cut -d. -f1 /proc/uptime); {{ {0}; }} > /dev/null"
    " && echo took $(($(cut -d. -f1 /proc/uptime) - begun)) s"
)


def prepare(lab: LabSession) -> None:
    """From nothing to a machine with a full disk that idles."""
    lab.play_up({"lab_nodes": 1, "lab_node_firmware": ["bios"], "lab_node_disk_mib": DISK_MIB})
    lab.openqrm("kernel", "add", KERNEL, "--package", KERNEL_PACKAGE, "--default")
    with lab.center.store.read() as tx:
        kernel = tx.kernel(KERNEL)
    blobs = lab.directory / "boot/blobs"
    make_disk(
        lab.directory / f"images/{NODE}.raw",
        blobs / kernel.vmlinuz,
        blobs / kernel.modules,
        kernel.version,
        programs=("curl", "zstd", "/usr/bin/dd"),
        data_mib=DATA_MIB,
    )
    lab.openqrm("lab", "power", NODE, "on")
    server = ["--host", lab.info["storage"]["host"], "--address", lab.info["storage"]["addresses"][-1]]
    lab.openqrm("storage", "add", STORAGE, "--type", "directory", "--location", LOCATION, *server)
    lab.wait("the machine to be idle", lambda: lab.states() == ["idle"], 2 * WAIT_S)
    (node,) = lab.nodes
    power = ["--power", f"address={lab.info['bmc_url']}", "--power", f"system={node['uuid']}"]
    lab.openqrm("resource", "set", lab.resource(NODE).name, "--power-driver", "redfish", *power)


def reported_s(lab: LabSession, step: str) -> float:
    """How long the machine's last work of this kind took."""
    with lab.center.store.read() as tx:
        found = tx.events(kind="resource", name=lab.resource(NODE).name, limit=200)
    text = next(event.message for event in found if re.match(f"{step}: .* in [0-9]+ s", event.message))
    print(text, flush=True)
    return float(re.findall(r" in ([0-9]+) s", text)[-1])


def by_hand_s(lab: LabSession, mode: str, file: str, command: str) -> float:
    """How long the command takes in the system of the disk, while the storage server gives or takes the file."""
    pid = lab.on_storage("sh", "-c", f"python3 /root/serve.py {mode} {file} > /root/serve.log 2>&1 & echo $!").strip()
    lab.wait("the server", lambda: lab.on_storage("cat", "/root/serve.log"))
    script = TIMED.format(command)
    url = f"http://{lab.resource(NODE).address}/cgi-bin/run"
    done = lab.inside("curl", "--silent", "--max-time", "1800", "--data-binary", script, url)
    lab.on_storage("kill", pid)
    found = re.search(r"took ([0-9]+) s\nstatus: 0", done.stdout)
    if not found:
        raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
    print(f"by hand: {command}: {found[1]} s", flush=True)
    return float(found[1])


def measure(lab: LabSession, number: int) -> tuple[Pair, Pair]:
    """One round: grab, deploy, and both by hand."""
    image, name = f"disk{number}", lab.resource(NODE).name
    lab.openqrm("image", "create", image, "--storage", STORAGE, "--deployment", "local")
    lab.openqrm("resource", "grab", name, image)
    grab = reported_s(lab, "grab")
    fields = ["--image", image, "--parameter", "disk_overwrite=true", "--no-clone"]
    lab.openqrm("appliance", "create", f"{APPLIANCE}{number}", *fields)
    lab.openqrm("appliance", "start", f"{APPLIANCE}{number}")
    deploy = reported_s(lab, "deploy")
    lab.wait("the disk's system", lambda: "system of the local disk" in lab.page(lab.resource(NODE).address))
    server = lab.info["storage"]["addresses"][0]
    file = f"{LOCATION}/by-hand.zst"
    hand_grab = by_hand_s(
        lab, "take", file, f"/usr/bin/dd if=/dev/vda bs=1M status=none | zstd -q -c | nc {server} {PORT}"
    )
    hand_deploy = by_hand_s(
        lab,
        "give",
        file,
        f"curl -s http://{server}:{PORT}/ | zstd -q -d -c | /usr/bin/dd of=/dev/vda bs=1M conv=fsync status=none",
    )
    lab.openqrm("appliance", "stop", f"{APPLIANCE}{number}")
    return Pair(deploy, hand_deploy), Pair(grab, hand_grab)


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    with LabSession(NAME) as lab:
        prepare(lab)
        lab.on_storage("sh", "-c", f"cat > /root/serve.py << 'END'\n{SERVE}END")
        found = [measure(lab, number) for number in range(rounds)]
    deploys, grabs = zip(*found, strict=True)
    finish(
        judge("deploy of 2 GiB, half empty, against curl | zstd -d | dd", deploys, bar=BAR),
        judge("grab of the same against dd | zstd", grabs, bar=BAR),
    )


if __name__ == "__main__":
    main()
