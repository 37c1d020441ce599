# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data centre as an inventory: resources, members of appliances, storage servers."""

from __future__ import annotations

DOCUMENTATION = r"""
name: datacenter
short_description: Resources and appliances of an openQRM data centre
version_added: 0.1.0
description:
  - Makes a host of every resource and of every member of an appliance, which has the address of its resource.
  - Adds the servers of storages, which are hosts of your own inventory, to groups by their type.
  - Reads the store once, in one transaction. Groups are made natively; templates cost time per host and are used only
    where O(compose), O(groups) or O(keyed_groups) are given.
  - Its file's name ends with C(openqrm.yml) or C(openqrm.yaml).
author:
  - openQRM project (@openqrm)
requirements:
  - The Python package C(openqrm) on the controller, in the environment that runs Ansible.
notes:
  - Where a resource and an appliance have the same name, the resource's host has that name and the appliance's host is
    called C(<name>.appliance). Names that mean something else in an inventory, as C(all) or C(localhost), get
    C(.resource) or C(.appliance) behind them too. The variables C(openqrm_name) and C(openqrm_appliance) always have
    the plain name.
  - A member of an appliance that does not run has no C(ansible_host).
extends_documentation_fragment:
  - constructed
  - inventory_cache
options:
  plugin:
    description: The name of this plug-in.
    type: str
    required: true
    choices: [openqrm.datacenter.datacenter]
  config:
    description:
      - Path of the data centre's configuration file; a relative one is relative to this inventory file.
      - If it is not given, the file that the environment variable E(OPENQRM_CONFIG) names, else C(openqrm.yml) in the
        current directory, else C(/etc/openqrm/openqrm.yml).
    type: str
  plan:
    description:
      - Number of a plan. The inventory then has only the hosts on which the plan's operations run, and the resources
        and appliances that it is about. Filters do not count.
    type: int
    env:
      - name: OPENQRM_PLAN
  kinds:
    description: What becomes hosts.
    type: list
    elements: str
    choices: [resource, appliance, storage]
    default: [resource, appliance, storage]
  states:
    description: Only resources and appliances in one of these states. Quote C("off"), which YAML reads as false.
    type: list
    elements: str
    choices: [new, idle, reserved, starting, active, stopping, error, "off", unknown, quarantined, stopped, failed]
  types:
    description: Only resources of one of these types, and appliances that require one of them.
    type: list
    elements: str
  tags:
    description: Only resources that have all of these tags, and appliances that require all of them.
    type: list
    elements: str
  group_by:
    description:
      - What groups are made by, beside C(openqrm_resources), C(openqrm_appliances) and C(openqrm_storage), which are
        always there.
      - "C(state): C(state_<state>). C(type): C(type_<type>). C(tag): C(tag_<tag>). C(storage): C(storage_<type>), the
        servers of storages of this type. C(appliance): C(appliance_<name>), the members of the appliance."
      - Appliances are in the groups of the type and the tags that they require.
      - Characters that Ansible does not take in a group's name become underscores.
    type: list
    elements: str
    choices: [state, type, tag, storage, appliance]
    default: [state, type, tag, storage, appliance]
  group_prefix:
    description: What the names of these groups start with.
    type: str
    default: ""
"""

EXAMPLES = r"""
# The data centre of $OPENQRM_CONFIG, all of it
plugin: openqrm.datacenter.datacenter

---
# What runs, with the groups of one's own naming
plugin: openqrm.datacenter.datacenter
config: /etc/openqrm/openqrm.yml
kinds: [appliance]
states: [active]
group_by: [appliance]
group_prefix: dc1_
keyed_groups:
  - key: openqrm_sla.level
    prefix: sla

---
# From a cache of ten minutes
plugin: openqrm.datacenter.datacenter
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: /var/cache/openqrm
cache_timeout: 600
"""

import contextlib
import gc
import sys
import traceback
from pathlib import Path

from ansible.errors import AnsibleParserError
from ansible.module_utils.basic import missing_required_lib
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible_collections.openqrm.datacenter.plugins.plugin_utils import inventory_data

