"""A client of `deployment_fake`: it obeys the grants in the fake's file, and finds volumes on this machine."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from tests.conformance.clients.client import Request, main


class FakeVolume:
    """A directory; each access looks at the grant anew, as a server does."""

    def __init__(self, state: Path, address: str, path: str) -> None:
        self._state, self._key, self._file = state, f"{path} {address}", Path(path, "conformance")
        self.granted()

    def read(self) -> bytes:
        self.granted()
        return self._file.read_bytes() if self._file.exists() else b""

    def write(self, data: bytes) -> None:
        if self.granted()["read_only"]:
            raise PermissionError("the grant is read-only")
        self._file.write_bytes(data)

    def granted(self) -> dict[str, object]:
        """The grant. Raises: PermissionError where there is none."""
        grants = json.loads(self._state.read_text(encoding="utf-8"))["objects"] if self._state.exists() else {}
        if self._key not in grants:
            raise PermissionError("there is no such grant")
        return dict(grants[self._key])


@contextlib.contextmanager
def opened(request: Request) -> Iterator[FakeVolume]:
    """The directory of `source`, as the client of the request."""
    state = Path(request["variables"]["fake_state_dir"], "deployment.localhost.json")
    yield FakeVolume(state, request["client"]["address"], request["parameters"]["source"].partition(":")[2])


if __name__ == "__main__":
    main(opened)
