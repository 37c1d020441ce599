# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serves what is granted again after a reboot: the program that a systemd unit runs, and how it gets there.

The program is these module_utils themselves, so that what is served after a reboot is what the modules served before.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

from ansible_collections.openqrm.datacenter.plugins.module_utils.block_grants import restore
from ansible_collections.openqrm.datacenter.plugins.module_utils.block_servers import server_of
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError
from ansible_collections.openqrm.datacenter.plugins.module_utils.grants import GrantError

PACKAGE = "ansible_collections.openqrm.datacenter.plugins.module_utils"
NAMES = (
    "aoe",
    "block_grants",
    "block_restore",
    "block_servers",
    "commands",
    "configfs",
    "differences",
    "files",
    "grants",
    "iscsi",
    "lio",
    "loops",
    "nvmet",
    "tgt",
    "tgt_control",
)
WAIT_S = 90
UNIT = """\
# Managed by openqrm.datacenter
[Unit]
Description=openQRM: serve volumes over {method} again
Wants=network-online.target
After=network-online.target local-fs.target rtslib-fb-targetctl.service target.service nvmet.service{daemon}
{part_of}
[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=infinity
Environment=PYTHONPATH={program_dir} PYTHONDONTWRITEBYTECODE=1
ExecStart={python} -m {package}.block_restore {settings}

[Install]
WantedBy={wanted_by}
"""


def unit_name(method):
    """Return the name of the systemd unit of a deployment method."""
    return f"openqrm-{method.replace('_', '-')}.service"


def wanting_units(daemon):
    """Return the units that start the one of a deployment method: at boot, and whenever the daemon starts."""
    return ["multi-user.target", *([daemon] if daemon else [])]


def wanted_files(method, settings, program_dir, unit_dir, daemon=""):
    """Return path -> text of what a reboot needs: the program, the method's settings, and its unit.

    ``daemon`` is the unit of the daemon that serves, if one does: when it is restarted, the method's unit is.
    """
    package = Path(program_dir, *PACKAGE.split("."))
    settings_path = Path(settings["state_dir"], f"{method}.settings.json")
    unit = UNIT.format(
        method=method,
        program_dir=program_dir,
        python=sys.executable,
        package=PACKAGE,
        settings=settings_path,
        daemon=f" {daemon}" if daemon else "",
        part_of=f"PartOf={daemon}\n" if daemon else "",
        wanted_by=" ".join(wanting_units(daemon)),
    )
    return {
        **{str(package / f"{name}.py"): source_of(name) for name in NAMES},
        str(settings_path): json.dumps({"method": method, "settings": settings}, indent=1, sort_keys=True) + "\n",
        str(Path(unit_dir, unit_name(method))): unit,
    }


def source_of(name):
    """Return the source of one of these module_utils, also where they are in a zip file, as Ansible sends them."""
    full_name = f"{PACKAGE}.{name}"
    source = importlib.util.find_spec(full_name).loader.get_source(full_name)
    return source if source.endswith("\n") else f"{source}\n"


def main(settings_path):
    """Serve what is granted again; return the exit code of the program."""
    kept = json.loads(Path(settings_path).read_text(encoding="utf-8"))
    try:
        problems = restore(server_of(kept["method"], kept["settings"]), WAIT_S)
    except (GrantError, CommandError, OSError) as error:
        problems = {kept["method"]: str(error)}
    for name, problem in problems.items():
        sys.stderr.write(f"{name}: {problem}\n")
    return int(bool(problems))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