try:
    from openqrm.config import load_config
    from openqrm.errors import OpenqrmError
    from openqrm.store import open_store
except ImportError:
    OPENQRM_IMPORT_ERROR = traceback.format_exc()
else:
    OPENQRM_IMPORT_ERROR = None


@contextlib.contextmanager
def collection_paused():
    """Keep Python from looking for garbage meanwhile: what is made here stays, and looking takes half of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Hosts and groups from the store."""

    NAME = "openqrm.datacenter.datacenter"

    def verify_file(self, path):
        """Return whether the file may be a configuration of this plug-in."""
        return super().verify_file(path) and path.endswith(("openqrm.yml", "openqrm.yaml"))

    def parse(self, inventory, loader, path, cache=True):
        """Add the hosts and groups to the inventory."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        with collection_paused():
            data = self._cached(path, cache)
            self._add_groups(data["groups"])
            self._add_hosts(data["hosts"])
            self._fill_groups(data["groups"])
        self._construct(data["hosts"])

    def _cached(self, path, cache):
        """Return the data from the cache where that is wanted and there, else from the store."""
        if not self.get_option("cache"):
            return self._read(path)
        key = f"{self.get_cache_key(path)}_{self.get_option('plan')}"
        if cache and key in self._cache:
            return self._cache[key]
        self._cache[key] = self._read(path)
        return self._cache[key]

    def _read(self, path):
        """Return hosts and groups of the data centre."""
        if OPENQRM_IMPORT_ERROR:
            raise AnsibleParserError(f"{missing_required_lib('openqrm')} {OPENQRM_IMPORT_ERROR}")
        config = self.get_option("config")
        try:
            store = open_store(
                load_config(str(Path(path).parent / Path(config).expanduser()) if config else None).store
            )
            try:
                with store.read() as reader:
                    return self._collect(reader)
            finally:
                store.close()
        except OpenqrmError as error:
            raise AnsibleParserError(str(error)) from error

    def _collect(self, reader):
        """Return hosts and groups of what is asked for."""
        hosts = inventory_data.Hosts(frozenset(self.get_option("group_by")), self.get_option("group_prefix"))
        if self.get_option("plan") is None:
            inventory_data.collect(hosts, reader, self._filters())
        else:
            inventory_data.collect_plan(hosts, reader, self.get_option("plan"))
        return hosts.data()

    def _filters(self):
        """Return the filters that are given; None: no such filter."""
        names = ("states", "types", "tags")
        wanted = {name: None if self.get_option(name) is None else frozenset(self.get_option(name)) for name in names}
        return inventory_data.Filters(kinds=frozenset(self.get_option("kinds")), **wanted)

    def _add_groups(self, groups):
        for group in groups:
            self.inventory.add_group(group)

    def _add_hosts(self, hosts):
        """Add all hosts, the variables of each at once: a call per variable is most of an inventory's time."""
        known = self.inventory.hosts
        for name, variables in hosts.items():
            if name == "localhost" and name not in known:
                variables = variables | {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
            self.inventory.add_host(name)
            known[name].vars.update(variables)

    def _fill_groups(self, groups):
        known = self.inventory.hosts
        for name, members in groups.items():
            group = self.inventory.groups[name]
            for member in members:
                group.add_host(known[member])

    def _construct(self, hosts):
        """Apply the user's own templates, if there are any."""
        compose, groups, keyed = (self.get_option(name) for name in ("compose", "groups", "keyed_groups"))
        if not (compose or groups or keyed):
            return
        strict = self.get_option("strict")
        for name in hosts:
            self._set_composite_vars(compose, self.inventory.hosts[name].get_vars(), name, strict=strict)
            variables = self.inventory.hosts[name].get_vars()
            self._add_host_to_composed_groups(groups, variables, name, strict=strict, fetch_hostvars=False)
            self._add_host_to_keyed_groups(keyed, variables, name, strict=strict, fetch_hostvars=False)
