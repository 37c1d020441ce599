#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: lab_certificate
short_description: Make a server certificate of a lab's certificate authority
version_added: 0.1.0
description:
  - Makes the authority of the lab's data centre if there is none, and a server certificate signed by it.
  - Runs on the controller.
author:
  - openQRM project (@openqrm)
options:
  pki_dir:
    description: Directory of the authority, C(<state_dir>/pki) of the data centre.
    type: path
    required: true
  name:
    description: Name of the server; the files are C(<name>.pem) and C(<name>.key).
    type: str
    required: true
  addresses:
    description: Addresses and names that clients use.
    type: list
    elements: str
    required: true
requirements:
  - openqrm (Python library)
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Returns what differs.
    support: none
"""

EXAMPLES = r"""
- name: Make the boot server's certificate
  openqrm.datacenter.lab_certificate:
    pki_dir: /var/lib/openqrm/labs/demo/state/pki
    name: boot
    addresses: [10.77.0.1]
"""

RETURN = r"""
certificate:
  description: Path of the certificate.
  returned: success
  type: str
key:
  description: Path of its key.
  returned: success
  type: str
"""

import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.openqrm.datacenter.plugins.module_utils.files import file_digest

OPENQRM_IMPORT_ERROR = None
try:
    from openqrm.errors import OpenqrmError
    from openqrm.pki import ensure_server_cert
except ImportError:
    OPENQRM_IMPORT_ERROR = traceback.format_exc()


def ensure(params, check_mode):
    """Make the certificate if it is missing or not current; return the module's result."""
    certificate, key = (f"{params['pki_dir']}/{params['name']}.{end}" for end in ("pem", "key"))
    before = file_digest(certificate)
    if not check_mode:
        ensure_server_cert(params["pki_dir"], params["name"], params["addresses"])
    after = "made" if check_mode and before is None else file_digest(certificate)
    return {"changed": before != after, "certificate": certificate, "key": key}


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "pki_dir": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "addresses": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    if OPENQRM_IMPORT_ERROR is not None:
        module.fail_json(msg=missing_required_lib("openqrm"), exception=OPENQRM_IMPORT_ERROR)
    try:
        module.exit_json(**ensure(module.params, module.check_mode))
    except OpenqrmError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
