"""The tree of commands: help, common options, completion, what is imported when."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from openqrm import operators
from openqrm.cli.main import COMMANDS, main
from openqrm.store import Store

CHANGING = {
    "appliance": {"create", "set", "remove", "start", "stop", "restart", "move"},
    "resource": {"create", "set", "remove", "approve", "power", "reinstate", "grab", "adopt"},
    "kernel": {"add", "remove", "set-default"},
    "image": {"create", "grab", "clone", "snapshot", "publish", "rollback", "resize", "rename", "set", "remove"},
    "shelf": {"add", "remove", "get", "publish"},
    "storage": {"add", "remove"},
    "volume": {"create", "clone", "remove"},
    "operation": {"resume", "cancel"},
    "plugin": {"enable", "disable", "create", "attach", "detach"},
    "lab": {"up", "down", "power"},
    "db": {"upgrade", "backup", "restore", "prune"},
    "cache": {"prune"},
    "pki": {"init"},
    "token": {"create", "revoke"},
}
READING = {
    "appliance": {"list", "show"},
    "resource": {"list", "show"},
    "pki": {"known-hosts"},
    "token": {"list"},
    "kernel": {"list", "show"},
    "image": {"list", "show", "versions"},
    "shelf": {"list", "templates"},
    "storage": {"list", "show", "volumes", "check"},
    "volume": {"list"},
    "operation": {"list", "show"},
    "event": {"list"},
    "plugin": {"list", "services"},
    "lab": {"list", "status", "console", "shell", "demo"},
    "db": {"current"},
}


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with its words."""
    yield (), main
    context = click.Context(main)
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        yield (name,), command
        if isinstance(command, click.Group):
            for verb, inner in command.commands.items():
                yield (name, verb), inner


ALL = dict(commands())


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_says_what_the_command_does(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*words, "--help"], prog_name="openqrm")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: {' '.join(('openqrm', *words))}")
    assert len((ALL[words].help or "").split()) >= 2
    for parameter in ALL[words].params:
        assert isinstance(parameter, click.Argument) or getattr(parameter, "help", ""), parameter.name


@pytest.mark.parametrize("words", [words for words in ALL if len(words) < 2], ids=" ".join)
def test_help_lists_verbs_with_whole_sentences(words: tuple[str, ...]) -> None:
    assert "..." not in CliRunner().invoke(main, [*words, "--help"]).output.replace("ARGS]...", "")


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_json_is_everywhere(words: tuple[str, ...]) -> None:
    assert any("--json" in parameter.opts for parameter in ALL[words].params)


def test_verbs_are_those_that_are_known() -> None:
    found = {(words[0], words[1]) for words in ALL if len(words) == 2}
    assert found == {(name, verb) for table in (CHANGING, READING) for name, verbs in table.items() for verb in verbs}


@pytest.mark.parametrize(
    "words", [(name, verb) for name, verbs in CHANGING.items() for verb in sorted(verbs)], ids=" ".join
)
def test_what_changes_something_has_check_and_diff(words: tuple[str, ...]) -> None:
    options = {option for parameter in ALL[words].params for option in parameter.opts}
    assert {"--check", "--diff"} <= options


@pytest.mark.parametrize("words", [words for words in ALL if words and words[-1] == "remove"], ids=" ".join)
def test_what_destroys_something_has_yes(words: tuple[str, ...]) -> None:
    assert any("--yes" in parameter.opts for parameter in ALL[words].params)


def test_every_command_is_documented() -> None:
    text = Path(__file__).parents[3].joinpath("docs", "cli.md").read_text(encoding="utf-8")
    missing = [" ".join(words) for words in ALL if words and f"openqrm {' '.join(words)}" not in text]
    assert not missing


@pytest.mark.parametrize(
    ("words", "absent"),
    [
        (["--help"], {"sqlalchemy", "fastapi", "ansible", "ansible_runner", "rich", "yaml", "cryptography"}),
        (["appliance", "--help"], {"sqlalchemy", "fastapi", "ansible", "ansible_runner", "rich", "cryptography"}),
        (["completion", "bash"], {"sqlalchemy", "fastapi", "ansible", "rich"}),
    ],
)
def test_help_is_quick_as_it_imports_little(words: list[str], absent: set[str]) -> None:
    code = f"""if True:
        import sys
        from openqrm.cli.main import main
        main({words!r}, prog_name="openqrm", standalone_mode=False)
        print("LOADED", *(name for name in {sorted(absent)!r} if name in sys.modules), file=sys.stderr)"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "library")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stderr.strip() == "LOADED"


def test_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).output.startswith("openqrm, version ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell], prog_name="openqrm")
    assert result.exit_code == 0
    assert "_OPENQRM_COMPLETE" in result.output


def complete(config_file: Path, *words: str) -> list[str]:
    """The completions of the last word."""
    *args, incomplete = words
    completer = ShellComplete(main, {}, "openqrm", "_OPENQRM_COMPLETE")
    return [item.value for item in completer.get_completions(["--config", str(config_file), *args], incomplete)]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("appl",), ["appliance"]),
        (("appliance", "sta"), ["start"]),
        (("appliance", "start", "we"), ["web01"]),
        (("resource", "show", ""), ["node1", "node2"]),
        (("image", "remove", "web", "d"), ["db"]),
        (("volume", "remove", "san1/"), ["san1/db", "san1/spare", "san1/web"]),
        (("appliance", "start", "x", "--to", "node1"), ["node1"]),
        (("appliance", "list", "--state", "act"), ["active"]),
        (("storage", "add", "x", "--type", "dir"), ["directory"]),
    ],
)
def test_names_are_completed_from_the_store(config_file: Path, words: tuple[str, ...], expected: list[str]) -> None:
    assert complete(config_file, *words) == expected


def test_tokens_are_completed(config_file: Path, store: Store) -> None:
    operators.create(store, "ci", "viewer", "test")
    assert complete(config_file, "token", "revoke", "") == ["ci"]
    assert complete(config_file, "token", "create", "c") == []


def test_completion_is_silent_without_a_store(config_file: Path) -> None:
    assert complete(config_file, "appliance", "start", "") == []


def test_completion_closes_the_store(config_file: Path, store: Store) -> None:
    store.close()
    assert complete(config_file, "kernel", "show", "k") == ["k1"]


@pytest.mark.parametrize(("words", "code"), [(["--version"], 0), (["resource", "nope"], 2)])
def test_the_program_ends_with_the_documented_code(words: list[str], code: int) -> None:
    done = subprocess.run([sys.executable, "-m", "openqrm", *words], capture_output=True, text=True, check=False)
    assert (done.returncode, bool(done.stdout), bool(done.stderr)) == (code, code == 0, code != 0)


def test_the_program_ends_quietly_when_its_reader_is_gone() -> None:
    command = f"{sys.executable} -m openqrm --help | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
