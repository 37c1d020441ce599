# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fake types: objects in one JSON file per family and host, and faults on demand.

A verb is a function of the objects (name -> record) and one item of the list; it returns a Step. It changes nothing and
raises FakeError for an item that cannot be, so that all items are checked before the first one is written.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time
from collections import namedtuple
from pathlib import Path
from typing import ClassVar

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.vars import transform_to_native_types

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
HANG_S = 3600
FAULT = {
    "verb": {"type": "str", "required": True},
    "item": {"type": "str"},
    "fault": {"type": "str", "choices": ["fail", "hang"], "required": True},
    "times": {"type": "int"},
}

Step = namedtuple("Step", "key record result touched", defaults=(False,))
Step.__doc__ = """What a verb does with one item: the object's key, its record afterwards (None: gone), the fields of
the item's result, and whether something happens although the record stays the same (a reset)."""


class FakeError(ValueError):
    """An item cannot be as wanted; the message says which and why."""


class FakeState:
    """The objects of one fake, locked from opening to closing and written by one rename."""

    def __init__(self, path):
        """Keep the path of the JSON file."""
        self._path = Path(path)
        self._lock = None
        self.objects = {}
        self.shown = {}

    def __enter__(self):
        """Lock and read the state."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = self._path.with_suffix(".lock").open("w", encoding="ascii")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            data = json.loads(self._path.read_text(encoding="utf-8"))
            self.objects, self.shown = data["objects"], data["faults_shown"]
        return self

    def __exit__(self, *_error):
        """Unlock the state."""
        self._lock.close()

    def save(self):
        """Write the state."""
        temporary = self._path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps({"objects": self.objects, "faults_shown": self.shown}), encoding="utf-8")
        temporary.replace(self._path)

    def fault_of(self, faults, verb, name):
        """Return the fault (fail, hang) that this item of the verb is to show now, or None; counts it as shown."""
        for fault in faults:
            if fault["verb"] != verb or fault["item"] not in (None, name):
                continue
            key = f"{verb} {fault['item'] or '*'} {fault['fault']}"
            if fault["times"] is None or self.shown.get(key, 0) < fault["times"]:
                self.shown[key] = self.shown.get(key, 0) + 1
                return fault["fault"]
        return None


def check_items(verb, objects, items):
    """Return the steps of the items, each seeing what the earlier ones did. Raises FakeError, changing nothing."""
    objects = dict(objects)
    steps, keys = [], set()
    for item in items:
        step = verb(objects, item)
        if step.key in keys:
            raise FakeError(f"{item['name']} is in the list twice.")
        keys.add(step.key)
        changed = step.touched or objects.get(step.key) != step.record
        steps.append((item["name"], step, changed))
        put(objects, step)
    return steps


def put(objects, step):
    """Make the step's record that of its object."""
    if step.record is None:
        objects.pop(step.key, None)
    else:
        objects[step.key] = step.record


def perform(path, name, verb, items, faults, check_mode):
    """Do the verb ``name`` on the items; return the module's result. Raises FakeError.

    A fault shows when its item's turn comes: what came before it is done and stays.
    """
    with FakeState(path) as state:
        steps = check_items(verb, state.objects, items)
        results = [dict(step.result, name=item, changed=changed) for item, step, changed in steps]
        result = {"changed": any(changed for _item, _step, changed in steps), "items": results}
        fault = "" if check_mode else write_steps(state, name, steps, faults)
    if fault == "hang":
        time.sleep(HANG_S)
    return result


def write_steps(state, name, steps, faults):
    """Write the steps until a fault shows; return ``hang`` for one that hangs. Raises FakeError for one that fails."""
    for item, step, _changed in steps:
        fault = state.fault_of(faults, name, item)
        if fault:
            state.save()
            if fault == "hang":
                return fault
            raise FakeError(f"{name} of {item}: the fault that was asked for.")
        put(state.objects, step)
    if steps:
        state.save()
    return ""


def read(path, list_objects, items):
    """Return the module's result of a verb that only lists."""
    with FakeState(path) as state:
        return {"changed": False, "items": list_objects(state.objects, items)}


def checked_name(kind, name):
    """Return the name. Raises FakeError when it could not be one."""
    if not NAME.match(name or ""):
        raise FakeError(
            f"{kind} {name!r}: not a name; use up to 63 of a-z, 0-9, '.', '_', '-', beginning with a-z or 0-9."
        )
    return name


class FakeAction(ActionBase):
    """A fake type of one family. Subclasses set FAMILY, VERBS and LISTS (verb -> function)."""

    FAMILY = ""
    VERBS: ClassVar[dict] = {}
    LISTS: ClassVar[dict] = {}
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return the result of the verb, one item per object."""
        super().run(tmp, task_vars)
        options = transform_to_native_types(
            self.validate_argument_spec(argument_spec=self.arguments())[1], redact=False
        )
        path = Path(options["state_dir"], f"{self.FAMILY}.{task_vars['inventory_hostname']}.json")
        name, objects = options["verb"], self.objects(options)
        try:
            if name in self.LISTS:
                return read(path, self.LISTS[name], objects)
            result = perform(path, name, self.VERBS[name], objects, options["faults"], self._task.check_mode)
        except FakeError as error:
            raise AnsibleActionFail(str(error)) from error
        if not self._task.check_mode:
            self.done(name, result["items"])
        return result

    def arguments(self):
        """Return the argument specification, the same for every fake."""
        return {
            "verb": {"type": "str", "required": True, "choices": [*self.VERBS, *self.LISTS]},
            "objects": {"type": "list", "elements": "dict", "default": []},
            "state_dir": {"type": "path", "default": "/var/lib/openqrm/fake"},
            "faults": {"type": "list", "elements": "dict", "default": [], "options": FAULT},
        }

    def objects(self, options):
        """Return the items of the verb; each has a name."""
        return options["objects"]

    def done(self, verb, items):
        """Do what follows from the verb outside of the fake's state."""
