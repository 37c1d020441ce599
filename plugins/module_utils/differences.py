# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One record of differences that gives both ``changed`` and ``diff`` of a module's result."""

from __future__ import annotations


class Differences:
    """What differs between the state that was found and the one that is wanted, object by object."""

    def __init__(self):
        """Start with no difference."""
        self._before = {}
        self._after = {}

    def note(self, name, before, after):
        """Record the object ``name`` as found and as wanted (None: it does not exist); return whether they differ."""
        if before == after:
            return False
        self._before[name] = before
        self._after[name] = after
        return True

    @property
    def changed(self):
        """Return whether any object differs."""
        return bool(self._before)

    def result(self, items):
        """Return the module result for the per-object results ``items``: changed, items, diff."""
        return {"changed": self.changed, "items": items, "diff": {"before": self._before, "after": self._after}}
