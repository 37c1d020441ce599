"""`python -m openqrm`: the same as the command `openqrm`."""

from __future__ import annotations

from openqrm.cli.main import main

if __name__ == "__main__":
    main(prog_name="openqrm")
