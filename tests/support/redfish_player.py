"""Plays BMCs back: a small HTTPS server that answers as a recorded BMC does, and refuses what that one refuses."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PASSWORD = "correct horse"  # noqa: S105
BASIC = "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()


@dataclass
class Recorded:
    """A BMC: its resources by path, what it demands of requests (see tests/unit/plugins/bmcs), what it was asked."""

    resources: dict[str, dict[str, Any]]
    demands: dict[str, Any]
    address: str = ""
    changes: list[tuple[str, str, Any, str]] = field(default_factory=list)
    gets: list[str] = field(default_factory=list)
    busy: int = 0

    @property
    def system(self) -> dict[str, Any]:
        """Its only system."""
        return next(item for item in self.resources.values() if "PowerState" in item)

    def patch(self, resource: dict[str, Any], body: dict[str, Any], if_match: str) -> tuple[int, str]:
        """Change a resource; return status and message."""
        wanted = self.demands.get("if_match")
        if wanted and if_match != wanted:
            missing = "The request did not provide the required precondition, such as an If-Match header."
            return (412, "The If-Match precondition failed.") if if_match else (428, missing)
        if "MediaTypes" in resource:
            return self.insert(resource, body)
        boot = body.get("Boot", {})
        for key in self.demands.get("refused_boot_keys", []):
            if key in boot:
                return 400, f"The property {key} is a read only property and cannot be assigned a value."
        for key in self.demands.get("needed_boot_keys", []):
            if key not in boot:
                boot = {**boot, key: "Legacy"}
        resource["Boot"] = resource["Boot"] | boot | self.demands.get("forgets", {})
        return 200, ""

    def insert(self, drive: dict[str, Any], body: dict[str, Any]) -> tuple[int, str]:
        """Insert an image, or eject it; return status and message."""
        needed = self.demands.get("needed_media_keys", []) if body.get("Image") else []
        for key in [key for key in self.demands.get("refused_media_keys", []) if key in body]:
            return 400, f"The action VirtualMedia.InsertMedia was submitted with the invalid parameter {key}."
        for key in [key for key in needed if key not in body]:
            return 400, f"The action VirtualMedia.InsertMedia requires the parameter {key} to be present."
        if body.get("Image") and drive["Inserted"]:
            return 400, "Virtual Media is already connected."
        drive |= {"Inserted": bool(body.get("Image")), "Image": body.get("Image")}
        return 204, ""

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, str]:
        """Reset the system, or insert or eject an image; return status and message."""
        drive, _, action = path.partition("Actions/VirtualMedia.")
        if action:
            return self.insert(self.resources.get(drive) or self.resources[drive.rstrip("/")], body)
        kind = body["ResetType"]
        offered = self.demands.get("reset_types")
        if offered and kind not in offered:
            return 400, f"The value {kind} for the property ResetType is not in the list of acceptable values."
        self.system["PowerState"] = "Off" if kind == "ForceOff" else "On"
        return 204, ""


class Player(ThreadingHTTPServer):
    """The server of one BMC."""

    daemon_threads = True
    bmc: Recorded


class Handler(BaseHTTPRequestHandler):
    """Answers requests for the BMC of its server."""

    protocol_version = "HTTP/1.1"
    server: Player

    def do_GET(self) -> None:
        bmc = self.server.bmc
        bmc.gets.append(self.path)
        if bmc.busy:
            bmc.busy -= 1
            return self.fail(503, "The service is temporarily unavailable.")
        if self.headers.get("Authorization") != BASIC:
            return self.fail(401, "There is no valid session established with the implementation.")
        if self.path not in bmc.resources and f"{self.path}/" in bmc.resources:
            return self.answer(308, {}, [("Location", f"{self.path}/")])
        if self.path not in bmc.resources:
            return self.fail(404, f"The resource at the URI {self.path} was not found.")
        return self.answer(200, bmc.resources[self.path])

    def do_PATCH(self) -> None:
        bmc = self.server.bmc
        self.change(lambda body: bmc.patch(bmc.resources[self.path], body, self.headers.get("If-Match", "")))

    def do_POST(self) -> None:
        self.change(lambda body: self.server.bmc.post(self.path, body))

    def change(self, work: Any) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bmc.changes.append((self.command, self.path, body, self.headers.get("If-Match", "")))
        status, message = work(body)
        self.fail(status, message) if message else self.answer(status, {})

    def fail(self, status: int, message: str) -> None:
        details = [{"MessageId": "Base.1.8.Recorded", "Message": message}]
        self.answer(status, {"error": {"code": "Base.1.8.GeneralError", "@Message.ExtendedInfo": details}})

    def answer(self, status: int, body: dict[str, Any], headers: list[tuple[str, str]] | None = None) -> None:
        data = b"" if status == 204 else json.dumps(body).encode()
        self.send_response(status)
        for name, value in [*(headers or []), ("Content-Type", "application/json")]:
            self.send_header(name, value)
        if etag := body.get("@odata.etag"):
            self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def playing(recording: Path, certificate: Path) -> Iterator[Recorded]:
    """The recorded BMC, on a free port of the loopback interface until the block ends."""
    data = json.loads(recording.read_text(encoding="utf-8"))
    bmc = Recorded(data["resources"], data["demands"])
    server = Player(("127.0.0.1", 0), Handler)
    server.bmc = bmc
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    bmc.address = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield bmc
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def make_certificate(path: Path) -> Path:
    """Write a certificate for 127.0.0.1 with its key into one file."""
    subject = ["-days", "3", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    argv = ["openssl", "req", *kind, "-keyout", str(path), "-out", f"{path}.crt", *subject]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    with path.open("a") as file:
        file.write(Path(f"{path}.crt").read_text())
    return path
