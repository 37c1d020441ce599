"""The kernel's command line: the same whatever boot loader, or kexec, starts the kernel."""

from __future__ import annotations

from openqrm.config import Config
from openqrm.model import Kernel

# Set by every kernel; `kernel_args` of the kernel come after these, and win.
CONSOLES = "console=tty0 console=ttyS0,115200n8 loglevel=4 panic=30"


def arguments(config: Config, kernel: Kernel) -> str:
    """The kernel's arguments, all but `BOOTIF`, which the boot loader or the node itself puts before them."""
    own = str(kernel.parameters.get("kernel_args", ""))
    return " ".join(
        [
            f"openqrm.boot={config.boot.tls_url}",
            f"openqrm.api={config.api.url}",
            f"openqrm.kernel={kernel.vmlinuz}",
            CONSOLES,
            *own.split(),
        ]
    )
