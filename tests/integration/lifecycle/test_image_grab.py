"""Copies of running systems: real rsync over a real ssh server of this machine, which shows a directory as its root."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.center import FakeCenter, make_center
from tests.support.shelves import make_key
from tests.support.trees import described, make_root
from tests.unit.plugins.module_cases import run_module

# What stands for the login shell of the source: its root is a directory, and it swaps to a file.
SHELL = """#!/bin/sh
echo "$SSH_ORIGINAL_COMMAND" >> {log}
case $SSH_ORIGINAL_COMMAND in
    'cat /proc/swaps') printf 'Filename Type Size\\n/srv/swap file 8\\n/dev/sda2 partition 8\\n' ;;
    'rsync --server --sender '*' . /'*)
        path=${{SSH_ORIGINAL_COMMAND##* . }}
        set -- ${{SSH_ORIGINAL_COMMAND%" . $path"}}
        [ ! -e {slow} ] || set -- "$@" --bwlimit=400
        exec "$@" . "{root}$path" ;;
    *) exit 99 ;;
esac
"""
SETTINGS = """
ListenAddress 127.0.0.1
Port {port}
HostKey {directory}/host
AuthorizedKeysFile {directory}/authorized
StrictModes no
UsePAM no
PidFile none
"""


@dataclass
class Source:
    """A system that is reached by ssh. `log`: the commands that it was given."""

    root: Path
    directory: Path
    port: int
    host_key: str

    @property
    def log(self) -> list[str]:
        return (self.directory / "log").read_text().splitlines()

    def slow(self, slow: bool) -> None:
        """Has it send little a second, or as usual."""
        (self.directory / "slow").touch() if slow else (self.directory / "slow").unlink()

    def row(self, **more: object) -> dict[str, Any]:
        """How it is described."""
        access = {"host": "127.0.0.1", "port": self.port, "identity": str(self.directory / "login")}
        return {**access, "host_keys": [self.host_key], **more}


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Source]:
    root = make_root(tmp_path / "source")
    for name in ("sys", "run", "boot", "data"):
        (root / name).mkdir()
    (root / "usr/bin/init").write_text("#!/bin/sh\n")
    for name in ("proc/1", "sys/a", "dev/tty", "run/pid", "tmp/.x", "srv/swap", "boot/vmlinuz"):
        (root / name).write_text(f"{name}\n")
    (root / "etc/fstab").write_text("UUID=1 / ext4 defaults 0 1\n")
    directory = tmp_path / "ssh"
    directory.mkdir()
    host_key, login = make_key(directory / "host"), make_key(directory / "login")
    shell = directory / "shell"
    shell.write_text(SHELL.format(root=root, log=directory / "log", slow=directory / "slow"))
    shell.chmod(0o755)
    (directory / "authorized").write_text(f'command="{shell}" {login}\n')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (directory / "settings").write_text(SETTINGS.format(port=port, directory=directory))
    Path("/run/sshd").mkdir(exist_ok=True, mode=0o755)
    server = subprocess.Popen(
        ["/usr/sbin/sshd", "-D", "-e", "-f", str(directory / "settings")], stderr=subprocess.DEVNULL
    )
    try:
        wait_for(port)
        yield Source(root, directory, port, " ".join(host_key.split()[:2]))
    finally:
        server.terminate()
        server.wait(timeout=30)


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, "sshd does not start"
            time.sleep(0.1)
        else:
            return


def expected(source: Source, directory: Path) -> dict[str, tuple[object, ...]]:
    """How the copy of the source looks."""
    wanted = directory / "wanted"
    subprocess.run(["cp", "--archive", "--sparse=always", str(source.root), str(wanted)], check=True, timeout=60)
    for name in ("proc/1", "sys/a", "dev/tty", "run/pid", "tmp/.x", "srv/swap"):
        (wanted / name).unlink()
    for name, mode in {"proc": 0o555, "sys": 0o555, "dev": 0o755, "run": 0o755, "tmp": 0o1777}.items():
        (wanted / name).chmod(mode)
    found = described(wanted)
    return {path: row for path, row in found.items() if path != "etc/fstab"}


def looked_at(copy: Path) -> dict[str, tuple[object, ...]]:
    """What is in the copy, without what it has of its own, which is as it has to be."""
    assert (copy / "etc/fstab.source").read_text() == "UUID=1 / ext4 defaults 0 1\n"
    assert "fstab-static" in (copy / "etc/fstab").read_text()
    assert json.loads((copy / ".openqrm-grab").read_text())["host"] == "127.0.0.1"
    own = {"etc/fstab", "etc/fstab.source", ".openqrm-grab"}
    return {path: row for path, row in described(copy).items() if path not in own}


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    made = make_center(tmp_path)
    entry = {"name": "disk1", "type": "directory", "host": "localhost", "address": "10.78.0.1"}
    assert made.run("storage_create", storages=[entry | {"location": str(tmp_path / "disk1")}]).errors == ()
    yield made
    made.store.close()


def test_a_running_system_becomes_an_image(center: FakeCenter, source: Source, tmp_path: Path) -> None:
    """By the role image_grab, with all that is easily lost in a copy."""
    image = {"name": "shop", "storage": "disk1", "deployment": "fake", **source.row()}
    checked = center.run("image_grab", check=True, images=[image])
    assert (checked.errors, "image_grab copy" in "\n".join(checked.diff)) == ((), True)
    made = center.run("image_grab", images=[image])
    assert (made.errors, made.changed) == ((), True)
    assert looked_at(tmp_path / "disk1/shop") == expected(source, tmp_path)
    again = center.run("image_grab", images=[image])
    assert (again.errors, again.changed) == ((), False)
    with center.store.read() as reader:
        assert reader.image("shop").storage == "disk1"


def grab(capsys: pytest.CaptureFixture[str], source: Source, path: Path, **more: object) -> dict[str, Any]:
    """The result of the module for a volume."""
    system = {"name": "shop", "path": str(path), "presents": "filesystem", **source.row(**more)}
    return run_module("image_grab", capsys, {"systems": [system]})


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "volume"
    path.mkdir()
    return path


def test_a_copy_that_was_killed_is_gone_on_with(
    capsys: pytest.CaptureFixture[str], source: Source, volume: Path, tmp_path: Path
) -> None:
    (source.root / "srv/large").write_bytes(os.urandom(4 << 20))
    source.slow(True)
    arguments = {"systems": [{"name": "shop", "path": str(volume), "presents": "filesystem", **source.row()}]}
    code = (
        "import json, sys; from ansible.module_utils.testing import patch_module_args\n"
        "from ansible_collections.openqrm.datacenter.plugins.modules import image_grab\n"
        "with patch_module_args(json.loads(sys.argv[1])): image_grab.main()"
    )
    root = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": f"{root}/collection:{root}/library"}
    words = [str(shutil.which("python3")), "-c", code, json.dumps(arguments)]
    with subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        deadline = time.monotonic() + 60
        while not list(volume.glob("srv/.large.*")) and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(2)
        os.killpg(process.pid, 9)
    parts = list(volume.glob("srv/.large.*"))
    assert (len(parts), (volume / "srv/large").exists()) == (1, False)
    source.slow(False)
    result = grab(capsys, source, volume)
    assert result["items"] == [{"name": "shop", "changed": True, "vanished": 0}]
    assert looked_at(volume) == expected(source, tmp_path)
    assert not list(volume.glob("srv/.large.*"))


def test_what_changed_in_the_source_follows_and_what_is_gone_goes(
    capsys: pytest.CaptureFixture[str], source: Source, volume: Path, tmp_path: Path
) -> None:
    assert "failed" not in grab(capsys, source, volume)
    (source.root / "srv/attribute").unlink()
    (source.root / "etc/hostname").write_text("changed\n")
    assert "failed" not in grab(capsys, source, volume)
    assert looked_at(volume) == expected(source, tmp_path)


def test_a_block_volume_gets_a_file_system(source: Source, tmp_path: Path) -> None:
    disk = tmp_path / "shop.raw"
    with disk.open("wb") as stream:
        stream.truncate(64 << 20)
    system = {"name": "shop", "path": str(disk), "presents": "block", **source.row()}
    # In a process of its own, as on a server: the module has mounts of its own from then on.
    code = f"""if True:
        from ansible.module_utils.testing import patch_module_args
        from ansible_collections.openqrm.datacenter.plugins.modules import image_grab
        with patch_module_args({{"systems": [{system!r}]}}):
            image_grab.main()"""
    root = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": f"{root}/collection:{root}/library"}
    for _twice in range(2):
        done = subprocess.run(
            ["python3", "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert json.loads(done.stdout).get("items") == [{"name": "shop", "changed": True, "vanished": 0}], done.stdout
    assert str(disk) not in Path("/proc/mounts").read_text()
    mount = tmp_path / "mount"
    mount.mkdir()
    subprocess.run(["mount", "-o", "loop,ro", str(disk), str(mount)], check=True, timeout=60)
    try:
        found = looked_at(mount)
    finally:
        subprocess.run(["umount", str(mount)], check=True, timeout=60)
    assert {path: row for path, row in found.items() if path != "lost+found"} == expected(source, tmp_path)


def test_further_file_systems_come_when_they_are_named(
    capsys: pytest.CaptureFixture[str], source: Source, volume: Path
) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "none", str(source.root / "data")], check=True, timeout=60)
    try:
        (source.root / "data/cache").mkdir()
        for name in ("data/file", "data/cache/left out", "data/.hidden"):
            (source.root / name).write_text("x\n")
        assert "failed" not in grab(capsys, source, volume)
        assert list((volume / "data").iterdir()) == [], "an empty mount point"
        assert "failed" not in grab(capsys, source, volume, mounts=["/data"], excludes=["/data/cache/*", "/boot/*"])
    finally:
        subprocess.run(["umount", str(source.root / "data")], check=True, timeout=60)
    assert sorted(path.name for path in volume.glob("data/**/*")) == [".hidden", "cache", "file"]


def test_files_that_vanish_are_counted(
    capsys: pytest.CaptureFixture[str], source: Source, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a program that ends as rsync does then: when a file vanishes is chance."""
    program = source.directory / "bin/rsync"
    program.parent.mkdir()
    text = (
        'echo "file has vanished: \\"/srv/x\\"" >&2; echo "rsync warning: some files vanished (code 24)" >&2; exit 24'
    )
    program.write_text(f'#!/bin/sh\n/usr/bin/rsync "$@"\n{text}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    result = grab(capsys, source, volume)
    assert result["items"] == [{"name": "shop", "changed": True, "vanished": 1}]


def test_a_pass_that_fails_says_so(
    capsys: pytest.CaptureFixture[str], source: Source, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = source.directory / "bin/rsync"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "rsync: [sender] read errors mapping \\"/srv/x\\"" >&2\nexit 23\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    result = grab(capsys, source, volume)
    assert (
        "rsync from 127.0.0.1 ended with status 23, some files could not be copied: rsync: [sender] read"
        in result["msg"]
    )
    assert "run the command again to go on" in result["msg"]


def test_a_host_key_that_is_not_known_is_refused(
    capsys: pytest.CaptureFixture[str], source: Source, volume: Path, tmp_path: Path
) -> None:
    other = " ".join(make_key(tmp_path / "other").split()[:2])
    result = grab(capsys, source, volume, host_keys=[other])
    assert "127.0.0.1 cannot be reached as root" in result["msg"]
    assert "Host key verification failed" in result["msg"]
    assert (list(volume.iterdir()), (source.directory / "log").exists()) == ([], False)
    assert "Host key verification failed" in grab(capsys, source, volume, host_keys=[])["msg"], (
        "none is accepted unseen"
    )


def test_a_volume_with_anything_else_is_refused(
    capsys: pytest.CaptureFixture[str], source: Source, volume: Path, tmp_path: Path
) -> None:
    (volume / "kept").write_text("x\n")
    assert "its volume is not empty, it has kept; use another volume" in grab(capsys, source, volume)["msg"]
    assert [path.name for path in volume.iterdir()] == ["kept"]
    (volume / "kept").unlink()
    (volume / ".openqrm-grab").write_text('{"host": "elsewhere", "user": "root", "port": 22}')
    assert "its volume has a copy of elsewhere" in grab(capsys, source, volume)["msg"]
    disk = tmp_path / "disk"
    with disk.open("wb") as stream:
        stream.truncate(64 << 20)
    subprocess.run(["mkswap", str(disk)], check=True, timeout=60, capture_output=True)
    system = {"name": "shop", "path": str(disk), "presents": "block", **source.row()}
    result = run_module("image_grab", capsys, {"systems": [system]})
    assert "its volume is not empty, blkid says" in result["msg"]


def test_a_system_without_an_init_is_no_image(capsys: pytest.CaptureFixture[str], source: Source, volume: Path) -> None:
    (source.root / "usr/bin/init").unlink()
    assert "127.0.0.1 has no /sbin/init" in grab(capsys, source, volume)["msg"]


BAD: dict[str, dict[str, object]] = {
    "name": {"name": "../x"},
    "user": {"user": "-oProxyCommand=x"},
    "host": {"host": "-oProxyCommand=x"},
    "host with blank": {"host": "a b"},
    "identity": {"identity": "/a b"},
    "identity parent": {"identity": "/root/../x"},
    "host key": {"host_keys": ["x\ny"]},
    "mount": {"mounts": ["var"]},
    "exclude": {"excludes": ["- /x"]},
    "port": {"port": 0},
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(capsys: pytest.CaptureFixture[str], case: str, tmp_path: Path) -> None:
    system = {"name": "shop", "path": str(tmp_path), "presents": "filesystem", "host": "h"}
    result = run_module("image_grab", capsys, {"systems": [system | BAD[case]]}, check=True)
    assert result["failed"]
    assert result["msg"].endswith("is not valid.")
