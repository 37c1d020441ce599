# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress of long work: lines that ansible-playbook prints, and that the command line shows."""

from __future__ import annotations

import time

EVERY_S = 5
MIB = 1 << 20


class Notes:
    """Call it with the bytes that are done and the bytes of all; it says so every few seconds."""

    def __init__(self, display, label, clock=time.monotonic):
        """Say it on ``display``, about ``label``."""
        self._display = display
        self._label = label
        self._clock = clock
        self._said = clock()

    def __call__(self, done, total):
        """Take how far it is."""
        if self._clock() - self._said >= EVERY_S:
            self.say(f"{done // MIB} of {total // MIB} MiB, {100 * done // total} %")

    def say(self, text):
        """Say it now."""
        self._said = self._clock()
        self._display.display(f"openqrm: {self._label}: {text}")
