# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running commands: lists only, C locale, always with a time limit."""

from __future__ import annotations

import os
import subprocess


class CommandError(Exception):
    """A command failed: ``argv``, ``code`` (None: it did not run to its end) and ``output`` say how."""

    def __init__(self, argv, code, output):
        """Keep the fields and build the message from them."""
        self.argv = list(argv)
        self.code = code
        self.output = output.strip()
        ended = "did not finish" if code is None else f"ended with status {code}"
        super().__init__(f"Command {' '.join(self.argv)} {ended}: {self.output or 'it printed nothing'}")


def run(argv, timeout_s=60, stdin="", environment=None):
    """Return what the command ``argv`` (a list) prints on standard output.

    ``environment`` adds variables to those of this process. Raises CommandError when it cannot be started, ends with a
    status other than 0, or takes longer than ``timeout_s``.
    """
    variables = dict(os.environ, LC_ALL="C", LANGUAGE="C", **(environment or {}))
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=timeout_s, env=variables, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(argv, None, f"stopped after {timeout_s} s") from error
    except OSError as error:
        raise CommandError(argv, None, str(error)) from error
    if done.returncode:
        raise CommandError(argv, done.returncode, done.stderr or done.stdout)
    return done.stdout
