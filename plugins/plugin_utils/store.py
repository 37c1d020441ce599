# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plug-ins that work on the data centre's store: the state plug-ins and those that read."""

from __future__ import annotations

import traceback
from typing import ClassVar

import yaml
from ansible.errors import AnsibleActionFail
from ansible.module_utils.basic import missing_required_lib
from ansible.plugins.action import ActionBase
from ansible.utils.vars import transform_to_native_types
from ansible_collections.openqrm.datacenter.plugins.plugin_utils.steps import actor

try:
    from openqrm import desired
    from openqrm.config import load_config
    from openqrm.datacenter import Datacenter
    from openqrm.errors import OpenqrmError
except ImportError:
    OPENQRM_IMPORT_ERROR = traceback.format_exc()
else:
    OPENQRM_IMPORT_ERROR = None


class StoreAction(ActionBase):
    """An action on the objects of one kind. Subclasses set KIND and give ``spec`` and ``work``."""

    KIND = ""
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        """Return the task's result; errors of the library become a failed result with their parts."""
        result = super().run(tmp, task_vars)
        if OPENQRM_IMPORT_ERROR:
            raise AnsibleActionFail(missing_required_lib("openqrm"), result={"exception": OPENQRM_IMPORT_ERROR})
        options = self.options()
        try:
            datacenter = Datacenter.open(load_config(options["config"]))
            try:
                return result | datacenter.store.again(lambda: self.work(datacenter, options))
            finally:
                datacenter.close()
        except OpenqrmError as error:
            return result | failure(error)

    def options(self):
        """Return the validated options of the task, as plain Python values."""
        spec = self.spec()
        given = self.validate_argument_spec(**spec)[1]
        return transform_to_native_types(given, redact=False)

    def spec(self):
        """Return the arguments of ``validate_argument_spec``."""
        raise NotImplementedError

    def work(self, datacenter, options):
        """Return the result of the action on the open data centre."""
        raise NotImplementedError

    @property
    def plural(self):
        """The kind's plural: the name of the list option and of the result."""
        return f"{self.KIND}s"

    @property
    def reason(self):
        """Why something is written, for the audit log."""
        return self._task.get_name() or f"task {self._task.action}"


def failure(error):
    """Return a failed result from an error of the library; ``error`` in it is for programs."""
    return {"failed": True, "msg": str(error), "error": error.parts()}


class StateAction(StoreAction):
    """Objects of one kind as they are to be, or gone: one or a list, in one transaction."""

    def spec(self):
        """Return the options: the library checks what is inside an object, so that its errors can name it."""
        kind = desired.KINDS[self.KIND]
        fields = {key: {"type": "raw"} for key in kind.options if key != "name"}
        return {
            "argument_spec": {
                "config": {"type": "path"},
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                "name": {"type": "str"},
                "names": {"type": "list", "elements": "str"},
                self.plural: {"type": "list", "elements": "dict"},
                **fields,
            },
            "mutually_exclusive": [("name", "names", self.plural)],
            "required_one_of": [("name", "names", self.plural)],
            "required_by": dict.fromkeys(fields, "name"),
        }

    def work(self, datacenter, options):
        """Compare the wanted objects with the store, and write the differences unless this is check mode."""
        entries = self.entries(options)
        plan = desired.present if options["state"] == "present" else desired.absent
        if self._task.check_mode:
            with datacenter.store.read() as reader:
                return self.outcome(plan(reader, lambda: datacenter.types, self.KIND, entries))
        with datacenter.store.write(actor(), self.reason) as writer:
            changes = plan(writer, lambda: datacenter.types, self.KIND, entries)
            desired.apply(writer, changes)
        return self.outcome(changes)

    def entries(self, options):
        """Return the described objects as a list of mappings."""
        if options["names"] is not None:
            if options["state"] == "present":
                raise AnsibleActionFail(f"names goes with state=absent only; describe the objects in {self.plural}.")
            return [{"name": name} for name in options["names"]]
        if options[self.plural] is not None:
            return options[self.plural]
        kind = desired.KINDS[self.KIND]
        return [{key: options[key] for key in kind.options if options[key] is not None}]

    def outcome(self, changes):
        """Return the result: what is there now, or would be outside check mode."""
        result = {
            "changed": any(change.changed for change in changes),
            self.plural: [
                (desired.view(change.after) if change.after else {"name": change.name}) | {"changed": change.changed}
                for change in changes
            ],
        }
        if self._task.diff:
            result["diff"] = [difference(change) for change in changes if change.changed]
        return result


def difference(change):
    """Return one object's entry of a task's diff: its fields before and after, as YAML."""
    before, after = (yaml.safe_dump(view, sort_keys=False) if view else "" for view in change.difference())
    header = f"{change.kind} {change.name}"
    return {"before": before, "after": after, "before_header": header, "after_header": header}


class InfoAction(StoreAction):
    """Objects of one kind, filtered.

    ``FILTERS``: option -> whether an object's view passes its values; ``CHOICES``: option -> the values that there are.
    """

    FILTERS: ClassVar = {}
    CHOICES: ClassVar = {}

    def spec(self):
        """Return the options: configuration, names and the kind's filters, each a list."""
        filters = {
            key: {"type": "list", "elements": "str", "choices": self.CHOICES.get(key)}
            for key in ("names", *self.FILTERS)
        }
        return {"argument_spec": {"config": {"type": "path"}, **filters}}

    def work(self, datacenter, options):
        """Read the objects in one transaction."""
        with datacenter.store.read() as reader:
            views = [desired.view(item) for item in desired.find(reader, self.KIND, options["names"])]
            self.complete(reader, views)
        active = [(passes, set(options[key])) for key, passes in self.FILTERS.items() if options[key] is not None]
        return {
            "changed": False,
            self.plural: [view for view in views if all(passes(view, values) for passes, values in active)],
        }

    def complete(self, reader, views):
        """Add to the views what other objects say of them."""
