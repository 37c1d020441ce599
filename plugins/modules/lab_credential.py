#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: lab_credential
short_description: Make the keys and passwords of a lab
version_added: 0.1.0
description:
  - Makes the SSH key that reaches the lab's storage server, that server's host key with a C(known_hosts) that knows it,
    and the password of the BMCs, each a file of mode 0600. What exists stays.
author:
  - openQRM project (@openqrm)
options:
  ssh_dir:
    description: Directory for C(id_ed25519), C(host_ed25519) (each with its C(.pub)) and C(known_hosts).
    type: path
    required: true
  host_names:
    description: Names and addresses of the server in C(known_hosts).
    type: list
    elements: str
    required: true
  bmc_dir:
    description: Directory for C(password) and C(htpasswd).
    type: path
    required: true
  bmc_username:
    description: User name in C(htpasswd).
    type: str
    required: true
requirements:
  - bcrypt (Python library)
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Returns what differs.
    support: full
"""

EXAMPLES = r"""
- name: Make a lab's keys
  openqrm.datacenter.lab_credential:
    ssh_dir: /var/lib/openqrm/labs/demo/ssh
    host_names: [10.77.0.10]
    bmc_dir: /var/lib/openqrm/labs/demo/bmc
    bmc_username: admin
"""

RETURN = r"""
items:
  description: One entry per file.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Path of the file.
      type: str
    changed:
      description: Whether it was made.
      type: bool
"""

import secrets
import tempfile
import traceback
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import (
    CommandError,
    run,
)
from ansible_collections.openqrm.datacenter.plugins.module_utils.differences import Differences
from ansible_collections.openqrm.datacenter.plugins.module_utils.files import (
    read_text,
    write_atomic,
)

BCRYPT_IMPORT_ERROR = None
try:
    import bcrypt
except ImportError:
    BCRYPT_IMPORT_ERROR = traceback.format_exc()

BMC_PASSWORD_BYTES = 12  # 16 characters, the most that every IPMI BMC takes (IPMI 2.0 has 20, 1.5 has 16).
BCRYPT_ROUNDS = 6  # Each request to a BMC pays for them; the password is random, so that guessing is no matter.


def make_key(path, command):
    """Make an SSH key pair: the public key first, so that a private key is always complete."""
    with tempfile.TemporaryDirectory(dir=Path(path).parent) as directory:
        command(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "openqrm-lab", "-f", f"{directory}/key"])
        Path(directory, "key.pub").replace(f"{path}.pub")
        Path(directory, "key").replace(path)


def known_hosts(names, public_key):
    """Return the line of C(known_hosts) for a server."""
    return f"{','.join(names)} {' '.join(public_key.split()[:2])}\n"


def password_line(username, password):
    """Return a line of C(htpasswd) with a bcrypt digest."""
    digest = bcrypt.hashpw(password.encode(), bcrypt.gensalt(BCRYPT_ROUNDS)).decode()
    return f"{username}:{digest}\n"


def is_current(line, username, password):
    """Return whether a line of C(htpasswd) is for this user and password."""
    name, _colon, digest = (line or "").strip().partition(":")
    return name == username and digest.startswith("$2") and bcrypt.checkpw(password.encode(), digest.encode())


def ensure_keys(params, differences, check_mode, command):
    """Make the keys that are missing and the server's line of C(known_hosts)."""
    for name in ("id_ed25519", "host_ed25519"):
        path = f"{params['ssh_dir']}/{name}"
        if differences.note(path, Path(path).exists(), True) and not check_mode:
            make_key(path, command)
    path = f"{params['ssh_dir']}/known_hosts"
    public_key = read_text(f"{params['ssh_dir']}/host_ed25519.pub")
    wanted = known_hosts(params["host_names"], public_key) if public_key else "(made with the key)"
    if differences.note(path, read_text(path), wanted) and not check_mode:
        write_atomic(path, wanted, 0o600)


def ensure_password(params, differences, check_mode):
    """Make the BMCs' password and its digest where they are missing. No difference shows either."""
    path, digest_path = f"{params['bmc_dir']}/password", f"{params['bmc_dir']}/htpasswd"
    if differences.note(path, Path(path).exists(), True) and not check_mode:
        write_atomic(path, f"{secrets.token_urlsafe(BMC_PASSWORD_BYTES)}\n", 0o600)
    password = (read_text(path) or "").strip()
    current = is_current(read_text(digest_path), params["bmc_username"], password)
    if differences.note(digest_path, current, True) and not check_mode:
        write_atomic(digest_path, password_line(params["bmc_username"], password), 0o600)


def ensure(params, check_mode, command=run):
    """Make what is missing; return the module's result."""
    differences = Differences()
    ensure_keys(params, differences, check_mode, command)
    ensure_password(params, differences, check_mode)
    paths = [f"{params['ssh_dir']}/{name}" for name in ("id_ed25519", "host_ed25519", "known_hosts")]
    paths += [f"{params['bmc_dir']}/{name}" for name in ("password", "htpasswd")]
    changed = differences.result([])["diff"]["after"]
    return differences.result([{"name": path, "changed": path in changed} for path in paths])


def main():
    """Run the module."""
    path = {"type": "path", "required": True}
    module = AnsibleModule(
        argument_spec={
            "ssh_dir": path,
            "host_names": {"type": "list", "elements": "str", "required": True},
            "bmc_dir": path,
            "bmc_username": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    if BCRYPT_IMPORT_ERROR is not None:
        module.fail_json(msg=missing_required_lib("bcrypt"), exception=BCRYPT_IMPORT_ERROR)
    try:
        module.exit_json(**ensure(module.params, module.check_mode))
    except (CommandError, OSError) as error:
        module.fail_json(msg=f"The lab's keys cannot be made: {error}. ssh-keygen is in openssh-client.")


if __name__ == "__main__":
    main()
