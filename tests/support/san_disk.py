"""A Linux on a disk that machines boot over the network by BIOS and by UEFI: boot loaders, a kernel, an initramfs that
finds its disk by the firmware's iBFT (or over AoE), and a web server on a root that is written to."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.local_disk import LEASE, MBR, MIB, RUN, make_initramfs, partition

SYSTEM_MIB, ESP_MIB = 160, 16
SIZE_MIB = 1 + SYSTEM_MIB + ESP_MIB + 1
LABEL = "sanroot"
# Debian's GRUB reads its configuration from this directory of the partition that it was loaded from.
GRUB, GRUB_DIRECTORY = Path("/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"), "EFI/debian"
ARGUMENTS = "net.ifnames=0 console=ttyS0 panic=30"
MODULES = ("virtio_pci", "virtio_net", "ext4", "crc32c_generic", "sd_mod", "iscsi_tcp", "iscsi_ibft", "aoe")
# What an initramfs of a distribution does: the firmware's table says which NIC has which address and where the disk is.
# Without one the disk is looked for over AoE.
FIND = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
modprobe -a {modules}
ip link set lo up; ip link set eth0 up; ip link set eth1 up
if [ -d /sys/firmware/ibft/target0 ]; then
    cat /sys/firmware/ibft/initiator/initiator-name /sys/firmware/ibft/ethernet0/mac > /dev/console
    mkdir -p /etc/iscsi /run/lock/iscsi /var/lib/iscsi
    /usr/sbin/iscsistart -N && /usr/sbin/iscsistart -b
fi
for try in $(seq 60); do
    [ ! -e /dev/etherd/discover ] || echo > /dev/etherd/discover
    disk=$(findfs LABEL={label}) && mount -t ext4 "$disk" /root && exec switch_root /root /sbin/init
    sleep 1
done
echo "no disk has the label {label}" > /dev/console
reboot -f
"""
# It counts its boots on its root, and says where that is. POSTing a command to /cgi-bin/run runs it.
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
ip link set lo up; ip link set eth0 up
udhcpc -i eth0 -s /lease -q -n -t 20
boots=$(($(cat /boots) + 1)); echo $boots > /boots; sync
disk=$(grep ' / ' /proc/mounts | tail -n 1 | cut -d ' ' -f 1)
echo "system of the SAN disk, boots: $boots" > /www/index.html
echo "$disk $(cat /sys/class/iscsi_session/session*/targetname 2> /dev/null)" > /www/root
echo "SAN disk system is up on $disk, boots: $boots" > /dev/console
httpd -h /www
while :; do sleep 60; done
"""


def make_san_disk(disk: Path, kernel: Path, modules: Path, version: str) -> None:
    """Writes the system into the file `disk`, of SIZE_MIB. `kernel` and `modules` (squashfs) are those of a kernel of
    the boot tree."""
    with disk.open("wb") as file:
        file.write(MBR.read_bytes())
        file.truncate(SIZE_MIB * MIB)
    subprocess.run(
        ["sfdisk", "--quiet", "--no-tell-kernel", disk],
        input=f"label: dos\nstart=1M,size={SYSTEM_MIB}M,type=83,bootable\nsize={ESP_MIB}M,type=ef\n",
        text=True,
        check=True,
    )
    with tempfile.TemporaryDirectory() as work:
        _make_esp(disk, Path(work))
        with partition(disk, Path(work, "mount"), SYSTEM_MIB) as root:
            _make_root(root)
            shutil.copy(kernel, root / "vmlinuz")
            scripts = {"init": FIND.format(modules=" ".join(MODULES), label=LABEL)}
            memory = make_initramfs(Path(work), modules, version, scripts, MODULES, ["iscsistart"])
            shutil.copy(memory, root / "initramfs")
            (root / "extlinux.conf").write_text(
                f"SERIAL 0 115200\nDEFAULT linux\nLABEL linux\nKERNEL /vmlinuz\nINITRD /initramfs\nAPPEND {ARGUMENTS}\n"
            )
            (root / "grub.cfg").write_text(f"linux /vmlinuz {ARGUMENTS}\ninitrd /initramfs\nboot\n")
            subprocess.run(["extlinux", "--install", root], check=True, capture_output=True)
            subprocess.run(["e2label", _device(root), LABEL], check=True)


def _device(root: Path) -> str:
    """The device of a mounted file system."""
    found = subprocess.run(["findmnt", "-no", "SOURCE", root], capture_output=True, text=True, check=True)
    return found.stdout.strip()


def _make_esp(disk: Path, work: Path) -> None:
    """The EFI system partition: GRUB under the name that firmware looks for, which goes on with the first partition."""
    configuration = work / "grub.cfg"
    configuration.write_text("search --no-floppy --set=root --file /extlinux.conf\nconfigfile /grub.cfg\n")
    place = f"{disk}@@{(1 + SYSTEM_MIB) * MIB}"
    subprocess.run(["mformat", "-i", place, "-T", str(ESP_MIB * MIB // 512), "-h", "64", "-s", "32", "::"], check=True)
    directories = ["::EFI", "::EFI/BOOT", f"::{GRUB_DIRECTORY}"]
    subprocess.run(["mmd", "-i", place, *directories], check=True)
    subprocess.run(["mcopy", "-i", place, GRUB, "::EFI/BOOT/BOOTX64.EFI"], check=True)
    subprocess.run(["mcopy", "-i", place, configuration, f"::{GRUB_DIRECTORY}/grub.cfg"], check=True)


def _make_root(root: Path) -> None:
    for name in ("bin", "sbin", "proc", "sys", "dev", "run", "tmp", "etc", "www/cgi-bin"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    (root / "boots").write_text("0\n")
    for name, text in (("sbin/init", INIT), ("lease", LEASE), ("www/cgi-bin/run", RUN)):
        (root / name).write_text(text)
        (root / name).chmod(0o755)
