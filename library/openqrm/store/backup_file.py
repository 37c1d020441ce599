"""The file of a backup: gzip of JSON lines, written whole or not at all, and read only if its digest is right.

The first line is the header (`format`, `version`, `schema`, `created`); then for each table a line with its name and
columns and one line per row; the last line has the SHA-256 of all lines before it.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import itertools
import json
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from openqrm.errors import ConflictError, InvalidValueError, OpenqrmError

FORMAT, VERSION = "openqrm store backup", 1
BATCH = 1000
Line = dict[str, Any] | list[Any]


@dataclass(frozen=True)
class Batch:
    """Some rows of a table, as lists in the order of `columns`."""

    table: str
    columns: list[str]
    rows: list[list[Any]]


@contextlib.contextmanager
def new_file(path: Path, *, replace: bool) -> Iterator[Callable[[Line], None]]:
    """Gives the function that adds a line. The file appears at the end, with mode 0600, or not at all.

    Raises: ConflictError where there is one already and `replace` is not set; InvalidValueError for what is no file,
    as a device; OpenqrmError when it cannot be written.
    """
    _refuse_taken(path, replace=replace)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix="~", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                yield from _lines_into(stream)
                stream.flush()
                os.fsync(stream.fileno())
            _give_name(Path(name), path, replace=replace)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error


@contextlib.contextmanager
def no_file(path: Path, *, replace: bool) -> Iterator[Callable[[Line], None]]:
    """As `new_file`, but nothing is written. Raises as that, as far as it can be known before."""
    _refuse_taken(path, replace=replace)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise _unwritable(path, os.strerror(errno.EACCES if path.parent.is_dir() else errno.ENOENT))
    yield lambda _line: None


def _refuse_taken(path: Path, *, replace: bool) -> None:
    if path.exists() and not replace:
        raise _exists(path)
    if path.exists() and not path.is_file():
        raise InvalidValueError(f"{path} is no file that a backup could replace.", remedy="Choose another name.")


def _unwritable(path: Path, why: str) -> OpenqrmError:
    return OpenqrmError(
        f"Backup {path} cannot be written: {why}.",
        remedy="Check the directory, its permissions and the space on its disk; nothing was left there.",
    )


def _lines_into(stream: IO[bytes]) -> Iterator[Callable[[Line], None]]:
    digest = hashlib.sha256()
    with gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as packed:

        def add(line: Line) -> None:
            data = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            digest.update(data)
            packed.write(data)

        yield add
        packed.write(json.dumps({"sha256": digest.hexdigest()}).encode() + b"\n")


def _give_name(temporary: Path, path: Path, *, replace: bool) -> None:
    if replace:
        temporary.replace(path)
    else:
        try:
            os.link(temporary, path)  # unlike a rename, this never takes the place of a file
        except FileExistsError:
            raise _exists(path) from None
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exists(path: Path) -> ConflictError:
    return ConflictError(f"Backup {path} exists already.", remedy="Choose another name, or say --replace.")


class BackupFile:
    """A backup that is whole: `header`, and its rows in batches. Use `opened`."""

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        self.path = path
        self._stream = stream
        self.header = self._verified()

    def batches(self) -> Iterator[Batch]:
        """The rows, table by table in the order in which they were written. Raises: InvalidValueError."""
        table = ""
        columns: list[str] = []
        for is_row, lines in itertools.groupby(self._lines(), key=lambda line: isinstance(line, list)):
            if is_row:
                rows: Iterator[Any] = iter(lines)
                while batch := list(itertools.islice(rows, BATCH)):
                    yield Batch(table, columns, batch)
                continue
            for line in lines:
                if not isinstance(line, dict) or not {"table", "columns"} <= line.keys():
                    raise self.broken("a line of it is neither a row nor a table")
                table, columns = str(line["table"]), list(line["columns"])

    def _lines(self) -> Iterator[Line]:
        """The lines between header and digest."""
        self._stream.seek(0)
        with gzip.GzipFile(fileobj=self._stream) as unpacked:
            lines = (self._line(data) for data in unpacked)
            next(lines)
            for line, following in itertools.pairwise(lines):
                del following  # the last line, the digest, is never first of a pair
                yield line

    def _line(self, data: bytes) -> Line:
        try:
            line: Line = json.loads(data)
        except ValueError as error:
            raise self.broken(str(error)) from error
        return line

    def _verified(self) -> dict[str, Any]:
        digest, last, header = hashlib.sha256(), b"", None
        try:
            with gzip.GzipFile(fileobj=self._stream) as unpacked:
                for data in unpacked:
                    header = json.loads(data) if header is None else header
                    digest.update(last)
                    last = data
            found = json.loads(last)
        except (OSError, EOFError, zlib.error, ValueError) as error:
            raise self.broken(str(error)) from error
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise self.broken("it does not begin as a backup does")
        if header.get("version") != VERSION:
            raise self.broken(f"its format is {header.get('version')}, this openQRM reads {VERSION}")
        if not {"schema", "created"} <= header.keys():
            raise self.broken("it does not say its schema and its time")
        if not isinstance(found, dict) or found.get("sha256") != digest.hexdigest():
            raise self.broken("its content does not have the SHA-256 that it was written with")
        return header

    def broken(self, why: str) -> InvalidValueError:
        """The error for a file that cannot be restored."""
        return InvalidValueError(
            f"{self.path} is no whole backup of a store: {why}.", remedy="Use another backup; nothing was changed."
        )


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BackupFile]:
    """The backup, once its digest was found right. Raises: InvalidValueError; OpenqrmError when it cannot be read."""
    try:
        stream = path.open("rb")
    except OSError as error:
        raise OpenqrmError(
            f"Backup {path} cannot be read: {error.strerror}.", remedy="Check the path and its permissions."
        ) from error
    with stream:
        yield BackupFile(path, stream)
