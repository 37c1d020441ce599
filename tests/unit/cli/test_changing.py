"""Verbs that change something: which playbook runs with which variables, check mode, outcome, questions."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from openqrm.cli.main import main
from openqrm.planning.changes import Prepared
from openqrm.runner import RunResult
from openqrm.store import Store, head

from .conftest import Runs

Run = Callable[..., Result]

VERBS: dict[str, tuple[str, dict[str, Any]]] = {
    "resource create n3 --mac 52:54:00:00:00:03 --cores 2 --memory-mib 512 --type kvm_vm --tag a --tag b"
    " --power system=7 --parameter rack=7 --parameter on=true --unmonitored": (
        "resource_create",
        {
            "resources": [
                {
                    "name": "n3",
                    "type": "kvm_vm",
                    "macs": ["52:54:00:00:00:03"],
                    "cores": 2,
                    "memory_mib": 512,
                    "tags": ["a", "b"],
                    "power": {"system": 7},
                    "parameters": {"rack": 7, "on": True},
                    "monitored": False,
                }
            ]
        },
    ),
    "resource set node1 node2 --cores 8 --parameter rack=": (
        "resource_create",
        {
            "resources": [
                {"name": "node1", "cores": 8, "parameters": {"rack": None}},
                {"name": "node2", "cores": 8, "parameters": {"rack": None}},
            ]
        },
    ),
    "resource remove node1 --yes": ("resource_remove", {"resources": ["node1"]}),
    "resource power reset node1 node2": ("resource_power", {"resources": ["node1", "node2"], "power": "reset"}),
    "kernel add k2": ("kernel_add", {"kernels": [{"name": "k2", "source": "running"}]}),
    "kernel add k2 --package linux-image-cloud-amd64 --default": (
        "kernel_add",
        {"kernels": [{"name": "k2", "source": "package", "package": "linux-image-cloud-amd64", "default": True}]},
    ),
    "kernel add k2 --directory / --version 6.1": (
        "kernel_add",
        {"kernels": [{"name": "k2", "source": "directory", "directory": "/", "version": "6.1"}]},
    ),
    "kernel add k2 --image web --version 6.1": (
        "kernel_add",
        {"kernels": [{"name": "k2", "source": "image", "image": "web", "version": "6.1"}]},
    ),
    "kernel set-default k1": ("kernel_set_default", {"kernel": "k1"}),
    "kernel remove k1 -y": ("kernel_remove", {"kernels": ["k1"]}),
    "storage add san2 --type directory --host san2 --location /srv/v --address 10.78.0.11": (
        "storage_create",
        {
            "storages": [
                {"name": "san2", "type": "directory", "host": "san2", "location": "/srv/v", "address": "10.78.0.11"}
            ]
        },
    ),
    "storage remove san1 --yes": ("storage_remove", {"storages": ["san1"]}),
    "volume create san1/new --size-mib 100": (
        "volume_create",
        {"volumes": [{"name": "new", "storage": "san1", "size_mib": 100}]},
    ),
    "volume clone san1/web copy": (
        "volume_create",
        {"volumes": [{"name": "copy", "storage": "san1", "source": "web"}]},
    ),
    "volume remove san1/spare --yes": ("volume_remove", {"volumes": ["san1/spare"], "destroy_data": True}),
    "image create i2 --storage san1 --deployment nfs": (
        "image_create",
        {"images": [{"name": "i2", "storage": "san1", "deployment": "nfs"}]},
    ),
    "image clone web web2": ("image_clone", {"images": [{"name": "web2", "source": "web"}]}),
    "image clone web web2 --shared --parameter a=b": (
        "image_clone",
        {"images": [{"name": "web2", "source": "web", "shared": True, "parameters": {"a": "b"}}]},
    ),
    "image snapshot web": ("image_snapshot", {"images": ["web"]}),
    "image rename web www": ("image_rename", {"image": "web", "to": "www"}),
    "image remove web --yes": ("image_remove", {"images": ["web"], "destroy_data": False}),
    "image set web --shared --parameter tags=": (
        "image_set",
        {"images": [{"name": "web", "shared": True, "parameters": {"tags": None}}]},
    ),
    "image remove web --yes --destroy-data": ("image_remove", {"images": ["web"], "destroy_data": True}),
    "appliance create a2 --image web --cores 2 --tag gpu --members 2 --clone --parameter tags=x": (
        "appliance_create",
        {
            "appliances": [
                {
                    "name": "a2",
                    "image": "web",
                    "members": 2,
                    "clone": True,
                    "parameters": {"tags": "x"},
                    "requirements": {"cores": 2, "tags": ["gpu"]},
                }
            ]
        },
    ),
    "appliance set web01 --memory-mib 99": (
        "appliance_create",
        {"appliances": [{"name": "web01", "requirements": {"memory_mib": 99}}]},
    ),
    "appliance remove web01 --yes": ("appliance_remove", {"appliances": ["web01"]}),
    "appliance remove web01 --yes --destroy-data": (
        "appliance_remove",
        {"appliances": ["web01"], "destroy_data": True},
    ),
    "appliance restart --all": ("appliance_restart", {"appliances": ["db01", "web01"]}),
    "appliance restart --state active": ("appliance_restart", {"appliances": ["db01"]}),
    "appliance restart --tag slow --tag gpu --boot reset": (
        "appliance_restart",
        {"appliances": ["db01", "web01"], "boot": "reset"},
    ),
    "plugin enable hosts": ("plugin_enable", {"plugins": ["hosts"]}),
    "plugin attach motd/banner appliances image:web": (
        "boot_service_attach",
        {"services": ["motd/banner"], "scopes": ["appliances", "image:web"]},
    ),
    "plugin detach motd/banner images": ("boot_service_detach", {"services": ["motd/banner"], "scopes": ["images"]}),
    "plugin disable hosts": ("plugin_disable", {"plugins": ["hosts"]}),
}
PLANNED: dict[str, tuple[str, dict[str, Any]]] = {
    "appliance start web01": ("appliance_start", {"appliances": ["web01"]}),
    "appliance start web01 --to node1 --boot reset": (
        "appliance_start",
        {"appliances": ["web01"], "boot": "reset", "to": "node1"},
    ),
    "appliance start web01 --install-from web --overwrite": (
        "appliance_start",
        {"appliances": ["web01"], "install_from": "web", "overwrite": True},
    ),
    "appliance start web01 --transfer-to-disk /dev/sdb": (
        "appliance_start",
        {"appliances": ["web01"], "transfer_to_disk": "/dev/sdb"},
    ),
    "appliance stop --all": ("appliance_stop", {"appliances": ["db01", "web01"]}),
    "appliance stop db01 --force": ("appliance_stop", {"appliances": ["db01"], "force": True}),
    "image publish web /dev/null": (
        "image_publish",
        {"image": "web", "archive": "/dev/null", "sha256": hashlib.sha256(b"").hexdigest()},
    ),
    "appliance move db01 --to node1": ("appliance_move", {"appliances": ["db01"], "to": "node1"}),
}


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("line", VERBS)
def test_verb_runs_its_playbook(run: Run, runs: Runs, line: str) -> None:
    result = run(*line.split())
    assert result.exit_code == 0, result.output
    playbook, variables = runs.calls[0]
    plans = variables.pop("openqrm_plans", {})
    assert [(playbook, variables)] == [VERBS[line]]
    assert runs.plans == (list(plans.values()) or [None])
    assert runs.flags == [(False, False)]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("line", PLANNED)
def test_verb_that_is_a_plan_is_planned_before_its_playbook_runs(
    run: Run, runs: Runs, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    planned: list[tuple[str, Any]] = []

    def prepare(_center: object, verb: str, arguments: Any, *, owner: str, actor: str, check: bool) -> Prepared:
        assert owner
        assert actor
        assert not check
        planned.append((verb, arguments))
        return Prepared(7, {})

    monkeypatch.setattr("openqrm.planning.changes.prepare", prepare)
    result = run(*line.split())
    assert result.exit_code == 0, result.output
    playbook, variables = PLANNED[line]
    verb = playbook.removeprefix("appliance_")
    assert planned == [(verb, variables)]
    assert runs.calls == [(playbook, {**variables, "openqrm_plans": {verb: 7}})]
    assert runs.plans == [7]


@pytest.mark.usefixtures("store")
def test_plan_that_has_nothing_to_do_runs_no_playbook(run: Run, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = Prepared(0, {}, {"web01": "appliance web01 is stopped already"})
    monkeypatch.setattr("openqrm.planning.changes.prepare", lambda *_, **__: nothing)
    assert run("appliance", "stop", "web01").output == "Nothing to do: appliance web01 is stopped already.\n"
    assert json.loads(run("appliance", "stop", "web01", "--json").output)["changed"] is False
    assert not runs.calls


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("line", ["resource set node1 --cores 9", "kernel set-default k1", "appliance remove web01"])
def test_check_and_diff_are_passed_on_and_need_no_yes(run: Run, runs: Runs, line: str) -> None:
    runs.result = RunResult("successful", changed=True, diff=("cores: 9",))
    result = run(*line.split(), "--check", "--diff")
    assert runs.flags == [(True, True)]
    assert "cores: 9" in result.output
    assert "nothing was changed" in result.output


@pytest.mark.usefixtures("store")
def test_outcome_as_text_and_json(run: Run, runs: Runs) -> None:
    assert run("kernel", "set-default", "k1").output == "Made k1 the default kernel.\n"
    assert run("kernel", "set-default", "k1", "--quiet").output == ""
    runs.result = RunResult("successful", {"openqrm": {"changed": False, "unchanged": ["kernel k1 is it"]}})
    assert run("kernel", "set-default", "k1").output == "Nothing to do: kernel k1 is it.\n"
    assert json.loads(run("kernel", "set-default", "k1", "--json").output) == {
        "changed": False,
        "unchanged": ["kernel k1 is it"],
        "check": False,
        "diff": [],
    }


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("line", "key"), [("resource power status node1", "resources"), ("storage volumes san1", "volumes")]
)
def test_what_was_read_is_shown(run: Run, runs: Runs, line: str, key: str) -> None:
    runs.result = RunResult("successful", {"openqrm": {key: [{"name": "x1", "storage": "san1", "power": "on"}]}})
    assert "x1" in run(*line.split()).output
    assert json.loads(run(*line.split(), "--json").output)[0]["name"] == "x1"


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("code", [1, 5, 8])
def test_failed_run_is_an_error_with_what_ended_it(run: Run, runs: Runs, code: int) -> None:
    runs.result = RunResult("failed", errors=("task failed", "san1: the disk is full."), exit_code=code)
    result = run("kernel", "set-default", "k1")
    assert result.exit_code == (code if code > 1 else 8)
    assert result.stderr == "Error: san1: the disk is full.\n"
    assert json.loads(run("kernel", "set-default", "k1", "--json").stderr)["exit_code"] == result.exit_code


@pytest.mark.usefixtures("store")
def test_cancelled_run_is_130(run: Run, runs: Runs) -> None:
    runs.result = RunResult("canceled")
    result = run("kernel", "set-default", "k1")
    assert (result.exit_code, "Interrupted." in result.stderr) == (130, True)


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def signals() -> Iterator[None]:
    """What signals do by default, whatever the process was started with: in the background, SIGINT is ignored."""
    before = [signal.signal(number, signal.SIG_DFL) for number in SIGNALS]
    yield
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("store", "signals")
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(("status", "code"), [("canceled", 130), ("failed", 130), ("successful", 0)])
def test_first_signal_lets_the_run_end(run: Run, runs: Runs, status: str, code: int, number: signal.Signals) -> None:
    runs.result = RunResult(status)
    runs.act = lambda _on_event: signal.raise_signal(number)
    result = run("kernel", "set-default", "k1")
    assert (result.exit_code, len(runs.calls)) == (code, 1)
    assert signal.getsignal(number) is signal.SIG_DFL


@pytest.mark.usefixtures("store", "signals")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_is_ignored_stays_ignored(run: Run, runs: Runs, number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_IGN)
    runs.act = lambda _on_event: signal.raise_signal(number)
    assert run("kernel", "set-default", "k1").exit_code == 0
    assert signal.getsignal(number) is signal.SIG_IGN


@pytest.mark.usefixtures("store", "signals")
def test_second_interrupt_ends_it_at_once(run: Run, runs: Runs) -> None:
    def twice(_: object) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    runs.act = twice
    assert run("kernel", "set-default", "k1").exit_code == 130


@pytest.mark.usefixtures("store")
def test_progress_is_one_line_per_step_without_a_terminal(run: Run, runs: Runs) -> None:
    def steps(on_event: Any) -> None:
        for kind, name, state, detail in (
            ("task", "Prepare the plan", "started", ""),
            ("step", "storage_fake volume_clone", "started", "san1"),
            ("step", "storage_fake volume_clone", "done", "san1"),
            ("task", "role : Wait", "started", ""),
            ("task", "role : Wait", "failed", "too late"),
            ("step", "node wait_up", "failed", "localhost"),
        ):
            on_event({"kind": kind, "name": name, "state": state, "detail": detail})

    runs.act = steps
    lines = run("kernel", "set-default", "k1").stderr.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("\N{CHECK MARK} san1: storage_fake volume_clone (")
    assert lines[1:] == ["\N{MULTIPLICATION SIGN} Wait: too late", "\N{MULTIPLICATION SIGN} localhost: node wait_up"]
    assert "Prepare the plan" in run("kernel", "set-default", "k1", "-v").stderr
    assert run("kernel", "set-default", "k1", "--json").stderr == ""


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("terminal", "answer", "code", "count"), [(False, "", 2, 0), (True, "n\n", 130, 0), (True, "y\n", 0, 1)]
)
def test_destruction_asks(
    run: Run, runs: Runs, monkeypatch: pytest.MonkeyPatch, terminal: bool, answer: str, code: int, count: int
) -> None:
    if terminal:
        monkeypatch.setattr("openqrm.cli.session._can_ask", lambda: True)
    result = run("image", "remove", "web", "--destroy-data", stdin=answer)
    assert (result.exit_code, len(runs.calls)) == (code, count)
    assert "all data" in result.stderr


@pytest.mark.usefixtures("store")
def test_recipe_is_read(run: Run, runs: Runs, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yml"
    recipe.write_text("suite: bookworm\npackages: [nginx-light]\n")
    result = run("image", "create", "i2", "--storage", "san1", "--deployment", "nfs", "--recipe", str(recipe))
    assert result.exit_code == 0, result.output
    assert runs.calls[0][1]["images"][0]["recipe"] == {"suite": "bookworm", "packages": ["nginx-light"]}
    recipe.write_text("- x")
    assert (
        run("image", "create", "i2", "--storage", "san1", "--deployment", "nfs", "--recipe", str(recipe)).exit_code == 2
    )


@pytest.mark.parametrize("family", ["plugin", "storage", "deployment"])
def test_skeleton_is_written_once(run: Run, tmp_path: Path, family: str) -> None:
    line = ["plugin", "create", "acme", "--family", family, "--directory", str(tmp_path / "roles")]
    planned = json.loads(run(*line, "--check", "--json").output)["files"]
    assert not (tmp_path / "roles").exists()
    written = json.loads(run(*line, "--json").output)["files"]
    assert planned == written
    assert (tmp_path / "roles" / f"{family}_acme" / "meta" / "openqrm.yml").is_file()
    assert run(*line).exit_code == 4


def test_store_is_created_and_upgraded(run: Run) -> None:
    assert json.loads(run("db", "upgrade", "--check", "--json").output) == {
        "changed": True,
        "check": True,
        "before": "",
        "after": head(),
    }
    assert "would be upgraded" in run("db", "upgrade", "--check").output
    assert "upgraded" in run("db", "upgrade").output
    assert "upgraded" not in run("db", "upgrade").output


def test_authority_is_made_once(run: Run, config_file: Path) -> None:
    path = config_file.parent / "state" / "pki" / "ca.pem"
    assert json.loads(run("pki", "init", "--check", "--json").output) == {
        "changed": True,
        "check": True,
        "ca": str(path),
    }
    assert not path.exists()
    assert run("pki", "init").output == f"{path}\n"
    assert json.loads(run("pki", "init", "--json").output)["changed"] is False


@pytest.mark.usefixtures("store")
def test_lab_gives_the_configuration(monkeypatch: pytest.MonkeyPatch, config_file: Path) -> None:
    monkeypatch.setattr("openqrm.cli.session.lab_config", lambda _name: config_file)
    for line in (["--lab", "x", "kernel", "list"], ["kernel", "list", "--lab", "x"]):
        assert "k1" in CliRunner().invoke(main, line).output
    assert "k1" in CliRunner(env={"OPENQRM_LAB": "x"}).invoke(main, ["kernel", "list"]).output


@pytest.mark.usefixtures("store")
def test_typed_lab_wins_over_the_environment_and_a_named_file_over_its_lab(
    monkeypatch: pytest.MonkeyPatch, config_file: Path, tmp_path: Path
) -> None:
    missing = str(tmp_path / "missing.yml")
    monkeypatch.setattr("openqrm.cli.session.lab_config", lambda name: config_file if name == "x" else Path(missing))
    both = CliRunner(env={"OPENQRM_LAB": "y", "OPENQRM_CONFIG": str(config_file)})
    assert "k1" in both.invoke(main, ["kernel", "list"]).output
    assert both.invoke(main, ["--lab", "y", "kernel", "list"]).exit_code == 2
    named = CliRunner(env={"OPENQRM_CONFIG": missing})
    assert "k1" in named.invoke(main, ["--lab", "x", "kernel", "list"]).output


def test_options_of_root_modes_become_parameters(run: Run, runs: Runs, store: Store) -> None:
    with store.write("test", "share") as tx:
        tx.save([replace(tx.image("web"), shared=True)])
    line = "appliance set web01 --root-mode private --private /var/log --private /srv --private-exclude /srv/common"
    assert run(*line.split(), "--overlay-size-mib", "64", "--parameter", "tags=x").exit_code == 0
    parameters = {
        "overlay_size_mib": 64,
        "private_directories": ["/var/log", "/srv"],
        "private_excludes": ["/srv/common"],
        "tags": "x",
    }
    entry = {"name": "web01", "root_mode": "private", "parameters": parameters}
    assert runs.calls == [("appliance_create", {"appliances": [entry]})]


@pytest.mark.usefixtures("store")
def test_settings_of_another_root_mode_are_refused_before_anything_runs(run: Run, runs: Runs) -> None:
    result = run("appliance", "set", "web01", "--overlay-size-mib", "64")
    assert result.exit_code != 0
    assert "has overlay_size_mib, which root mode read-write does not have" in result.output
    assert not runs.calls


@pytest.mark.usefixtures("store")
def test_check_of_a_restart_says_what_it_does_not_show(run: Run, runs: Runs) -> None:
    result = run("appliance", "restart", "db01", "--check")
    assert result.exit_code == 0, result.output
    assert runs.flags == [(True, False)]
    assert "the start that follows is planned when the stop is done" in result.stdout
    assert "start that follows" not in run("appliance", "restart", "db01").stdout
