"""A small system on a disk: boot loader, kernel and a web server that runs from memory, for tests of local disks."""

from __future__ import annotations

import base64
import gzip
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

MIB = 1 << 20
SYSTEM_MIB = 120
MODULES = ("virtio_pci", "virtio_net", "virtio_blk", "ext4")
MBR = Path("/usr/lib/syslinux/mbr/mbr.bin")
# It counts its boots on its disk. POSTing a command to /cgi-bin/run runs it.
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
modprobe -a {modules}
ip link set lo up; ip link set eth0 up
udhcpc -i eth0 -s /lease -q -n -t 20
ip link set eth1 up
mkdir -p /disk && mount -t ext4 /dev/vda1 /disk
boots=$(($(cat /disk/boots) + 1)); echo $boots > /disk/boots; umount /disk; sync
echo "system of the local disk, boots: $boots" > /www/index.html
echo "local disk system is up" > /dev/console
httpd -h /www
while :; do sleep 60; done
"""
LEASE = """#!/bin/busybox sh
[ "$1" = bound ] || exit 0
ifconfig $interface $ip netmask $subnet
"""
RUN = """#!/bin/busybox sh
echo "Content-Type: text/plain"; echo
head -c "$CONTENT_LENGTH" > /script && sh /script 2>&1
echo "status: $?"
"""


def make_disk(
    disk: Path, kernel: Path, modules: Path, version: str, programs: Sequence[str] = (), data_mib: int = 0
) -> None:
    """Writes the system into the sparse file `disk`, whose size stays as it is; `kernel` and `modules` (squashfs) are
    those of a kernel of the boot tree, `programs` are in memory of it, and `data_mib` of data that compresses to three
    quarters follow its partition."""
    size = disk.stat().st_size
    with disk.open("wb") as file:
        file.truncate(size)
        file.write(MBR.read_bytes())
        file.seek(256 * MIB)
        for _ in range(data_mib):
            file.write(base64.b64encode(os.urandom(MIB * 3 // 4)))
        file.truncate(size)
    subprocess.run(
        ["sfdisk", "--quiet", "--no-tell-kernel", disk],
        input=f"label: dos\nstart=2048,size={SYSTEM_MIB}M,type=83,bootable\n",
        text=True,
        check=True,
    )
    with tempfile.TemporaryDirectory() as work, partition(disk, Path(work, "mount")) as root:
        scripts = {"init": INIT.format(modules=" ".join(MODULES)), "lease": LEASE, "www/cgi-bin/run": RUN}
        memory = make_initramfs(Path(work), modules, version, scripts, MODULES, programs)
        shutil.copy(kernel, root / "vmlinuz")
        shutil.copy(memory, root / "initramfs")
        (root / "boots").write_text("0\n")
        (root / "extlinux.conf").write_text(
            "SERIAL 0 115200\nDEFAULT linux\nLABEL linux\nKERNEL /vmlinuz\nINITRD /initramfs\n"
            "APPEND console=ttyS0 net.ifnames=0\n"
        )
        subprocess.run(["extlinux", "--install", root], check=True, capture_output=True)


@contextmanager
def partition(disk: Path, where: Path, size_mib: int = SYSTEM_MIB) -> Iterator[Path]:
    """The first partition, of this size, with a new ext4 file system that extlinux and GRUB read, mounted."""
    loop = subprocess.run(
        ["losetup", "--find", "--show", "--offset", str(MIB), "--sizelimit", str(size_mib * MIB), disk],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    try:
        subprocess.run(["mkfs.ext4", "-q", "-O", "^64bit,^metadata_csum,^has_journal", loop], check=True)
        where.mkdir()
        subprocess.run(["mount", loop, where], check=True)
        try:
            yield where
        finally:
            subprocess.run(["umount", where], check=True)
    finally:
        subprocess.run(["losetup", "--detach", loop], check=True)


def make_initramfs(
    work: Path, modules: Path, version: str, scripts: Mapping[str, str], names: Sequence[str], programs: Sequence[str]
) -> Path:
    """A system in memory: busybox, the named kernel modules and those that they need, programs with their libraries,
    scripts."""
    tree, unpacked = work / "tree", work / "modules"
    for name in ("bin", "proc", "sys", "dev", "root", "run", "www/cgi-bin", f"lib/modules/{version}"):
        (tree / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", tree / "bin/busybox")
    subprocess.run(
        ["unsquashfs", "-quiet", "-no-progress", "-dest", unpacked, modules], check=True, capture_output=True
    )
    for path in _needed(unpacked, names):
        target = tree / f"lib/modules/{version}" / path.relative_to(unpacked)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    for program in programs:
        _copy_program(tree, program)
    for name, text in scripts.items():
        (tree / name).write_text(text)
        (tree / name).chmod(0o755)
    subprocess.run(["depmod", "-b", tree, version], check=True)
    files = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    done = subprocess.run(
        ["cpio", "--quiet", "-o", "-H", "newc"],
        input="\n".join(files).encode(),
        cwd=tree,
        stdout=subprocess.PIPE,
        check=True,
    )
    (work / "initramfs").write_bytes(gzip.compress(done.stdout, 1))
    return work / "initramfs"


def _needed(unpacked: Path, wanted: Sequence[str]) -> set[Path]:
    """The files of these modules and of those that they need."""
    names = {path.name.split(".ko")[0].replace("-", "_"): path for path in unpacked.rglob("*.ko*")}
    needs = {}
    for line in (unpacked / "modules.dep").read_text().splitlines():
        name, _, others = line.partition(":")
        needs[_name(name)] = [_name(other) for other in others.split()]
    found: set[str] = set()
    waiting = [name for name in wanted if name in names]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += needs[name]
    return {names[name] for name in found}


def _name(path: str) -> str:
    return Path(path).name.split(".ko")[0].replace("-", "_")


def _copy_program(tree: Path, program: str) -> None:
    path = shutil.which(program)
    assert path, f"install {program}"
    listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
    for file in [path, *re.findall(r"(/\S+)", listed)]:
        target = tree / file.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
