"""The generator of docs/reference: metadata as ansible-doc gives it, and the pages that follow from it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
MODULE = {
    "doc": {
        "short_description": "Keep a widget",
        "description": ["Uses O(path), or C(a|b)."],
        "options": {
            "path": {"type": "path", "required": True, "description": ["Where it is."]},
            "sizes": {
                "type": "list",
                "elements": "dict",
                "description": "Its sizes.",
                "suboptions": {"unit": {"default": "m", "choices": ["m", "mm"], "description": "The unit."}},
            },
        },
    },
    "examples": "- name: One\n  openqrm.datacenter.widget:\n",
    "return": {"items": {"type": "list", "elements": "dict", "returned": "success", "description": "Results."}},
}
PLAYBOOK = "---\n# Makes widgets.\n# Variables:\n#   widgets: names\n- name: Make\n  hosts: all\n"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_reference", ROOT / "scripts/generate_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_module_page_has_options_examples_and_results(generator: ModuleType) -> None:
    lines = list(generator.plugin_page("module", "openqrm.datacenter.widget", MODULE))
    assert lines[:3] == ["# openqrm.datacenter.widget", "", "Keep a widget."]
    assert "| `path` | path | required | Where it is. |" in lines
    assert '| `sizes.unit` | str | `"m"` | The unit. One of: `m`, `mm`. |' in lines
    assert "- name: One\n  openqrm.datacenter.widget:" in lines
    assert "| `items` | list of dict | success | Results. |" in lines


def test_a_role_page_names_shared_options_once(generator: ModuleType) -> None:
    shared = {"type": "str", "description": "Shared."}
    own = {"type": "int", "default": 3, "description": "Own."}
    entries = {
        "prepare": {"short_description": "Prepare", "options": {"a": shared}},
        "create": {"short_description": "Create", "options": {"a": shared, "b": own}},
    }
    lines = list(generator.role_page("openqrm.datacenter.x", {"entry_points": entries}))
    assert lines.count("| `a` | str |  | Shared. |") == 1
    assert lines.index("| `b` | int | `3` | Own. |") > lines.index("## Entry point create")
    assert lines.index("## Entry point create") < lines.index("## Entry point prepare")


def test_a_playbook_page_has_its_header_and_plays(generator: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "widget_make.yml").write_text(PLAYBOOK, encoding="utf-8")
    lines = list(generator.playbook_page(tmp_path / "widget_make.yml"))
    assert lines[:3] == ["# openqrm.datacenter.widget_make", "", "Makes widgets."]
    assert "- `widgets`: names" in lines
    assert "| Make | `all` |" in lines


def test_the_index_lists_everything(generator: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "widget_make.yml").write_text(PLAYBOOK, encoding="utf-8")
    described = {kind: {} for kind in generator.KINDS} | {"module": {"openqrm.datacenter.widget": MODULE}}
    pages = generator.pages(described, tmp_path)
    index = pages[generator.REFERENCE / "README.md"]
    assert "| [widget](modules/widget.md) | Keep a widget |" in index
    assert "| [widget_make](playbooks/widget_make.md) | Makes widgets. |" in index
    assert set(pages) == {
        generator.REFERENCE / name for name in ("README.md", "modules/widget.md", "playbooks/widget_make.md")
    }
