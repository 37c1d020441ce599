"""Rules that hold for every file of the project: who imports whom, and that nothing lacks its tests and documents."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COLLECTION = "ansible_collections.openqrm.datacenter"
MODULES = sorted(path for path in (ROOT / "plugins/modules").glob("*.py") if path.stem != "__init__")
ACTIONS = {path.stem for path in (ROOT / "plugins/action").glob("*.py")}
MODULE_UTILS = sorted((ROOT / "plugins/module_utils").rglob("*.py"))
CONTROLLER = sorted(
    path
    for kind in ("action", "inventory", "filter", "lookup", "plugin_utils")
    for path in (ROOT / "plugins" / kind).rglob("*.py")
)
LIBRARY = sorted((ROOT / "library/openqrm").rglob("*.py"))
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
LICENCE = (
    "# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)",
    "# SPDX-License-Identifier: GPL-3.0-or-later",
)


def relative(path: object) -> str:
    """How a path is named in test ids."""
    return str(path.relative_to(ROOT)) if isinstance(path, Path) else str(path)


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full name of every import below a node; relative ones begin with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def guarded(tree: ast.Module) -> set[int]:
    """Lines of imports inside a `try` that handles ImportError, or below `if TYPE_CHECKING`."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and any(
            "ImportError" in ast.dump(handler.type or handler) for handler in node.handlers
        ):
            lines |= {line for part in node.body for line, _ in imports(part)}
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            lines |= {line for part in node.body for line, _ in imports(part)}
    return lines


@functools.cache
def texts_below(*folders: str) -> tuple[str, ...]:
    """The texts of the test files below the given folders of tests/."""
    paths = (path for folder in folders for path in sorted((ROOT / "tests" / folder).rglob("*")))
    wanted = (path for path in paths if path.suffix in {".py", ".yml", ".yaml", ".json"})
    return tuple(path.read_text(encoding="utf-8") for path in wanted)


def is_used(name: str, *folders: str) -> bool:
    """Whether a test names it: whole, built as `{kind}_verb` or `kind_{verb}`, or as the command line's words."""
    parts = [(name[:at], name[at + 1 :]) for at, letter in enumerate(name) if letter == "_"]
    for text in texts_below(*folders):
        if re.search(rf"\b{name}\b", text):
            return True
        for kind, verb in parts:
            spelled = rf"\b{kind}\b\W{{1,4}}{verb.replace('_', '-')}\b"
            built = (f"}}_{verb}" in text and f'"{kind}"' in text) or (f"{kind}_{{" in text and f'"{verb}"' in text)
            if built or re.search(spelled, text):
                return True
    return False


@pytest.mark.parametrize("path", LIBRARY, ids=relative)
def test_the_library_imports_nothing_from_plugins(path: Path) -> None:
    foreign = [
        f"{line}: {name}"
        for line, name in imports(parsed(path))
        if name.split(".")[0] in {"ansible_collections", "plugins"}
    ]
    assert not foreign


@pytest.mark.parametrize("path", [*MODULES, *MODULE_UTILS], ids=relative)
def test_code_for_managed_machines_imports_module_utils_only(path: Path) -> None:
    own = (f"{COLLECTION}.plugins.module_utils", "ansible.module_utils")
    tree = parsed(path)
    # The lab's modules run on the machine that has the lab, which is the controller.
    allowed = guarded(tree) if path.stem.startswith("lab_") else set()
    foreign = [
        f"{line}: {name}"
        for line, name in imports(tree)
        if name.split(".")[0] not in sys.stdlib_module_names and not name.startswith(own) and line not in allowed
    ]
    assert not foreign, "modules and module_utils import the standard library and module_utils only"


@pytest.mark.parametrize("path", CONTROLLER, ids=relative)
def test_plugins_guard_their_imports_of_the_library(path: Path) -> None:
    tree = parsed(path)
    bare = [
        f"{line}: {name}"
        for line, name in imports(tree)
        if name.split(".")[0] == "openqrm" and line not in guarded(tree)
    ]
    assert not bare, (
        "without the library these imports end in a traceback rather than in a message that says what to install"
    )


@pytest.mark.parametrize("path", [*MODULES, *MODULE_UTILS, *CONTROLLER], ids=relative)
def test_plugins_carry_their_licence(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()[:8]
    assert [line for line in LICENCE if line in lines] == list(LICENCE)


@pytest.mark.parametrize("module", [path.stem for path in MODULES])
def test_every_module_has_unit_tests(module: str) -> None:
    names = {
        path.stem.removeprefix("test_") for path in (ROOT / "tests/unit").rglob("*.*") if path.suffix in {".py", ".yml"}
    }
    runs = rf'run_module\(\s*"{module}"|plugins\.(modules|action) import [^\n]*\b{module}\b'
    tested = (
        module in names
        or any(re.search(runs, text) for text in texts_below("unit"))
        or (module in ACTIONS and is_used(module, "unit", "integration"))
    )
    assert tested, f"tests/unit has no test_{module}.py, no {module}.yml with cases, and no test that runs {module}"


def test_the_action_group_has_every_module_that_takes_a_configuration_file() -> None:
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text(encoding="utf-8"))
    documented = [path.stem for path in MODULES if "- openqrm.datacenter.store\n" in path.read_text(encoding="utf-8")]
    assert runtime["action_groups"]["store"] == documented


