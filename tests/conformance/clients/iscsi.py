"""An iSCSI initiator that needs no kernel's: libiscsi."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

from tests.conformance.clients.client import OFFSET, TEXT_BYTES, Request, main

LIBRARY = "libiscsi.so.7"
NORMAL_SESSION, CRC32C_OR_NONE, NONE = 2, 1, 0
BLOCK = OFFSET // TEXT_BYTES
# LIO's disk is unit 0, tgt's 1. The first answers of a unit may be what happened to it before.
UNITS, NO_UNIT, TRIES = (0, 1), -1, 3
TIMEOUT_S = 10


class Piece(ctypes.Structure):
    """`struct scsi_iovec`."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class IscsiVolume:
    """The only disk of a target, logged in to."""

    def __init__(self, library: ctypes.CDLL, context: ctypes.c_void_p, unit: int) -> None:
        self._iscsi, self._context, self._unit = library, context, unit

    def read(self) -> bytes:
        data = ctypes.create_string_buffer(TEXT_BYTES)
        self._transfer("read", data)
        return data.raw

    def write(self, data: bytes) -> None:
        self._transfer("write", ctypes.create_string_buffer(data, TEXT_BYTES))
        flush = self._iscsi.iscsi_synchronizecache10_sync
        flush.restype = ctypes.POINTER(ctypes.c_int)
        self._checked("flush", flush(self._context, self._unit, 0, 0, 0, 0))

    def _transfer(self, what: str, data: ctypes.Array[ctypes.c_char]) -> None:
        piece = Piece(ctypes.addressof(data), TEXT_BYTES)
        flags = [0] * 5  # rdprotect, dpo, fua, fua_nv, group
        before = [self._context, self._unit, BLOCK]
        sizes = [None, TEXT_BYTES] if what == "write" else [TEXT_BYTES]
        function = getattr(self._iscsi, f"iscsi_{what}10_iov_sync")
        function.restype = ctypes.POINTER(ctypes.c_int)
        self._checked(what, function(*before, *sizes, TEXT_BYTES, *flags, ctypes.byref(piece), 1))

    def _checked(self, what: str, task: ctypes._Pointer[ctypes.c_int]) -> None:
        """Its status, 0 for done, is the first field of a task; without one the request has not reached the target."""
        if not task or task[0]:
            raise OSError(f"{what}: {error_of(self._iscsi, self._context)}")


@contextlib.contextmanager
def opened(request: Request) -> Iterator[IscsiVolume]:
    """The volume of `target`, as the initiator that `initiator` names."""
    parameters, secret = request["parameters"], request["secret"]
    library = ctypes.CDLL(LIBRARY)
    library.iscsi_create_context.restype = ctypes.c_void_p
    library.iscsi_get_error.restype = ctypes.c_char_p
    context = ctypes.c_void_p(library.iscsi_create_context(parameters["initiator"].encode()))
    library.iscsi_set_targetname(context, parameters["target"].encode())
    library.iscsi_set_session_type(context, NORMAL_SESSION)
    library.iscsi_set_noautoreconnect(context, 1)
    library.iscsi_set_timeout(context, TIMEOUT_S)
    if secret:
        library.iscsi_set_initiator_username_pwd(context, parameters["initiator"].encode(), secret.encode())
    try:
        if library.iscsi_full_connect_sync(context, parameters["portals"].encode(), NO_UNIT):
            raise OSError(f"login: {error_of(library, context)}")
        yield IscsiVolume(library, context, disk_of(library, context))
    finally:
        library.iscsi_destroy_context(context)


def disk_of(library: ctypes.CDLL, context: ctypes.c_void_p) -> int:
    """The number of the first unit that has a capacity."""
    capacity = library.iscsi_readcapacity10_sync
    capacity.restype = ctypes.POINTER(ctypes.c_int)
    for unit in UNITS:
        for _ in range(TRIES):
            task = capacity(context, unit, 0, 0)
            if task and task[0] == 0:
                return unit
    raise OSError(f"no disk: {error_of(library, context)}")


def error_of(library: ctypes.CDLL, context: ctypes.c_void_p) -> str:
    """What the library says went wrong last."""
    return str((library.iscsi_get_error(context) or b"").decode(errors="replace"))


if __name__ == "__main__":
    main(opened)
