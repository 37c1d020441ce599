# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates of shelves, fetched by this controller."""

from __future__ import annotations

import traceback
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.module_utils.basic import missing_required_lib
from ansible.plugins.action import ActionBase
from ansible.utils.vars import transform_to_native_types
from ansible_collections.openqrm.datacenter.plugins.plugin_utils.progress import Notes

try:
    from openqrm.errors import OpenqrmError
    from openqrm.shelf import index, reading
except ImportError:
    OPENQRM_IMPORT_ERROR = traceback.format_exc()
else:
    OPENQRM_IMPORT_ERROR = None

TEMPLATE = {
    "name": {"type": "str", "required": True},
    "shelf": {"type": "str", "required": True},
    "url": {"type": "str", "required": True},
    "keys": {"type": "list", "elements": "str", "default": []},
    "unsigned": {"type": "bool", "default": False},
    "template": {"type": "str", "required": True},
    "version": {"type": "str", "default": ""},
    "architecture": {"type": "str", "required": True},
    "directory": {"type": "path", "required": True},
}


class ActionModule(ActionBase):
    """Fetches what is missing."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        """Return the task's result; errors of the library become a failed result with their parts."""
        result = super().run(tmp, task_vars)
        if OPENQRM_IMPORT_ERROR:
            raise AnsibleActionFail(missing_required_lib("openqrm"), result={"exception": OPENQRM_IMPORT_ERROR})
        spec = {"templates": {"type": "list", "elements": "dict", "required": True, "options": TEMPLATE}}
        given = transform_to_native_types(self.validate_argument_spec(argument_spec=spec)[1], redact=False)
        indexes = {}
        try:
            items = [self._item(wanted, indexes) for wanted in given["templates"]]
        except OpenqrmError as error:
            return result | {"failed": True, "msg": str(error), "error": error.parts()}
        changed = {item["name"]: item["archive"] for item in items if item["changed"]}
        diff = {"before": dict.fromkeys(changed), "after": changed}
        return result | {"changed": bool(changed), "items": items, "diff": diff}

    def _item(self, wanted, indexes):
        """Return the result for one template; indexes that were read are kept in ``indexes``."""
        shelf = reading.Shelf(wanted["shelf"], wanted["url"], tuple(wanted["keys"]), wanted["unsigned"])
        if shelf not in indexes:
            indexes[shelf] = reading.read_index(shelf)
        chosen = (wanted["template"], wanted["version"], wanted["architecture"])
        template = index.choose(shelf.label, indexes[shelf], *chosen)
        directory = Path(wanted["directory"])
        if self._task.check_mode:
            path = reading.path_of(template, directory)
            fetched = not path.exists()
        else:
            notes = Notes(self._display, f"Image {wanted['name']}: {shelf.name}/{template.name} {template.version}")
            path, fetched = reading.fetch(shelf, template, directory, notes)
        return {
            "name": wanted["name"],
            "changed": fetched,
            "archive": str(path),
            "template": f"{shelf.name}/{template.name}:{template.version}",
            "sha256": template.sha256,
        }
