"""Images of local disks, with real loop devices: grabbed, deployed, broken off, damaged, refused, wiped."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.boot.shell import run_shell

MIB = 1 << 20
# Stands for the machine's own disks, the image's volume, and the node API.
NODE = """
oq_is_mounted() { return 1; }
oq_mount_volume() { :; }
oq_networks() { :; }
oq_fetch_hook() { :; }
oq_screen() { :; }
oq_heartbeat() { :; }
oq_pause() { :; }
oq_say() { echo "$*" >&2; }
oq_event() { echo "event $1 $2: $3"; }
oq_answer_order() { echo "order $1 ${2:-}"; }
oq_step() {
    OQ_STEP=$1
    if "$2" > "$OQ/step.log" 2>&1; then return 0; fi
    OQ_PROBLEM=$(tail -n 5 "$OQ/step.log" | tr '\\n' ' '); return 1
}
oq_disks() { for _each in $DISKS; do printf '%s\\t1\\t\\n' "$_each"; done; }
OQO_ID=1; OQ_IMAGE=$STATE/image; OQ_WORK=$STATE/disk; OQ_MAC=52-54-00-00-00-01; OQM_PARAMETERS=''
mkdir -p "$OQ_IMAGE"; echo "$ORDER" > "$OQ/manifest.sha256"
"""


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[LoopMaker]:
    """Makes loop devices over sparse files, and lets go of them."""
    with contextlib.ExitStack() as stack:
        yield LoopMaker(tmp_path, stack)


class LoopMaker:
    """Makes disks."""

    def __init__(self, directory: Path, stack: contextlib.ExitStack) -> None:
        self.directory, self.stack = directory, stack

    def disk(self, name: str, size: int, content: dict[int, bytes]) -> str:
        """The kernel's name of a disk with this content: offset -> bytes."""
        path = self.directory / f"{name}.raw"
        with path.open("wb") as file:
            file.truncate(size)
            for offset, data in content.items():
                file.seek(offset)
                file.write(data)
        found = subprocess.run(["losetup", "--find", "--show", path], capture_output=True, text=True, check=True)
        device = found.stdout.strip()
        self.stack.callback(subprocess.run, ["losetup", "--detach", device], check=True)
        return device.removeprefix("/dev/")


