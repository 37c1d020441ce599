"""What is read of a shelf: its verified index, and archives, which arrive with the right digest or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from openqrm.errors import ConflictError, InvalidValueError, OpenqrmError
from openqrm.shelf.index import Template, parse_index
from openqrm.shelf.signature import verify

INDEX, SIGNATURE = "index.json", "index.json.sig"
LARGEST_INDEX = 16 << 20
BLOCK = 1 << 20
SILENCE_S = 30
# Connections that may break before a download is given up, as long as each brought something.
BREAKS = 20
PREFIX = "shelf-"


@dataclass(frozen=True)
class Shelf:
    """A shelf that is known. `url`: http(s), or an absolute path; `keys`: public SSH keys, none only if `unsigned`."""

    name: str
    url: str
    keys: Sequence[str] = ()
    unsigned: bool = False

    @property
    def label(self) -> str:
        """As messages name it."""
        return f"Shelf {self.name}"


# Called with the bytes that are there and the bytes of all.
Progress = Callable[[int, int], None]


def read_index(shelf: Shelf) -> list[Template]:
    """The templates of a shelf, whose signature was checked unless it is known as unsigned.

    Raises: InvalidValueError for a wrong signature or index, OpenqrmError where it cannot be read.
    """
    for last in (False, True):
        text = _small(shelf, INDEX)
        if shelf.unsigned:
            break
        try:
            verify(shelf.label, text, _small(shelf, SIGNATURE), shelf.keys)
            break
        except InvalidValueError:  # maybe it was published between the two
            if last:
                raise
    return parse_index(shelf.label, text)


def path_of(template: Template, directory: Path) -> Path:
    """Where the template's archive is, once it was fetched."""
    return directory / f"{PREFIX}{template.sha256}{template.suffix}"


def fetch(shelf: Shelf, template: Template, directory: Path, progress: Progress) -> tuple[Path, bool]:
    """The path of the template's archive in the directory, and whether it had to be fetched; its digest was checked.

    What a broken or killed fetch left is gone on with.

    Raises: InvalidValueError for a wrong digest, ConflictError while another process fetches it, OpenqrmError where it
    cannot be read.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = path_of(template, directory)
    if path.is_file() and _digest(path) == template.sha256:
        return path, False
    part = directory / f".{path.name}.part"
    with _only_here(part) as stream:
        _complete(shelf, template, stream, progress)
        stream.flush()
        os.fsync(stream.fileno())
        if (found := _digest(part)) != template.sha256:
            part.unlink()
            raise InvalidValueError(
                f"{shelf.label}: the archive {template.url} has SHA-256 {found}, not {template.sha256}.",
                remedy="Try again; if it stays so, ask the shelf's publisher.",
            )
        part.rename(path)
    return path, True


@contextmanager
def _only_here(part: Path) -> Iterator[BinaryIO]:
    with part.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConflictError(
                f"{part} is being fetched by another process.", remedy="Wait until it is done."
            ) from None
        yield stream


def _complete(shelf: Shelf, template: Template, stream: BinaryIO, progress: Progress) -> None:
    """Append to the stream what is missing of the archive."""
    there, breaks = stream.tell(), 0
    if there > template.size:
        there = stream.truncate(0)
    while there < template.size:
        before = there
        try:
            with _opened(shelf, template.url, there) as (source, begin):
                there = stream.truncate(begin)
                for block in iter(lambda: source.read(BLOCK), b""):
                    there += len(block)
                    if there > template.size:
                        raise InvalidValueError(
                            f"{shelf.label}: the archive {template.url} is longer than the index says.",
                            remedy="Ask the shelf's publisher to publish it again.",
                        )
                    stream.write(block)
                    progress(there, template.size)
        except (OSError, http.client.HTTPException) as error:
            breaks += 1
            if breaks > BREAKS or there <= before:
                raise _unreadable(shelf, template.url, error) from error
            continue
        if there < template.size and there <= before:
            raise _unreadable(shelf, template.url, f"it ends after {there} of {template.size} bytes")


@contextmanager
def _opened(shelf: Shelf, name: str, offset: int = 0) -> Iterator[tuple[BinaryIO, int]]:
    """A stream of the file, and at which byte of it the stream begins: `offset`, or 0 where the server sends all."""
    if shelf.url.startswith("/"):
        with Path(shelf.url, name).open("rb") as stream:
            yield stream, stream.seek(offset)
        return
    headers = {"User-Agent": "openqrm"} | ({"Range": f"bytes={offset}-"} if offset else {})
    request = urllib.request.Request(f"{shelf.url.rstrip('/')}/{name}", headers=headers)  # noqa: S310 - http(s), checked
    with urllib.request.urlopen(request, timeout=SILENCE_S) as answer:  # noqa: S310
        yield answer, _begin(answer.status, answer.headers, offset)


def _begin(status: int, headers: Mapping[str, str], offset: int) -> int:
    goes_on = status == 206 and str(headers.get("Content-Range", "")).startswith(f"bytes {offset}-")
    return offset if goes_on else 0


def _small(shelf: Shelf, name: str) -> bytes:
    try:
        with _opened(shelf, name) as (stream, _):
            text = stream.read(LARGEST_INDEX + 1)
    except (OSError, http.client.HTTPException) as error:
        raise _unreadable(shelf, name, error) from error
    if len(text) > LARGEST_INDEX:
        raise InvalidValueError(
            f"{shelf.label}: {name} has more than {LARGEST_INDEX >> 20} MiB.", remedy="Correct its URL."
        )
    return text


def _unreadable(shelf: Shelf, name: str, why: object) -> OpenqrmError:
    if name == SIGNATURE and (isinstance(why, FileNotFoundError) or getattr(why, "code", 0) == 404):
        return InvalidValueError(
            f"{shelf.label} is not signed: there is no {shelf.url}/{SIGNATURE}.",
            remedy="Ask its publisher for a signature; `openqrm shelf add ... --unsigned` does without.",
        )
    return OpenqrmError(
        f"{shelf.label}: {shelf.url}/{name} cannot be read: {why}.", remedy="Correct its URL, or try again."
    )


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
