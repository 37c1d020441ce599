"""Shelves for tests: published by the library, signed by ssh-keygen, served by a web server that can fail."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml
from openqrm.shelf.publishing import described, publish


def make_key(path: Path) -> str:
    """Makes an SSH key; the public key."""
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "shelf", "-f", str(path)]
    subprocess.run(words, check=True, timeout=60)
    return path.with_suffix(".pub").read_text(encoding="utf-8").strip()


def make_shelf(directory: Path, key: Path | None, *rows: Mapping[str, str]) -> Path:
    """A shelf with a template of each row, whose file must be there; its directory."""
    usual = {"distribution": "debian", "architecture": "x86_64", "description": "A web server"}
    templates = [{**usual, **row} for row in rows]
    (directory / "templates.yml").write_text(yaml.safe_dump({"templates": templates}))
    publish(directory, described(directory), key)
    return directory


@dataclass
class Server:
    """A web server. `asked`: the request's path and range; `breaks_after`: bytes of an answer, for so many answers."""

    url: str = ""
    ranges: bool = True
    breaks: int = 0
    breaks_after: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)


class Handler(SimpleHTTPRequestHandler):
    """Serves a directory, with ranges."""

    def __init__(self, server: Server, *args: object, directory: str) -> None:
        self.state = server
        super().__init__(*args, directory=directory)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answers as the server is told to."""
        state, wanted = self.state, self.headers.get("Range", "")
        state.asked.append((self.path, wanted))
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        match = re.fullmatch(r"bytes=(\d+)-", wanted) if state.ranges else None
        begin = int(match[1]) if match else 0
        self.send_response(206 if match else 200)
        if match:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        content = content[begin:]
        if path.suffix == ".zst" and state.breaks:
            state.breaks -= 1
            content = content[: state.breaks_after]
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Says nothing."""


@contextmanager
def served(directory: Path) -> Iterator[Server]:
    """A web server of the directory on this machine."""
    state = Server()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, state, directory=str(directory))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
