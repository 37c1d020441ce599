"""What can go wrong on the command line: a message, a remedy, a documented exit code, nothing run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from openqrm import errors
from openqrm.cli.main import EPILOG, explain, main

from .conftest import Runs

Run = Callable[..., Result]
LONG = "x" * 300

WRONG = [
    ("resource show nod1", 3, "Did you mean node1"),
    ("aplliance list", 2, "Did you mean appliance?"),
    ("appliance start wep01", 3, "Did you mean web01"),
    ("appliance start", 2, "--all"),
    ("appliance start --state failed", 2, "No appliance is selected"),
    ("appliance start web01 --all", 2, "both"),
    ("kernel show k9", 3, "k1"),
    ("image show x", 3, "does not exist"),
    ("storage show x", 3, "san1"),
    ("volume list --storage x", 3, "san1"),
    ("operation show 99", 3, "does not exist"),
    ("resource create ../x", 2, "not valid"),
    ("resource create A", 2, "not valid"),
    (f"resource create {LONG}", 2, "1 to 63"),
    ("resource create x --mac nonsense", 2, "MAC"),
    ("resource create x --mac 52:54:00:00:00:01", 4, "node1"),
    ("resource create x --cores -1", 2, "cores"),
    ("resource create x --tag a;b", 2, "Tag"),
    ("resource create x --power password=1", 2, "credentials"),
    ("resource create x --parameter nothing", 2, "KEY=VALUE"),
    ("storage add s --type dirctory --host h --location /v --address 10.0.0.1", 3, "directory"),
    ("storage add s --type directory --host h --location ../v --address 10.0.0.1", 2, "path"),
    ("appliance create x --image nothing", 3, "Known: db, web"),
    ("appliance create x", 2, "image"),
    ("kernel add x --package a --directory /", 2, "both"),
    ("plugin enable nothing", 3, "hosts"),
    ("event list --resource node1 --appliance web01", 2, "both"),
    ("nothing", 2, "No such command"),
    ("resource list --nothing", 2, "No such option"),
    ("lab status no-such-lab", 3, "does not exist"),
    ("lab status BAD", 2, "Lab name"),
    ("--lab none kernel list --config", 2, "--config"),
]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(("line", "code", "hint"), WRONG, ids=[line[:60] for line, *_ in WRONG])
def test_wrong_use(run: Run, runs: Runs, line: str, code: int, hint: str) -> None:
    result = run(*line.split())
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    assert hint in result.stderr
    assert "Traceback" not in result.stderr
    assert not runs.calls


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    "name", ["a b", "a/b", "../x", "a\nb", "a'b", 'a"b', "$(x)", "\N{LATIN SMALL LETTER E WITH ACUTE}", ""]
)
@pytest.mark.parametrize(
    "verb", [("resource", "create"), ("resource", "show"), ("kernel", "add"), ("appliance", "start")]
)
def test_names_that_cannot_be(run: Run, runs: Runs, verb: tuple[str, str], name: str) -> None:
    result = run(*verb, name)
    assert (result.exit_code, result.stdout) == (2, "")
    assert not runs.calls


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    "line", ["resource show nod1 --json", "--json resource show nod1", "resource list --nothing --json"]
)
def test_errors_as_json(run: Run, line: str) -> None:
    result = run(*line.split())
    error = json.loads(result.stderr)
    assert set(error) == {"error", "remedy", "exit_code"}
    assert error["exit_code"] == result.exit_code


def test_store_that_is_missing(run: Run) -> None:
    result = run("resource", "list")
    assert (result.exit_code, "openqrm db upgrade" in result.stderr) == (7, True)


def test_store_that_is_no_store(run: Run, config_file: Path) -> None:
    (config_file.parent / "openqrm.db").write_bytes(b"junk" * 1000)
    assert run("resource", "list").exit_code == 7


@pytest.mark.parametrize("text", ["store: [", "stroe: x", "store: mysql://x", "api: {port: 0}"])
def test_broken_configuration_names_its_line(config_file: Path, text: str) -> None:
    config_file.write_text(text)
    result = CliRunner().invoke(main, ["--config", str(config_file), "kernel", "list"])
    assert (result.exit_code, str(config_file) in result.stderr) == (2, True)


def test_missing_configuration_and_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openqrm.cli.session.LABS", tmp_path)
    assert CliRunner().invoke(main, ["--config", f"{tmp_path}/none.yml", "kernel", "list"]).exit_code == 2
    result = CliRunner().invoke(main, ["--lab", "none", "kernel", "list"])
    assert (result.exit_code, "openqrm lab up none" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    "kind", [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.OpenqrmError)]
)
def test_exit_codes_are_documented(kind: type[errors.OpenqrmError]) -> None:
    assert f"{kind.exit_code} " in EPILOG
    text = Path(__file__).parents[3].joinpath("docs", "cli.md").read_text(encoding="utf-8")
    assert f"| {kind.exit_code} |" in text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NotFoundError("Kernel", "x"), 3),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (click.UsageError("x"), 2),
        (PermissionError(13, "Permission denied", "/x"), 1),
        (ZeroDivisionError("x"), 70),
    ],
)
def test_every_exception_has_message_and_code(error: BaseException, code: int) -> None:
    message, remedy, found = explain(error)
    assert (bool(message), bool(remedy), found) == (True, True, code)


@pytest.mark.usefixtures("store")
def test_bug_is_told_without_a_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError("x")

    monkeypatch.setattr("openqrm.store.reader.Reader.kernels", broken)
    result = run("kernel", "list")
    assert (result.exit_code, "bug" in result.stderr, "Traceback" in result.stderr) == (70, True, False)


@pytest.mark.usefixtures("store")
def test_reader_of_the_output_that_goes_away_gets_no_traceback(config_file: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "library")}
    command = [sys.executable, "-m", "openqrm", "--config", str(config_file), "kernel", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1
