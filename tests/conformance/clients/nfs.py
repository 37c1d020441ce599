"""A client of NFSv4 that needs no kernel's: libnfs."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator

from tests.conformance.clients.client import TEXT_BYTES, Request, main

LIBRARY = "libnfs.so.13"
NAME = b"/conformance"
TIMEOUT_MS = 5000


class NfsVolume:
    """A directory, which is mounted; the file stays open between writes, as those of a system do."""

    def __init__(self, library: ctypes.CDLL, context: ctypes.c_void_p) -> None:
        self._nfs, self._context = library, context
        for function in (library.nfs_pread, library.nfs_pwrite):  # numbers of 64 bits
            function.argtypes = [*[ctypes.c_void_p] * 2, *[ctypes.c_uint64] * 2, ctypes.c_char_p]
        self._open = ctypes.c_void_p()

    def read(self) -> bytes:
        handle = ctypes.c_void_p()
        found = self._nfs.nfs_open(self._context, NAME, os.O_RDONLY, ctypes.byref(handle))
        if found == -errno.ENOENT:
            return b""
        self.checked(found)
        data = ctypes.create_string_buffer(TEXT_BYTES)
        count = self.checked(self._nfs.nfs_pread(self._context, handle, 0, TEXT_BYTES, data))
        return data.raw[:count]

    def write(self, data: bytes) -> None:
        if not self._open:
            opened = self._nfs.nfs_open(self._context, NAME, os.O_RDWR, ctypes.byref(self._open))
            if opened == -errno.ENOENT:
                opened = self._nfs.nfs_creat(self._context, NAME, 0o644, ctypes.byref(self._open))
            self.checked(opened)
        self.checked(self._nfs.nfs_pwrite(self._context, self._open, 0, len(data), data))
        self.checked(self._nfs.nfs_fsync(self._context, self._open))

    def checked(self, code: int) -> int:
        """What a function of the library returned; a negative number is an error of errno(3)."""
        if code < 0:
            raise OSError(-code, (self._nfs.nfs_get_error(self._context) or b"").decode())
        return code


@contextlib.contextmanager
def opened(request: Request) -> Iterator[NfsVolume]:
    """The directory of `source`, mounted as the address of this machine."""
    library = ctypes.CDLL(LIBRARY)
    library.nfs_init_context.restype = ctypes.c_void_p
    library.nfs_get_error.restype = ctypes.c_char_p
    context = ctypes.c_void_p(library.nfs_init_context())
    server, _, path = request["parameters"]["source"].partition(":")
    library.nfs_set_version(context, 4)
    library.nfs_set_autoreconnect(context, 0)
    library.nfs_set_timeout(context, TIMEOUT_MS)
    volume = NfsVolume(library, context)
    volume.checked(library.nfs_mount(context, server.encode(), path.encode()))
    yield volume
    # The state on the server ends with the process: this library has no call to give it back.


if __name__ == "__main__":
    main(opened)
