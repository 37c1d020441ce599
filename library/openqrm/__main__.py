"""The program `openqrm`, which `python -m openqrm` is too."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from typing import NoReturn

from openqrm.cli.main import main


def program() -> NoReturn:
    """Runs the command line of this process, and ends it with the documented exit code.

    It ends without taking apart what it has loaded, which takes Python longer than many a command.
    """
    code: object = 0
    try:
        main(prog_name="openqrm")
    except SystemExit as ended:
        code = ended.code
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # its reader is gone
            stream.flush()
    os._exit(code if isinstance(code, int) else 1 if code else 0)


if __name__ == "__main__":
    program()