@pytest.mark.parametrize("role", ROLES, ids=relative)
def test_every_role_is_complete(role: Path) -> None:
    missing = [
        name for name in ("README.md", "meta/argument_specs.yml", "tasks/main.yml") if not (role / name).is_file()
    ]
    assert not missing


@pytest.mark.parametrize("role", ROLES, ids=relative)
def test_every_role_has_a_target(role: Path) -> None:
    assert is_used(role.name, "integration", "contracts", "conformance", "e2e"), "no test below tests/ uses the role"


@pytest.mark.parametrize("role", ROLES, ids=relative)
def test_every_readme_of_a_role_has_a_playbook_that_parses(role: Path, tmp_path: Path) -> None:
    text = (role / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```ya?ml\n(.*?)```", text, re.DOTALL)
    plays = [block for block in blocks if re.search(r"^\s*-?\s*hosts:", block, re.MULTILINE)]
    assert plays, "the README shows no playbook"
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(plays[0], encoding="utf-8")
    assert syntax_errors([playbook]) == ""


@pytest.mark.parametrize("role", ROLES, ids=relative)
def test_defaults_are_what_the_argument_specs_say(role: Path) -> None:
    defaults = yaml_mapping(role / "defaults/main.yml")
    specs = yaml_mapping(role / "meta/argument_specs.yml").get("argument_specs", {})
    options = {name: option for spec in specs.values() for name, option in (spec.get("options") or {}).items()}
    said = {name: option["default"] for name, option in options.items() if "default" in option}
    assert sorted(defaults.keys() - options.keys()) == [], "defaults that no entry point documents"
    assert {name: value for name, value in said.items() if defaults.get(name) != value} == {}


@pytest.mark.parametrize("role", ROLES, ids=relative)
def test_variables_carry_the_name_of_their_role_or_family(role: Path) -> None:
    family = role.name.split("_")[0]
    prefixes = (f"{role.name}_", f"{family}_", f"__{role.name}_", *(["fake_"] if role.name.endswith("_fake") else []))
    names = {*yaml_mapping(role / "defaults/main.yml"), *yaml_mapping(role / "vars/main.yml")}
    assert [name for name in sorted(names) if not name.startswith(prefixes) and name != f"__{role.name}"] == []


def yaml_mapping(path: Path) -> dict[str, dict[str, object]]:
    """The mapping of a YAML file; empty if there is none."""
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}


def syntax_errors(playbooks: list[Path]) -> str:
    """What ansible-playbook says against the playbooks; empty if nothing."""
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", "--syntax-check", *playbooks]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


def test_every_playbook_parses() -> None:
    assert PLAYBOOKS
    assert syntax_errors(PLAYBOOKS) == ""


def is_a_part(playbook: Path) -> bool:
    """Whether it says that it is a part of others, whose runs are its own."""
    return "Used by " in playbook.read_text(encoding="utf-8").partition("\n- ")[0]


@pytest.mark.parametrize("playbook", [path for path in PLAYBOOKS if not is_a_part(path)], ids=relative)
def test_every_playbook_has_a_run(playbook: Path) -> None:
    assert is_used(playbook.stem, "integration", "contracts", "e2e", "packaging"), (
        "no test runs the playbook, by its name or as `openqrm OBJECT VERB`"
    )


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=relative)
def test_every_playbook_says_what_it_does(playbook: Path) -> None:
    lines = [line for line in playbook.read_text(encoding="utf-8").splitlines() if line.strip() != "---"]
    assert lines[0].startswith("# "), "its first line is to be a comment, which the reference pages show"


def test_only_playbooks_look_like_playbooks() -> None:
    """AWX offers any YAML file with a line `hosts:` as a job template's playbook."""
    folders = ("boot-templates", "inventory", "plugins", "tests", "docs", "meta", "changelogs")
    found = [
        relative(path)
        for folder in folders
        for path in (ROOT / folder).rglob("*.yml")
        if re.search(r"^\s?(- +)?hosts:", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert found == []


def test_versions_agree() -> None:
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]
    library = re.search(
        r'^__version__ = "(.+)"$', (ROOT / "library/openqrm/__init__.py").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert library is not None
    assert library[1] == galaxy


def test_the_execution_environment_has_the_librarys_requirements() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {*project["dependencies"], *project["optional-dependencies"]["postgresql"]}
    listed = set((ROOT / "meta/ee-requirements.txt").read_text(encoding="utf-8").splitlines())
    assert listed == {name for name in wanted if not name.startswith("ansible-core")}


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=relative)
def test_no_test_is_skipped(path: Path) -> None:
    if path == Path(__file__):
        return
    assert not re.search(
        r"pytest\.(skip|importorskip|xfail)|mark\.(skip|skipif|xfail)", path.read_text(encoding="utf-8")
    )


def test_files_stay_readable() -> None:
    long = {
        relative(path): count
        for folder in ("library", "plugins", "roles", "playbooks", "tests", "scripts")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".yml", ".sh"} and path.is_file()
        if (count := path.read_text(encoding="utf-8").count("\n")) > 500 and path.name != "argument_specs.yml"
    }
    assert long == {}
