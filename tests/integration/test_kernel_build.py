"""The role kernel_image with this machine's apt and dracut: a Debian package, then the same kernel as a directory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.center import make_center

ROOT = Path(__file__).parents[2]
LIMIT = 35 * 1024 * 1024
PLAYBOOK = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  tasks:
    - ansible.builtin.include_role:
        name: openqrm.datacenter.kernel_image
        tasks_from: build
    - ansible.builtin.copy:
        content: "{{ kernel_image_result | to_json }}"
        dest: "{{ report }}"
        mode: "0644"
      check_mode: false
"""


def build(work: Path, kernel: dict[str, str], *options: str) -> dict[str, object]:
    """Run the role for one kernel and return its result."""
    (work / "build.yml").write_text(PLAYBOOK)
    item = {"name": "default", "ca_file": str(work / "ca.pem"), "cache_dir": str(work / "cache"), **kernel}
    variables = {
        "kernel_image_kernels": [item],
        "kernel_image_dracut_dir": str(work / "dracut"),
        "report": str(work / "report.json"),
    }
    program = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [str(program), str(work / "build.yml"), "-e", json.dumps(variables), *options],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, object] = json.loads((work / "report.json").read_text())
    return result


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a certificate authority."""
    path = tmp_path_factory.mktemp("kernel")
    request = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "1",
    ]
    subprocess.run(
        [*request, "-subj", "/CN=test", "-keyout", path / "ca.key", "-out", path / "ca.pem"],
        check=True,
        capture_output=True,
    )
    return path


@pytest.fixture(scope="module")
def built(work: Path) -> dict[str, object]:
    """The result of building Debian's cloud kernel from its package."""
    item = build(work, {"source": "package", "package": "linux-image-cloud-amd64"})["items"]
    assert isinstance(item, list)
    return item[0]


def contents(initramfs: Path) -> set[str]:
    """Return the paths inside an initramfs."""
    packed = subprocess.run(["zstd", "-dc", initramfs], check=True, capture_output=True).stdout
    listing = subprocess.run(["cpio", "-t", "--quiet"], input=packed, check=True, capture_output=True).stdout
    return set(listing.decode().splitlines())


def content(initramfs: Path, name: str) -> str:
    """Return the text of a file inside an initramfs."""
    packed = subprocess.run(["zstd", "-dc", initramfs], check=True, capture_output=True).stdout
    command = ["cpio", "--extract", "--to-stdout", "--quiet", name]
    return subprocess.run(command, input=packed, check=True, capture_output=True).stdout.decode()


def test_console_of_an_idle_node_gives_no_shell(built: dict[str, object]) -> None:
    """Only a kernel's own arguments, which come later and win, may say otherwise."""
    initramfs = Path(built["initramfs"]["path"])  # type: ignore[index]
    assert content(initramfs, "etc/cmdline.d/90-openqrm.conf").split() == ["rd.shell=0", "rd.emergency=reboot"]
    programs = {path.rpartition("/")[2] for path in contents(initramfs)}
    assert not programs & {"agetty", "getty", "login", "sulogin", "sshd", "dropbear", "telnetd", "plymouthd"}
    library = next(path for path in contents(initramfs) if path.endswith("lib/dracut-lib.sh"))
    # What dracut asks before it gives a shell; by another name this test would be worth nothing.
    assert "getargbool 1 rd.shell" in content(initramfs, library)


def test_artifacts_are_what_a_node_needs(built: dict[str, object]) -> None:
    assert built["changed"] is True
    version = str(built["version"])
    files = {name: Path(built[name]["path"]) for name in ("vmlinuz", "initramfs", "modules")}  # type: ignore[index]
    assert files["initramfs"].stat().st_size < LIMIT
    inside = contents(files["initramfs"])
    wanted = {
        "etc/openqrm/ca.pem",
        "usr/lib/openqrm/node.sh",
        "usr/bin/curl",
        "usr/bin/jq",
        "usr/sbin/mount.nfs",
        "usr/sbin/dmidecode",
    }
    drivers = {
        f"usr/lib/modules/{version}/kernel/{path}.ko"
        for path in ("drivers/net/virtio_net", "fs/nfs/nfsv4", "fs/squashfs/squashfs")
    }
    assert wanted | drivers <= inside
    assert not any("systemd/system/" in path for path in inside)
    listing = subprocess.run(["unsquashfs", "-ls", files["modules"]], check=True, capture_output=True, text=True).stdout
    assert "squashfs-root/modules.dep.bin" in listing.splitlines()
    assert files["vmlinuz"].read_bytes()[0x202:0x206] >= b"\x0c\x02"


