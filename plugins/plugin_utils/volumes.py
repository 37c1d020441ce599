# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules of storage types whose new volumes are filled from archives of the controller."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.openqrm.datacenter.plugins.module_utils.archives import unpacked_mib
from ansible_collections.openqrm.datacenter.plugins.module_utils.commands import CommandError

ARCHIVE_S = 3600


class VolumeAction(ActionBase):
    """Runs the module of its own name, with the archives on the managed host that the missing volumes need.

    A copy is named by its path on the controller, so that one that a killed run left is used or replaced by the next.

    ``STAGING``: where copies go without the option ``staging``; empty for the location of the volume.
    """

    STAGING = ""

    _supports_check_mode = True
    _requires_connection = True

    def run(self, tmp=None, task_vars=None):
        """Return the module's result."""
        result = super().run(tmp, task_vars)
        volumes = self._task.args.get("volumes")
        filled = isinstance(volumes, list) and any(isinstance(each, dict) and each.get("archive") for each in volumes)
        remote = self._task.args.get("remote_src") or self._connection.transport == "local"
        if not filled or remote:
            return result | self._execute_module(task_vars=task_vars)
        sizes = self._archive_sizes(volumes)
        if self._task.check_mode:
            return result | self._module(sizes, {}, task_vars)
        try:
            return result | self._filled(volumes, sizes, task_vars)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)

    def _filled(self, volumes, sizes, task_vars):
        """Return the module's result; what is missing is filled from copies of archives."""
        with self._as_check():
            found = self._module(sizes, {}, task_vars)
        if found.get("failed"):
            return found
        copies = self._copies(volumes, found["items"])
        try:
            for archive, copy in copies.items():
                self._copy(archive, copy, task_vars)
            return self._module(sizes, copies, task_vars)
        finally:
            for copy in copies.values():
                absent = {"path": copy, "state": "absent"}
                self._execute_module(module_name="ansible.legacy.file", module_args=absent, task_vars=task_vars)

    def _archive_sizes(self, volumes):
        """Return the sizes in MiB of what is in the archives, by path.

        They are measured here: the storage server would have to decompress each a second time.
        """
        archives = {str(volume["archive"]) for volume in volumes if volume.get("archive")}
        return {archive: self._unpacked_mib(archive) for archive in sorted(archives) if Path(archive).is_file()}

    def _module(self, sizes, copies, task_vars):
        """Return the result of the module, told how large archives are and where their copies are, both by path."""
        arguments = dict(self._task.args, archives=copies, archive_sizes_mib=sizes)
        return self._execute_module(module_args=arguments, task_vars=task_vars)

    def _unpacked_mib(self, archive):
        """Return the size in MiB of what is in an archive. Raises AnsibleActionFail where it is none."""
        try:
            return unpacked_mib(archive, int(self._task.args.get("timeout_s") or ARCHIVE_S))
        except CommandError as error:
            raise AnsibleActionFail(str(error)) from error

    def _copies(self, volumes, items):
        """Return where the archives go that the volumes which ``items`` says are missing need, by path."""
        copies = {}
        for volume, item in zip(volumes, items, strict=True):
            archive = volume.get("archive")
            if archive and item["changed"] and archive not in copies:
                staging = self._task.args.get("staging") or self.STAGING or item["location"]
                copies[archive] = f"{staging}/.archive.{hashlib.sha256(str(archive).encode()).hexdigest()}"
        for archive in copies:
            if not Path(archive).is_file():
                raise AnsibleActionFail(f"The archive {archive} does not exist on the controller.")
        return copies

    def _copy(self, archive, copy, task_vars):
        """Copy an archive to the managed host. Raises AnsibleActionFail where that fails."""
        task = self._task.copy()
        task.args = {"src": str(archive), "dest": copy, "mode": "0600", "decrypt": False}
        action = self._shared_loader_obj.action_loader.get(
            "ansible.legacy.copy",
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        result = action.run(task_vars=task_vars)
        if result.get("failed"):
            raise AnsibleActionFail(f"The archive {archive} cannot be copied to {copy}: {result.get('msg')}")

    @contextmanager
    def _as_check(self):
        """Have the module run in check mode."""
        self._task.check_mode = True
        try:
            yield
        finally:
            self._task.check_mode = False