def content(name: str) -> str:
    """The digest of what a disk holds."""
    return hashlib.sha256(Path("/dev", name).read_bytes()).hexdigest()


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that do not compress."""
    return hashlib.shake_256(bytes([seed])).digest(size)


def work(state: Path, action: str, disks: str, script: str = "", **variables: str) -> str:
    """What the node says while it carries an order about its disks out."""
    given = {"NAME": "", "OVERWRITE": "false", "WIPE": "", "ORDER": "a", "OQ_CHUNK_MIB": "4"} | variables
    settings = f"OQM_DISK_ACTION={action}; OQM_DISK_NAME=$NAME; OQM_DISK_OVERWRITE=$OVERWRITE; OQM_DISK_WIPE=$WIPE\n"
    done = run_shell(NODE + settings + script + "\noq_disk_order", state, DISKS=disks, **given)
    assert done.returncode == 1, done.stderr  # no root is mounted: the machine stays idle
    return done.stdout


@pytest.fixture
def source(loop: LoopMaker) -> str:
    """A disk with a partition table, data in the first, third and last of six chunks of 4 MiB, the last one short."""
    size = 21 * MIB
    return loop.disk(
        "source", size, {0: noise(MIB), 8 * MIB + 4096: noise(MIB, 2), 10 * MIB: b"x" * 65536, size - 512: b"end" * 170}
    )


def test_a_disk_is_grabbed_and_deployed(source: str, loop: LoopMaker, tmp_path: Path) -> None:
    said = work(tmp_path, "grab", source)
    assert f"event info grab: {source}: 21 MiB read, 3 of 6 chunks with data" in said and "order done" in said
    image = json.loads((tmp_path / "image/image.json").read_text())
    (disk,) = image["disks"]
    assert (image["version"], image["chunk_mib"], disk["name"], disk["bytes"]) == (1, 4, source, 21 * MIB)
    listed = (tmp_path / "image/lists" / disk["list"]).read_text().splitlines()
    assert [line.split()[1] == "-" for line in listed] == [False, True, False, True, True, False]
    assert (
        len(list((tmp_path / "image/chunks").iterdir())) == 3
        and not (tmp_path / "image/work/52-54-00-00-00-01").exists()
    )

    blank = loop.disk("blank", 21 * MIB, {})
    said = work(tmp_path, "deploy", blank)
    assert f"event info deploy: {blank}: 21 MiB written, 3 of 6 chunks with data" in said and "order done" in said
    assert content(blank) == content(source)


@pytest.mark.parametrize("offload", ["0", "1"])
def test_what_was_on_the_disk_is_gone(source: str, loop: LoopMaker, tmp_path: Path, offload: str) -> None:
    work(tmp_path, "grab", source)
    full = loop.disk("full", 21 * MIB, {0: noise(21 * MIB, 9)})
    said = work(tmp_path, "deploy", full, f"oq_line() {{ echo {offload}; }}", OVERWRITE="true")
    assert "order done" in said and content(full) == content(source)


def test_a_disk_that_holds_something_is_refused(source: str, loop: LoopMaker, tmp_path: Path) -> None:
    work(tmp_path, "grab", source)
    used = loop.disk("used", 32 * MIB, {})
    subprocess.run(["mkfs.ext4", "-q", "-L", "precious", f"/dev/{used}"], check=True)
    before = content(used)
    said = work(tmp_path, "deploy", used)
    assert (
        f'order failed deploy: disk {used} holds data ({used}: "precious" ext4' in said
        and "disk_overwrite=true" in said
    )
    assert content(used) == before
    assert "order done" in work(tmp_path, "deploy", used, OVERWRITE="true")


def test_a_disk_that_is_too_small_or_not_said_is_refused(source: str, loop: LoopMaker, tmp_path: Path) -> None:
    work(tmp_path, "grab", source)
    small, large = loop.disk("small", 16 * MIB, {}), loop.disk("large", 32 * MIB, {})
    assert f"disk {small} has 16 MiB, the image needs 21" in work(tmp_path, "deploy", small)
    assert f"found: {small} {large}" in work(tmp_path, "deploy", f"{small} {large}")
    assert "this machine has no disk sdx" in work(tmp_path, "deploy", large, NAME="sdx")
    assert "order done" in work(tmp_path, "deploy", f"{small} {large}", NAME=large)


def test_all_disks(source: str, loop: LoopMaker, tmp_path: Path) -> None:
    second = loop.disk("second", 8 * MIB, {5 * MIB: noise(MIB, 3)})
    disks, wanted = f"{source} {second}", [content(source), content(second)]
    assert "order done" in work(tmp_path, "grab", disks, NAME="all")
    for name, size in ((source, 21), (second, 8)):
        Path("/dev", name).write_bytes(bytes(size * MIB))
    assert "order done" in work(tmp_path, "deploy", disks)
    assert [content(source), content(second)] == wanted


def test_a_damaged_chunk_is_named(source: str, loop: LoopMaker, tmp_path: Path) -> None:
    work(tmp_path, "grab", source)
    chunk = sorted((tmp_path / "image/chunks").iterdir())[0]
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    said = work(tmp_path, "deploy", loop.disk("blank", 21 * MIB, {}))
    assert "order failed deploy: " in said and f"{chunk.name}, is damaged: its digest is " in said
    chunk.unlink()
    assert f"{chunk.name}, is missing" in work(tmp_path, "deploy", loop.disk("blank2", 21 * MIB, {}))


def counted(function: str, breaks_at: int) -> str:
    """Shell text that counts the calls of a function, and has it fail from one of them on."""
    return f"""
