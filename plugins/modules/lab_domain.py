#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: lab_domain
short_description: Define and start the virtual machines of a lab
version_added: 0.1.0
description:
  - Brings the lab's own libvirt to exactly the given virtual machines. Others that it knows are stopped and removed.
  - A virtual machine is redefined when its description changed since it was defined, and is never stopped for that.
author:
  - openQRM project (@openqrm)
options:
  uri:
    description: Connection URI of the lab's libvirt.
    type: str
    required: true
  record_dir:
    description: Directory for the descriptions as they were defined.
    type: path
    required: true
  domains:
    description: The virtual machines.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name.
        type: str
        required: true
      xml:
        description: Description, in libvirt's domain format.
        type: str
        required: true
      running:
        description: Whether to start it. One that runs is never stopped.
        type: bool
        default: false
  timeout_s:
    description: Seconds to wait for libvirt to answer.
    type: int
    default: 60
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Returns what differs.
    support: full
"""

EXAMPLES = r"""
- name: Define a lab's virtual machines
  openqrm.datacenter.lab_domain:
    uri: qemu+unix:///system?socket=/var/lib/openqrm/labs/demo/libvirt/run/libvirt-sock
    record_dir: /var/lib/openqrm/labs/demo/libvirt/domains
    domains:
      - {name: node01, xml: "{{ lookup('ansible.builtin.template', 'domain.xml.j2') }}"}
"""

RETURN = r"""
items:
  description: One entry per virtual machine, in the order of the input.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
    changed:
      description: Whether it was defined or started.
      type: bool
"""

import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import (
    CommandError,
    run,
)
from ansible_collections.openqrm.datacenter.plugins.module_utils.differences import Differences
from ansible_collections.openqrm.datacenter.plugins.module_utils.files import (
    read_text,
    write_atomic,
)

WAIT_S = 0.2


class Libvirt:
    """One libvirt, through C(virsh)."""

    def __init__(self, uri, command=run):
        """Keep the URI; ``command`` runs virsh."""
        self._prefix = ["virsh", "--quiet", "--connect", uri]
        self._command = command

    def call(self, *arguments, stdin=""):
        """Return what one virsh command prints."""
        return self._command([*self._prefix, *arguments], stdin=stdin)

    def wait(self, timeout_s):
        """Return once libvirt answers. Raises CommandError when it does not in time."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return self.call("uri")
            except CommandError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(WAIT_S)

    def states(self):
        """Return name -> whether it runs, of all virtual machines."""
        running = set(self.call("list", "--name", "--state-running").split())
        running |= set(self.call("list", "--name", "--state-paused").split())
        return {name: name in running for name in self.call("list", "--name", "--all").split()}


def record_path(record_dir, name):
    """Return the path of the description with which a virtual machine was defined."""
    return f"{record_dir}/{name}.xml"


def define(libvirt, record_dir, domain):
    """Define a virtual machine, then keep the description: in this order a run that is cut short defines again."""
    path = record_path(record_dir, domain["name"])
    write_atomic(f"{path}.new", domain["xml"])
    libvirt.call("define", f"{path}.new")
    Path(f"{path}.new").replace(path)


def remove(libvirt, record_dir, name, running):
    """Stop and undefine a virtual machine."""
    if running:
        libvirt.call("destroy", name)
    libvirt.call("undefine", "--nvram", name)
    Path(record_path(record_dir, name)).unlink(missing_ok=True)


def ensure_one(libvirt, record_dir, domain, states, differences, check_mode):
    """Bring one virtual machine to its state; return whether it differed."""
    name = domain["name"]
    before = read_text(record_path(record_dir, name)) if name in states else None
    redefine = differences.note(name, before, domain["xml"])
    start = domain["running"] and differences.note(f"{name} running", states.get(name, False), True)
    if redefine and not check_mode:
        define(libvirt, record_dir, domain)
    if start and not check_mode:
        libvirt.call("start", name)
    return redefine or start


def found_states(params, check_mode, libvirt):
    """Return the states that libvirt tells, once it answers; none for a lab that check mode did not make."""
    if check_mode and not Path(params["record_dir"]).is_dir():
        return {}
    libvirt.wait(params["timeout_s"])
    return libvirt.states()


def ensure(params, check_mode, libvirt):
    """Bring libvirt to the wanted virtual machines; return the module's result."""
    differences, record_dir = Differences(), params["record_dir"]
    states = found_states(params, check_mode, libvirt)
    for name in sorted(set(states) - {domain["name"] for domain in params["domains"]}):
        differences.note(name, "present", None)
        if not check_mode:
            remove(libvirt, record_dir, name, states[name])
    items = []
    for domain in params["domains"]:
        changed = ensure_one(libvirt, record_dir, domain, states, differences, check_mode)
        items.append({"name": domain["name"], "changed": changed})
    return differences.result(items)


def argument_spec():
    """Return the module's argument spec."""
    text = {"type": "str", "required": True}
    options = {"name": text, "xml": text, "running": {"type": "bool", "default": False}}
    return {
        "uri": text,
        "record_dir": {"type": "path", "required": True},
        "domains": {"type": "list", "elements": "dict", "required": True, "options": options},
        "timeout_s": {"type": "int", "default": 60},
    }


def main():
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    libvirt = Libvirt(module.params["uri"])
    try:
        module.exit_json(**ensure(module.params, module.check_mode, libvirt))
    except (CommandError, OSError) as error:
        module.fail_json(msg=f"The lab's virtual machines cannot be made: {error}. See log/libvirtd.log of the lab.")


if __name__ == "__main__":
    main()
