"""Lists and details, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import Result
from openqrm.cli import output
from openqrm.cli.selection import tags_of
from openqrm.model import Appliance, Plan
from openqrm.planning.rounds import NOTES
from openqrm.store import Store, head

pytestmark = pytest.mark.usefixtures("store")
Run = Callable[..., Result]

LISTS = {
    "resource list": ["node1", "idle", "4G", "1000M", "db01[0]"],
    "resource list --state active": ["node2"],
    "resource list --tag gpu": ["node1"],
    "resource list node2": ["node2"],
    "kernel list": ["k1", "6.1.0", "yes"],
    "storage list": ["san1", "directory", "3"],
    "volume list": ["san1/web", "1G", "san1/db"],
    "volume list --storage san1": ["san1/db"],
    "image list": ["web", "golden", "db01[0]"],
    "appliance list": ["web01", "stopped", "db01", "active", "node2"],
    "appliance list --state active": ["db01"],
    "appliance list --tag prod": ["db01"],
    "appliance list web01": ["web01"],
    "operation list": ["start", "planned", "db01", "1/1"],
    "event list": ["hello", "resource node1"],
    "event list --severity error": ["bad"],
    "event list --resource node1": ["hello"],
    "plugin list": ["hosts", "no", "appliance_start"],
}
DETAILS = {
    "resource show node1": ["52:54:00:00:00:01", "redfish", "gpu", "hello"],
    "resource show node2": ["db01[0]", "Epoch"],
    "kernel show k1": ["a" * 64, "db01", "web01"],
    "storage show san1": ["/srv/volumes", "web"],
    "image show web": ["golden", "web01"],
    "appliance show db01": ["[0] node2", "image db", "bad"],
    "appliance show web01": ["1 cores", "gpu"],
    "operation show 1": ["storage_directory", "volume_clone", "done"],
}


@pytest.mark.parametrize("line", [*LISTS, *DETAILS])
def test_text_shows_what_is_there(run: Run, line: str) -> None:
    result = run(*line.split())
    assert result.exit_code == 0, result.output
    assert [word for word in (LISTS | DETAILS)[line] if word not in result.output] == []
    assert "\x1b" not in result.output


@pytest.mark.parametrize(
    "kinds", [["appliance", "resource", "member", "settled"], ["resource", "settled"], ["kernel", "failure"]]
)
def test_operations_name_what_they_are_about_once(run: Run, store: Store, kinds: list[str]) -> None:
    rows = tuple({"kind": kind, "name": "" if kind in NOTES else "x"} for kind in kinds)
    with store.write("test", "test") as tx:
        tx.add_plan(Plan(0, "mark", "planned", "x", (), rows))
    line = next(line for line in run("operation", "list").output.splitlines() if "mark" in line)
    assert line.split()[3] == "x"
    assert line.split()[4] == "0/0"


@pytest.mark.parametrize("line", LISTS)
def test_json_of_a_list_is_an_array(run: Run, line: str) -> None:
    before, after = run("--json", *line.split()), run(*line.split(), "--json")
    assert isinstance(json.loads(before.stdout), list)
    assert before.stdout == after.stdout
    assert before.stderr == ""


@pytest.mark.parametrize("line", DETAILS)
def test_json_of_one_object_is_an_object(run: Run, line: str) -> None:
    assert isinstance(json.loads(run(*line.split(), "--json").stdout), dict)


@pytest.mark.parametrize(
    "line", ["resource list --state off", "appliance list --state failed", "event list --severity warning"]
)
def test_empty_lists_say_so(run: Run, line: str) -> None:
    assert run(*line.split()).output.startswith("No ")
    assert json.loads(run(*line.split(), "--json").output) == []


def test_events_are_followed_until_interrupted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    result = run("event", "list", "--follow", "--json")
    assert result.exit_code == 130
    assert [json.loads(line)["severity"] for line in result.stdout.splitlines()] == ["info", "error"]


def test_current_schema(run: Run) -> None:
    assert json.loads(run("db", "current", "--json").output)["current"] == head()
    assert head() in run("db", "current").output


@pytest.mark.parametrize(
    ("widths", "available", "expected"),
    [
        ([5, 10], 20, [5, 10]),
        ([5, 30], 22, [5, 15]),
        ([30, 30], 22, [11, 9]),
        ([22, 8, 9, 20], 80, [22, 8, 9, 20]),
        ([22, 8, 9, 20], 52, [22, 8, 8, 8]),
        ([22, 8, 9, 20], 51, [22, 8, 9, 0]),
        ([30, 30, 30], 14, [14, 0, 0]),
        ([30], 14, [14]),
    ],
)
def test_widest_columns_are_cut_and_the_last_left_out(widths: list[int], available: int, expected: list[int]) -> None:
    assert output.fitted(widths, [True] * len(widths), available) == expected


def test_columns_without_content_are_left_out_first() -> None:
    assert output.fitted([22, 8, 9, 20], [True, False, True, True], 49) == [22, 0, 9, 14]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_table_on_a_terminal_fits_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    columns = ["NAME", "STATE", "CORES", "MEMORY", "DISK", "ADDRESS", "APPLIANCE", "TAGS", "SEEN", "TYPE"]
    row = ["node-52-54-00-12-34-56", "quarantined", 2, "2G", "4G", "10.77.0.100", "", "x" * 99, "4s ago", "physical"]
    output.print_table(columns, [row, ["n" * 63, *row[1:]]], "")
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= width
    assert lines[1].startswith("node-52-54-00-12-34-56" if width > 40 else "node-52-54-")
    assert "\N{HORIZONTAL ELLIPSIS}" in lines[2] or width == 200


@pytest.mark.parametrize(
    ("mib", "expected"), [(0, ""), (512, "512M"), (1024, "1G"), (1536, "1536M"), (1048576, "1024G")]
)
def test_sizes(mib: int, expected: str) -> None:
    assert output.size(mib) == expected


def test_a_choice_of_nothing_is_not_an_empty_data_centre(run: Run) -> None:
    assert run("appliance", "list", "--tag", "nothing").output == "No such appliances.\n"
    assert run("resource", "list", "--tag", "nothing").output == "No such machines.\n"


def test_a_tag_that_is_a_number_selects_too() -> None:
    assert tags_of(Appliance(0, "web01", "k1", "web", parameters={"tags": 2024})) == {"2024"}