sed -n '/^{function}()/,/^}}/p' "$LIBRARY"/disk-*.sh | sed '1s/.*/real() {{/' > "$STATE/real.sh"; . "$STATE/real.sh"
oq_disk_workers() {{ echo 1; }}
{function}() {{
    echo "$2" >> "$STATE/calls"
    [ "$(wc -l < "$STATE/calls")" -lt {breaks_at} ] || {{ echo "connection lost"; return 1; }}
    real "$@"
}}
"""


def test_a_broken_deploy_goes_on_where_it_was(source: str, loop: LoopMaker, tmp_path: Path) -> None:
    work(tmp_path, "grab", source)
    target = loop.disk("target", 21 * MIB, {})
    assert "order failed deploy: " in work(tmp_path, "deploy", target, counted("oq_write_chunk", 4))
    calls = tmp_path / "calls"
    assert calls.read_text().split() == ["0", "1", "2", "3", "3", "3"]  # and it was tried three times
    calls.unlink()
    # The partition table that is there now is its own, so that nothing is refused.
    said = work(tmp_path, "deploy", target, counted("oq_write_chunk", 99))
    assert "order done" in said and calls.read_text().split() == ["3", "4", "5"]
    assert "Going on where it was broken off, after 3 chunks. " in said
    assert content(target) == content(source)


def test_other_work_does_not_go_on_from_it(source: str, loop: LoopMaker, tmp_path: Path) -> None:
    work(tmp_path, "grab", source)
    target = loop.disk("target", 21 * MIB, {})
    work(tmp_path, "deploy", target, counted("oq_write_chunk", 4))
    (tmp_path / "calls").unlink()
    work(tmp_path, "deploy", target, counted("oq_write_chunk", 99), ORDER="b")
    assert (tmp_path / "calls").read_text().split() == ["0", "1", "2", "3", "4", "5"]


def test_a_broken_grab_leaves_the_image_and_goes_on(source: str, tmp_path: Path) -> None:
    work(tmp_path, "grab", source)
    image = (tmp_path / "image/image.json").read_text()
    chunks = {path.name for path in (tmp_path / "image/chunks").iterdir()}
    with Path("/dev", source).open("r+b") as disk:
        disk.write(noise(MIB, 7))
    broken = work(tmp_path, "grab", source, counted("oq_read_chunk", 3), OVERWRITE="true", ORDER="b")
    assert "order failed grab: " in broken and (tmp_path / "image/image.json").read_text() == image
    assert chunks < {path.name for path in (tmp_path / "image/chunks").iterdir()}
    (tmp_path / "calls").unlink()
    said = work(tmp_path, "grab", source, counted("oq_read_chunk", 99), OVERWRITE="true", ORDER="b")
    assert "order done" in said and (tmp_path / "calls").read_text().split() == ["2", "3", "4", "5"]
    now = {path.name for path in (tmp_path / "image/chunks").iterdir()}
    assert len(now) == 3 and len(now & chunks) == 2  # what only the image before needed is gone
    assert len(list((tmp_path / "image/lists").iterdir())) == 1


def test_an_image_is_overwritten_only_where_that_is_said(source: str, tmp_path: Path) -> None:
    work(tmp_path, "grab", source)
    assert "the image holds a disk already" in work(tmp_path, "grab", source, ORDER="b")


def test_files_of_others_are_left_alone(source: str, tmp_path: Path) -> None:
    (tmp_path / "image/etc").mkdir(parents=True)
    said = work(tmp_path, "grab", source, OVERWRITE="true")
    assert "files that are not of a disk image" in said
    assert [path.name for path in (tmp_path / "image").iterdir()] == ["etc"]


def test_a_volume_without_an_image_is_refused(loop: LoopMaker, tmp_path: Path) -> None:
    blank = loop.disk("blank", 8 * MIB, {})
    assert "no valid image.json: grab a disk into it first" in work(tmp_path, "deploy", blank)


def test_a_gpt_has_its_second_copy_at_the_end_of_a_larger_disk(loop: LoopMaker, tmp_path: Path) -> None:
    origin = loop.disk("origin", 20 * MIB, {})
    subprocess.run(["sfdisk", "--quiet", f"/dev/{origin}"], input="label: gpt\n,8M\n", text=True, check=True)
    work(tmp_path, "grab", origin)
    larger = loop.disk("larger", 40 * MIB, {})
    assert "order done" in work(tmp_path, "deploy", larger)
    checked = subprocess.run(["sfdisk", "--verify", f"/dev/{larger}"], capture_output=True, text=True, check=True)
    assert "No errors detected" in checked.stdout, checked
    assert Path("/dev", larger).read_bytes()[-512:][:8] == b"EFI PART"


@pytest.mark.parametrize("wipe", ["quick", "full"])
def test_wiped(loop: LoopMaker, tmp_path: Path, wipe: str) -> None:
    used = loop.disk("used", 32 * MIB, {20 * MIB: noise(MIB)})
    subprocess.run(["mkfs.ext4", "-q", "-L", "old", f"/dev/{used}"], check=True)
    said = work(tmp_path, "wipe", used, WIPE=wipe, NAME="all")
    assert f"{used} wiped ({wipe}), it held: {used}:" in said and "order done" in said
    assert subprocess.run(["blkid", "-p", f"/dev/{used}"], check=False).returncode == 2
    assert (not any(Path("/dev", used).read_bytes())) == (wipe == "full")


def test_a_wipe_that_is_not_known_wipes_nothing(source: str, tmp_path: Path) -> None:
    before = content(source)
    assert "the wipe 'none' is not known" in work(tmp_path, "wipe", source, WIPE="none")
    assert content(source) == before
