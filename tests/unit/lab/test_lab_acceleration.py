"""lab_acceleration: the trial believes the console alone, ends its process, and its answer is kept."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.modules import lab_acceleration

CONSOLES = {
    "boots": ("import time; print('Linux version', 'VFS: Unable to mount root fs', flush=True); time.sleep(60)", True),
    "hangs early": ("import time; print('Probing EDD...', flush=True); time.sleep(60)", False),
    "cannot start": ("raise SystemExit(1)", False),
}


@pytest.mark.parametrize("console", CONSOLES)
def test_only_a_booted_kernel_counts(console: str) -> None:
    program, booted = CONSOLES[console]
    assert lab_acceleration.boots([sys.executable, "-c", program], 2 if not booted else 30) is booted


def params(base: Path, choice: str = "auto") -> dict[str, Any]:
    return {"choice": choice, "vmlinuz": str(base / "vmlinuz"), "cache_dir": str(base), "timeout_s": 1}


def kept(base: Path, identity: dict[str, str]) -> None:
    answer = {"accelerator": "kvm", "reason": "kept"}
    (base / "acceleration.json").write_text(json.dumps({"identity": identity, "answer": answer}))


def test_kept_answer_is_taken(tmp_path: Path) -> None:
    kept(tmp_path, lab_acceleration.machine_identity())
    done = lab_acceleration.ensure(params(tmp_path), False)
    assert done == {"accelerator": "kvm", "reason": "kept", "changed": False}


def test_answer_of_another_boot_is_tried_again_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(tmp_path, {"kernel": "other", "boot": "other"})
    monkeypatch.setattr(lab_acceleration, "answer_by_trial", lambda *_: {"accelerator": "tcg", "reason": "tried"})
    assert lab_acceleration.ensure(params(tmp_path), False)["changed"]
    again = lab_acceleration.ensure(params(tmp_path), False)
    assert again == {"accelerator": "tcg", "reason": "tried", "changed": False}


def test_without_a_device_there_is_no_trial(tmp_path: Path) -> None:
    answer = lab_acceleration.answer_by_trial("/no/kernel", 1, str(tmp_path / "kvm"))
    assert answer["accelerator"] == "tcg"


def test_choice_is_not_tried(tmp_path: Path) -> None:
    assert lab_acceleration.ensure(params(tmp_path, "kvm"), False)["accelerator"] == "kvm"
    assert list(tmp_path.iterdir()) == []


def test_check_mode_keeps_nothing(tmp_path: Path) -> None:
    assert lab_acceleration.ensure(params(tmp_path), True)["changed"]
    assert list(tmp_path.iterdir()) == []
