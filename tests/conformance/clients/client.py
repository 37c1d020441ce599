"""What the suite's clients share: their command line, `CLIENT read|write|hold REQUEST` (docs/conformance.md)."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

# Where the text is in a block volume, and how many bytes it takes in any.
OFFSET, TEXT_BYTES = 2 << 20, 512
POLL_S = 0.2
Request = dict[str, Any]


class Volume(Protocol):
    """A volume in one session. Both raise OSError where the server refuses it or does not answer."""

    def read(self) -> bytes:
        """The TEXT_BYTES of the text, fewer where a filesystem has none yet."""

    def write(self, data: bytes) -> None:
        """Have these TEXT_BYTES written on the server."""


Opener = Callable[[Request], AbstractContextManager[Volume]]


def main(opened: Opener) -> None:
    """Do what the command line asks for. The exit code is 0 where the server let the client do it."""
    action, path = sys.argv[1:]
    request: Request = json.loads(Path(path).read_text(encoding="utf-8"))
    signal.alarm(request["limit_s"])  # ends the process, whatever it waits for
    deadline = time.monotonic() + request["patience_s"]
    while True:
        try:
            with opened(request) as volume:
                ACTIONS[action](volume, request)
            return
        except OSError as error:
            if time.monotonic() >= deadline:
                sys.exit(f"refused: {error}")
            time.sleep(POLL_S)


def read(volume: Volume, _request: Request) -> None:
    """Print the text."""
    print(volume.read().rstrip(b"\0").decode(), end="")


def write(volume: Volume, request: Request) -> None:
    """Write the text of the request."""
    volume.write(padded(request["text"]))


def hold(volume: Volume, _request: Request) -> None:
    """Write growing numbers in one session, and print each when it is written, until the server takes no more."""
    number = 0
    while True:
        number += 1
        try:
            volume.write(padded(str(number)))
        except OSError as error:
            if number == 1:
                raise
            sys.exit(f"ended: {error}")
        print(number, flush=True)
        time.sleep(POLL_S)


ACTIONS: dict[str, Callable[[Volume, Request], None]] = {"read": read, "write": write, "hold": hold}


def padded(text: str) -> bytes:
    """The text with what fills it up."""
    return text.encode().ljust(TEXT_BYTES, b"\0")
