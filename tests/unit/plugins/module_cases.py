"""Runs a module in this process with given arguments and returns its result."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args


def run_module(
    name: str, capsys: pytest.CaptureFixture[str], arguments: Mapping[str, Any], *, check: bool = False
) -> dict[str, Any]:
    """The result of the module `name` of this collection, as it prints it; with diff mode on."""
    module = importlib.import_module(f"ansible_collections.openqrm.datacenter.plugins.modules.{name}")
    modes = {"_ansible_check_mode": check, "_ansible_diff": True}
    with patch_module_args({**arguments, **modes}), pytest.raises(SystemExit):
        module.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result