# Inside the initramfs: a copy with what belongs to files, an archive, and a new file system.
COPIES = """
for file in common api manifest network hardware root layers copy ram transfer; do . /usr/lib/openqrm/$file.sh; done
OQ=/tmp; OQ_PROGRESS_S=1; OQ_STEP=transfer; OQ_BOOT=tree
oq_event() { :; }
oq_pause() { :; }
oq_curl() { cat /tmp/archive; }
mkdir -p /tmp/one/srv /tmp/two /tmp/three && cd /tmp && echo x > one/srv/file && ln one/srv/file one/srv/same
setfattr -n security.capability -v 0sAQAAAgAgAAAAAAAAAAAAAAAAAAA= one/srv/file || exit 1
oq_copy_tree /tmp/one /tmp/two && [ two/srv/file -ef two/srv/same ] || exit 2
getfattr -n security.capability --only-values two/srv/file > /dev/null || exit 3
/usr/bin/tar -c --xattrs '--xattrs-include=*' -C one . | zstd -q > archive
oq_unpack "$(oq_sha256 archive)" tar.zst /tmp/three || exit 5
getfattr -n security.capability three/srv/same > /dev/null || exit 4
dd if=/dev/zero of=disk bs=1M count=16 2> /dev/null && mkfs.ext4 -q -F disk && blkid -p -o value -s TYPE disk
"""


def test_copies_run_with_what_is_inside(built: dict[str, object], tmp_path: Path) -> None:
    initramfs = built["initramfs"]["path"]  # type: ignore[index]
    script = f"zstd -dc {initramfs} | cpio --extract --quiet --make-directories; mount --bind /proc proc"
    script += '; mount --bind /dev dev; mount -t tmpfs memory tmp; exec chroot . /usr/bin/busybox sh -uc "$COPIES"'
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        cwd=tmp_path,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "COPIES": COPIES},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "ext4"


def test_second_run_and_check_mode_change_nothing(work: Path, built: dict[str, object]) -> None:
    kernel = {"source": "package", "package": "linux-image-cloud-amd64"}
    assert build(work, kernel) == {"changed": False, "items": [{**built, "changed": False}]}
    assert build(work, kernel, "--check")["changed"] is False


def test_directory_source_and_its_check_mode(work: Path, built: dict[str, object]) -> None:
    version = str(built["version"])
    tree = work / "tree"
    (tree / "boot").mkdir(parents=True)
    (tree / "boot" / f"vmlinuz-{version}").write_bytes(Path(built["vmlinuz"]["path"]).read_bytes())  # type: ignore[index]
    modules = str(built["modules"]["path"])  # type: ignore[index]
    (tree / "lib" / "modules").mkdir(parents=True)
    subprocess.run(
        ["unsquashfs", "-quiet", "-no-progress", "-dest", tree / "lib" / "modules" / version, modules], check=True
    )
    kernel = {"source": "directory", "directory": str(tree)}
    before = sorted((work / "cache").iterdir())
    planned = build(work, kernel, "--check")
    assert planned["changed"] is True
    assert sorted((work / "cache").iterdir()) == before
    result = build(work, kernel)
    assert result["changed"] is True
    assert result["items"][0]["vmlinuz"]["sha256"] == built["vmlinuz"]["sha256"]  # type: ignore[index]
    assert build(work, kernel)["changed"] is False


def test_a_program_that_is_missing_is_named() -> None:
    from ansible_collections.openqrm.datacenter.plugins.module_utils import kernel_build

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel_build, "TOOLS", ("openqrm-no-such-program",))
        with pytest.raises(kernel_build.KernelBuildError, match="lacks openqrm-no-such-program; install the packages"):
            kernel_build.require_tools()


def test_adding_a_kernel_again_changes_nothing(built: dict[str, object], work: Path, tmp_path: Path) -> None:
    assert built
    center = make_center(tmp_path)
    (tmp_path / "state/pki").mkdir(parents=True)
    shutil.copy(work / "ca.pem", tmp_path / "state/pki/ca.pem")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/kernels").symlink_to(work / "cache")
    kernel = {"name": "debian", "source": "package", "package": "linux-image-cloud-amd64"}
    variables = {"kernels": [kernel], "kernel_image_dracut_dir": str(work / "dracut")}
    first, second = (center.run("kernel_add", **variables) for _ in range(2))
    center.store.close()
    assert (first.errors, first.changed) == ((), True)
    assert (second.errors, second.changed) == ((), False)
    assert second.stats["openqrm"]["unchanged"] == ["kernel debian is there already"]
