"""Shelves: publication, signatures, choice, and archives over HTTP connections that break."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from openqrm.errors import ConflictError, InvalidValueError, NotFoundError, OpenqrmError
from openqrm.shelf import reading
from openqrm.shelf.index import choose, parse_index
from openqrm.shelf.publishing import described, publish
from openqrm.shelf.reading import Shelf, fetch, read_index

from tests.support.shelves import Server, make_key, make_shelf, served

CONTENT = os.urandom(3 << 20)
ROW = {"name": "web", "version": "1.0", "file": "web-1.0.tar.zst"}


@pytest.fixture
def key(tmp_path: Path) -> str:
    return make_key(tmp_path / "key")


@pytest.fixture
def directory(tmp_path: Path, key: str) -> Path:
    assert key
    path = tmp_path / "shelf"
    path.mkdir()
    (path / "web-1.0.tar.zst").write_bytes(CONTENT)
    return make_shelf(path, tmp_path / "key", ROW)


@pytest.fixture
def server(directory: Path) -> Iterator[Server]:
    with served(directory) as state:
        yield state


def said(_done: int, _total: int) -> None:
    """Takes progress."""


@pytest.mark.parametrize("place", ["directory", "server"])
def test_a_signed_shelf_gives_its_templates(
    place: str, directory: Path, server: Server, key: str, tmp_path: Path
) -> None:
    shelf = Shelf("main", str(directory) if place == "directory" else server.url, (key,))
    (template,) = read_index(shelf)
    assert (template.name, template.version, template.size) == ("web", "1.0", len(CONTENT))
    assert template.sha256 == hashlib.sha256(CONTENT).hexdigest()
    progress: list[tuple[int, int]] = []
    path, fetched = fetch(shelf, template, tmp_path / "cache", lambda done, total: progress.append((done, total)))
    assert (path.read_bytes() == CONTENT, fetched, path.name) == (True, True, f"shelf-{template.sha256}.tar.zst")
    assert progress[-1] == (len(CONTENT), len(CONTENT))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    asked = len(server.asked)
    assert fetch(shelf, template, tmp_path / "cache", said) == (path, False)
    assert len(server.asked) == asked, "what is there is not fetched again"


def test_an_archive_that_was_damaged_in_the_cache_is_fetched_again(directory: Path, key: str, tmp_path: Path) -> None:
    shelf = Shelf("main", str(directory), (key,))
    path, _ = fetch(shelf, read_index(shelf)[0], tmp_path / "cache", said)
    path.write_bytes(CONTENT[:-1] + b"x")
    assert fetch(shelf, read_index(shelf)[0], tmp_path / "cache", said) == (path, True)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(("ranges", "asked"), [(True, "bytes=1000000-"), (False, "bytes=1000000-")])
def test_a_fetch_goes_on_where_it_broke(server: Server, key: str, tmp_path: Path, ranges: bool, asked: str) -> None:
    shelf = Shelf("main", server.url, (key,))
    (template,) = read_index(shelf)
    server.ranges, server.breaks, server.breaks_after = ranges, 1, 1_000_000
    path, _ = fetch(shelf, template, tmp_path / "cache", said)
    assert path.read_bytes() == CONTENT
    assert [wanted for name, wanted in server.asked if name.endswith(".zst")] == ["", asked]


def test_a_fetch_that_was_killed_goes_on_with_the_next(server: Server, key: str, tmp_path: Path) -> None:
    shelf = Shelf("main", server.url, (key,))
    (template,) = read_index(shelf)
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / f".shelf-{template.sha256}.tar.zst.part").write_bytes(CONTENT[:2_000_000])
    assert fetch(shelf, template, cache, said)[0].read_bytes() == CONTENT
    assert server.asked[-1] == ("/web-1.0.tar.zst", "bytes=2000000-")


def test_a_server_that_gives_nothing_more_is_given_up(server: Server, key: str, tmp_path: Path) -> None:
    shelf = Shelf("main", server.url, (key,))
    (template,) = read_index(shelf)
    server.breaks, server.breaks_after = 9, 0
    with pytest.raises(OpenqrmError, match="cannot be read"):
        fetch(shelf, template, tmp_path / "cache", said)


@pytest.mark.parametrize(
    "change", [lambda text: text[:-1] + b"x", lambda text: text + b"more"], ids=["other", "longer"]
)
def test_an_archive_with_another_digest_is_refused(directory: Path, key: str, tmp_path: Path, change: object) -> None:
    assert callable(change)
    shelf = Shelf("main", str(directory), (key,))
    (directory / "web-1.0.tar.zst").write_bytes(change(CONTENT))
    with pytest.raises(InvalidValueError, match=r"has SHA-256|longer than the index says"):
        fetch(shelf, read_index(shelf)[0], tmp_path / "cache", said)
    assert not [path for path in (tmp_path / "cache").iterdir() if not path.name.startswith(".")]


def test_two_processes_do_not_fetch_the_same(directory: Path, key: str, tmp_path: Path) -> None:
    shelf = Shelf("main", str(directory), (key,))
    (template,) = read_index(shelf)
    cache = tmp_path / "cache"
    cache.mkdir()
    with (cache / f".shelf-{template.sha256}.tar.zst.part").open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(ConflictError, match="is being fetched by another process"):
            fetch(shelf, template, cache, said)


def test_what_is_not_signed_by_its_key_is_refused(directory: Path, key: str, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other")
    with pytest.raises(InvalidValueError, match="is not signed by a key of this shelf"):
        read_index(Shelf("main", str(directory), (other,)))
    assert read_index(Shelf("main", str(directory), (other, key))), "one of several keys is enough"
    index = directory / "index.json"
    index.write_bytes(index.read_bytes().replace(b"A web server", b"A bad server"))
    with pytest.raises(InvalidValueError, match="is not signed by a key of this shelf"):
        read_index(Shelf("main", str(directory), (key,)))
    assert read_index(Shelf("main", str(directory), unsigned=True))[0].description == "A bad server"


@pytest.mark.parametrize("place", ["directory", "server"])
def test_an_unsigned_shelf_is_refused_unless_it_is_known_as_one(
    directory: Path, server: Server, key: str, place: str
) -> None:
    publish(directory, described(directory), None)
    url = str(directory) if place == "directory" else server.url
    with pytest.raises(InvalidValueError, match="Shelf main is not signed: there is no"):
        read_index(Shelf("main", url, (key,)))
    assert len(read_index(Shelf("main", url, unsigned=True))) == 1


def test_a_shelf_that_is_published_between_two_reads_is_read_again(
    directory: Path, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []

    def small(shelf: Shelf, name: str) -> bytes:
        if name == reading.SIGNATURE and not reads:
            reads.append(name)
            make_shelf(directory, tmp_path / "key", ROW | {"description": "new"})
        return Path(shelf.url, name).read_bytes()

    monkeypatch.setattr(reading, "_small", small)
    assert read_index(Shelf("main", str(directory), (key,)))[0].description == "new"


def test_choice(directory: Path, tmp_path: Path, key: str) -> None:
    rows = [ROW, ROW | {"version": "1.1"}, ROW | {"version": "2.0", "architecture": "aarch64"}]
    make_shelf(directory, tmp_path / "key", *rows)
    found = read_index(Shelf("main", str(directory), (key,)))
    assert choose("Shelf main", found, "web", "", "x86_64").version == "1.1", "the one that is listed last"
    assert choose("Shelf main", found, "web", "1.0", "x86_64").version == "1.0"
    for arguments in (("wbe", "", "x86_64"), ("web", "3", "x86_64"), ("web", "", "riscv64")):
        with pytest.raises(NotFoundError, match="Shelf main: template"):
            choose("Shelf main", found, *arguments)


BAD: dict[str, dict[str, object]] = {
    "name": {"name": "../x"},
    "version": {"version": ""},
    "parent": {"url": "../web.tar.zst"},
    "absolute": {"url": "/etc/web.tar"},
    "address": {"url": "http://elsewhere/web.tar"},
    "no archive": {"url": "web.iso"},
    "size": {"size": 0},
    "text size": {"size": "1"},
    "digest": {"sha256": "A" * 64},
    "architecture": {"architecture": "x86 64"},
}


@pytest.mark.parametrize("case", BAD)
def test_a_template_that_cannot_be_is_refused(case: str) -> None:
    good = {"name": "web", "version": "1", "distribution": "debian", "architecture": "x86_64", "url": "a/web.tar.zst"}
    row = {**good, "size": 1, "sha256": "a" * 64, "added later": 1}
    assert parse_index("Shelf x", json.dumps({"format": 1, "templates": [row]}).encode())[0].suffix == ".tar.zst"
    with pytest.raises(InvalidValueError, match="Shelf x: template"):
        parse_index("Shelf x", json.dumps({"format": 1, "templates": [row | BAD[case]]}).encode())


@pytest.mark.parametrize("text", [b"", b"[]", b'{"format": 2, "templates": []}', b'{"format": 1}', b"\xff"])
def test_an_index_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidValueError, match="Shelf x: its index"):
        parse_index("Shelf x", text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "does not describe templates"),
        ("templates: [{name: web, version: 1}]", "template web: url None is not valid"),
        ("templates: [{name: web, version: '1', distribution: d, architecture: a, file: no.tar}]", "there is no"),
    ],
)
def test_a_description_that_is_wrong_is_not_published(directory: Path, text: str, message: str) -> None:
    (directory / "templates.yml").write_text(text)
    with pytest.raises(InvalidValueError, match=message):
        described(directory)
    (directory / "templates.yml").unlink()
    with pytest.raises(InvalidValueError, match="does not describe templates"):
        described(directory)


def test_a_key_that_cannot_sign_leaves_the_shelf_as_it_is(directory: Path, key: str, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    (tmp_path / "broken").write_text("no key\n")
    with pytest.raises(OpenqrmError, match="The index cannot be signed"):
        publish(directory, described(directory), tmp_path / "broken")
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    assert key
