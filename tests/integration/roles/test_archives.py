"""Archives of the controller on their way to a server, as to another machine: its connection notes what it sends."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.roles import Host, Outcome, Step, run

ROLE = "openqrm.datacenter.storage_directory"
CONNECTION = '''
from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = """
name: noted
short_description: local, and notes the files that it sends
description: For tests.
extends_documentation_fragment: [connection_pipelining]
options:
  log:
    description: Where.
    vars: [{name: noted_log}]
"""


class Connection(Local):
    transport = "acme.noted.noted"

    def put_file(self, in_path, out_path):
        with open(self.get_option("log"), "a") as log:
            print(in_path, file=log)
        return super().put_file(in_path, out_path)
'''


class Server:
    """A host that is reached by such a connection."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._log = directory / "sent"
        self.location = directory / "volumes"
        self.location.mkdir()
        plugin = directory / "ansible_collections/acme/noted/plugins/connection/noted.py"
        plugin.parent.mkdir(parents=True)
        plugin.write_text(CONNECTION)
        (directory / "inventory").write_text("server\n")

    def create(self, *volumes: dict[str, Any], check: bool = False, **options: str) -> Outcome:
        """Have the volumes created."""
        items = [volume | {"location": str(self.location)} for volume in volumes]
        (outcome,) = run(
            self._directory,
            [Step(ROLE, "volume_create", {"storage_volumes": items, **options}, check)],
            {
                "ansible_connection": "acme.noted.noted",
                "ansible_python_interpreter": sys.executable,
                "noted_log": str(self._log),
            },
            collections=str(self._directory),
            host=Host("server", self._directory / "inventory"),
        )
        return outcome

    def sent(self) -> list[str]:
        """The archives that were sent since it was last asked."""
        lines = self._log.read_text().split() if self._log.exists() else []
        self._log.write_text("")
        return [line for line in lines if line.endswith(".tar")]


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


@pytest.fixture
def archive(tmp_path: Path) -> str:
    (tmp_path / "content").mkdir()
    (tmp_path / "content/release").write_text("1.0")
    subprocess.run(
        ["tar", "-C", str(tmp_path / "content"), "-cf", str(tmp_path / "golden.tar"), "."], check=True, timeout=60
    )
    return str(tmp_path / "golden.tar")


@pytest.mark.parametrize("staging", ["", "staging"])
def test_an_archive_is_sent_once_and_only_where_it_is_needed(
    staging: str, server: Server, archive: str, tmp_path: Path
) -> None:
    options = {}
    if staging:
        (tmp_path / staging).mkdir()
        options["storage_directory_staging_dir"] = str(tmp_path / staging)
    one, two = ({"name": name, "archive": archive} for name in ("one", "two"))
    assert server.create(one, two, {"name": "empty"}, check=True, **options).changed
    assert server.sent() == [], "check mode sends nothing"
    made = server.create(one, two, {"name": "empty"}, **options)
    assert [item["changed"] for item in made.items] == [True, True, True]
    assert server.sent() == [archive]
    assert [(server.location / name / "release").read_text() for name in ("one", "two")] == ["1.0", "1.0"]
    assert not server.create(one, two, **options).changed
    assert server.sent() == [], "nothing is missing"
    assert sorted(entry.name for entry in server.location.iterdir()) == ["empty", "one", "two"]
    assert not staging or list((tmp_path / staging).iterdir()) == []


def test_copies_are_removed_when_the_volume_fails(server: Server, tmp_path: Path) -> None:
    dangling = tmp_path / "dangling.tar"
    with tarfile.open(dangling, "w") as content:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.LNKTYPE, "nowhere"
        content.addfile(link)
    assert "hard link" in server.create({"name": "one", "archive": str(dangling)}).failed
    assert server.sent() == [str(dangling)]
    assert list(server.location.iterdir()) == []


@pytest.mark.parametrize("check", [False, True], ids=["real", "check"])
def test_a_broken_archive_is_not_sent(check: bool, server: Server, tmp_path: Path) -> None:
    broken = tmp_path / "broken.tar"
    broken.write_text("no archive")
    assert (
        "does not look like a tar archive" in server.create({"name": "one", "archive": str(broken)}, check=check).failed
    )
    assert server.sent() == []
    assert list(server.location.iterdir()) == []


def test_a_bad_volume_is_found_before_anything_is_sent(server: Server, archive: str) -> None:
    outcome = server.create({"name": "one", "archive": archive}, {"name": "a b"})
    assert "not a volume name" in outcome.failed
    assert server.sent() == []


def test_an_archive_that_is_not_there_is_named(server: Server) -> None:
    outcome = server.create({"name": "one", "archive": "/nowhere/golden.tar"})
    assert outcome.failed == "The archive /nowhere/golden.tar does not exist on the controller."


@pytest.fixture
def small(server: Server) -> Iterator[Server]:
    """The server with a location on a file system of 16 MiB."""
    place = str(server.location)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", place], check=True, timeout=60)
    try:
        yield server
    finally:
        subprocess.run(["umount", place], check=True, timeout=60)


@pytest.mark.parametrize("check", [False, True], ids=["real", "check"])
def test_what_is_in_a_small_archive_must_fit_too(check: bool, small: Server, tmp_path: Path) -> None:
    (tmp_path / "content").mkdir()
    (tmp_path / "content/zeros").write_bytes(bytes(20 << 20))
    archive = tmp_path / "zeros.tar"
    argv = ["tar", "--zstd", "-C", str(tmp_path / "content"), "-cf", str(archive), "."]
    subprocess.run(argv, check=True, timeout=60)
    assert "Volume one needs 21 MiB" in small.create({"name": "one", "archive": str(archive)}, check=check).failed
    assert small.sent() == []
    assert list(small.location.iterdir()) == []
