"""Bad input on the command line: a message that names object, value and remedy, the documented exit code, no change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from openqrm.cli.main import COMMANDS, main
from openqrm.cli.parameters import Name, TypeName

from tests.support.unchanged import rows_of

from .conftest import Runs

Run = Callable[..., Result]

# Every place of a name on the command line: NAME stands for it; a name that is known there, or none for a new object.
PLACES: dict[str, str] = {
    "appliance list NAME": "web01",
    "appliance show NAME": "web01",
    "appliance create NAME --image web": "",
    "appliance create x --image NAME": "web",
    "appliance create x --image web --kernel NAME": "k1",
    "appliance create x --image web --resource NAME": "node1",
    "appliance set NAME --members 2": "web01",
    "appliance set web01 --image NAME": "web",
    "appliance remove NAME --yes": "web01",
    "appliance start NAME": "web01",
    "appliance start web01 --to NAME": "node1",
    "appliance stop NAME": "web01",
    "appliance restart NAME": "web01",
    "appliance move NAME": "web01",
    "appliance move db01 --to NAME": "node1",
    "resource list NAME": "node1",
    "resource show NAME": "node1",
    "resource create NAME": "",
    "resource create x --power-driver NAME": "redfish",
    "resource set NAME --cores 2": "node1",
    "resource remove NAME --yes": "node1",
    "resource approve NAME": "node1",
    "resource reinstate NAME": "node1",
    "resource power status NAME": "node1",
    "resource grab NAME web": "node1",
    "resource grab node1 NAME": "web",
    "resource adopt NAME --storage san1": "node1",
    "resource adopt node1 --storage NAME": "san1",
    "resource adopt node1 --storage san1 --appliance NAME": "",
    "kernel add NAME": "",
    "kernel add x --image NAME": "web",
    "kernel show NAME": "k1",
    "kernel remove NAME --yes": "k1",
    "kernel set-default NAME": "k1",
    "appliance start web01 --install-from NAME": "web",
    "appliance start web01 --transfer-to NAME": "web",
    "image create NAME --storage san1 --deployment nfs": "",
    "image create x --storage NAME --deployment nfs": "san1",
    "image create x --storage san1 --deployment NAME": "nfs",
    "image create x --storage san1 --deployment nfs --volume NAME": "",
    "image grab NAME --from h --storage san1 --deployment nfs": "",
    "image grab x --from h --storage NAME --deployment nfs": "san1",
    "image grab x --from h --storage san1 --deployment NAME": "nfs",
    "image grab x --from h --storage san1 --deployment nfs --volume NAME": "",
    "image show NAME": "web",
    "image clone NAME x": "web",
    "image clone web NAME": "",
    "image snapshot NAME": "web",
    "image publish NAME /etc/hostname": "web",
    "image versions NAME": "web",
    "image rollback NAME 1 --yes": "web",
    "image resize NAME --size-mib 4096": "web",
    "image rename NAME x": "web",
    "image rename web NAME": "",
    "image set NAME --shared": "web",
    "image remove NAME --yes": "web",
    "shelf add NAME /srv/shelf --unsigned": "",
    "shelf remove NAME --yes": "main",
    "shelf templates NAME": "main",
    "shelf get main/web NAME --storage san1 --deployment nfs": "",
    "shelf get main/web x --storage NAME --deployment nfs": "san1",
    "shelf get main/web x --storage san1 --deployment NAME": "nfs",
    "shelf get main/web x --storage san1 --deployment nfs --volume NAME": "",
    "storage add NAME --type directory --host h --location /v --address 10.0.0.1": "",
    "storage add x --type NAME --host h --location /v --address 10.0.0.1": "directory",
    "storage add x --type directory --location /v --appliance NAME": "web",
    "storage add x --type directory --location /v --resource NAME": "node1",
    "storage show NAME": "san1",
    "storage volumes NAME": "san1",
    "storage check NAME": "san1",
    "storage remove NAME --yes": "san1",
    "volume list --storage NAME": "san1",
    "volume create san1/NAME": "",
    "volume create NAME/x": "san1",
    "volume clone san1/NAME x": "san1/web",
    "volume clone NAME/web x": "san1",
    "volume clone san1/web NAME": "",
    "volume remove san1/NAME --yes": "san1/web",
    "event list --resource NAME": "node1",
    "event list --appliance NAME": "web01",
    "plugin enable NAME": "hosts",
    "plugin disable NAME": "hosts",
    "plugin create NAME": "",
    "token create NAME --role viewer": "",
    "token revoke NAME --yes": "nightly",
    "lab status NAME": "",
    "lab down NAME --yes": "",
}
BAD_NAMES = {
    "space": "a b",
    "slash": "a/b/c",
    "parent": "../x",
    "newline": "a\nb",
    "trailing newline": "ab\n",
    "quote": "a'b",
    "double quote": 'a"b',
    "command": "$(x)",
    "300 characters": "x" * 300,
    "not ASCII": "\N{LATIN SMALL LETTER E WITH ACUTE}t\N{LATIN SMALL LETTER E WITH ACUTE}",
    "digit that is not ASCII": "a\N{ARABIC-INDIC DIGIT THREE}",
    "capital": "Web",
    "dots": "a..b",
    "empty": "",
    "nul": "a\0b",
}


@pytest.fixture
def unchanged(config_file: Path, store: object, runs: Runs) -> Iterator[None]:
    """The store holds the same afterwards, no playbook ran, no file was made."""
    database = config_file.parent / "openqrm.db"
    before, files = rows_of(database), sorted(path.name for path in config_file.parent.iterdir())
    yield
    assert store is not None
    assert rows_of(database) == before
    assert runs.calls == []
    assert {path.name for path in config_file.parent.iterdir()} - set(files) <= {"openqrm.db-wal", "openqrm.db-shm"}


def words_of(place: str, name: str) -> list[str]:
    return [word.replace("NAME", name) for word in place.split()]


def refused(result: Result, codes: set[int], *hints: str) -> None:
    """The command failed as documented: one error and what to do about it, nothing on stdout."""
    assert result.exit_code in codes, (result.exit_code, result.output)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert len(result.stderr) < 1200
    for hint in hints:
        assert hint in result.stderr, result.stderr


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("place", PLACES)
def test_names_that_cannot_be(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str) -> None:
    monkeypatch.chdir(tmp_path)
    for bad, name in BAD_NAMES.items():
        result = run(*words_of(place, name))
        refused(result, {2}, "not ", "Use ")
        assert len(result.stderr.splitlines()) <= 4, f"{bad}: a newline of the name does not get into the message"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("place", [place for place, known in PLACES.items() if known])
def test_a_name_that_is_not_known(run: Run, place: str) -> None:
    known = PLACES[place]
    near = f"{known.rpartition('/')[2]}x"
    result = run(*words_of(place, near))
    refused(result, {3}, f"{near}", "does not exist", known)


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(main)
    for name in COMMANDS:
        group = main.get_command(context, name)
        if isinstance(group, click.Group):
            yield from ((f"{name} {verb}", command) for verb, command in group.commands.items())


def test_every_place_of_a_name_is_tried() -> None:
    """Every argument and option of the command tree that takes a name occurs in `PLACES`."""
    missing = []
    for words, command in commands():
        lines = [place for place in PLACES if place.startswith(f"{words} ")]
        for parameter in command.params:
            if isinstance(parameter.type, (Name, TypeName)):
                option = parameter.opts[-1] if isinstance(parameter, click.Option) else ""
                found = [
                    line
                    for line in lines
                    if (f"{option} NAME" in line if option else " NAME" in f" {line}" or "/NAME" in line)
                ]
                missing += [] if found else [f"{words} {option or parameter.name}"]
    assert [item for item in missing if item not in SAME] == []


# The same option as that of a verb that is tried.
SAME = ["appliance set --kernel", "appliance set --resource", "resource set --power-driver"]

SIZES = [
    ("resource create x --cores", "cores", ["-1", "65537", "99999999999999999999"]),
    ("resource create x --memory-mib", "memory_mib", ["-1", "1099511627777"]),
    ("resource create x --disk-mib", "disk_mib", ["-1", "1099511627777"]),
    ("resource set node1 --cores", "cores", ["-1", "65537"]),
    ("appliance create x --image web --members", "members", ["-1", "0", "10001"]),
    ("appliance create x --image web --cores", "cores", ["-1", "65537"]),
    ("appliance create x --image web --memory-mib", "memory_mib", ["-1", "1099511627777"]),
    ("appliance create x --image web --nics", "nics", ["-1", "99999999999"]),
    ("appliance create x --image web --disk-mib", "disk_mib", ["-1", "1099511627777"]),
    ("appliance set web01 --members", "members", ["-1", "0", "10001"]),
    ("volume create san1/x --size-mib", "size_mib", ["-1", "1099511627777"]),
    ("image create x --storage san1 --deployment nfs --size-mib", "size_mib", ["-1", "1099511627777"]),
]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("line", "field", "value"), [(line, field, value) for line, field, values in SIZES for value in values]
)
def test_a_size_that_cannot_be(run: Run, line: str, field: str, value: str) -> None:
    refused(run(*line.split(), value), {2}, field, value, "Use a whole number from ")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("value", ["one", "1.5", "", "1e3", "0x10"])
@pytest.mark.parametrize("line", [line for line, _, _ in SIZES])
def test_a_size_that_is_no_number(run: Run, line: str, value: str) -> None:
    refused(run(*line.split(), value), {2}, "is not a valid integer")


MACS = [
    ("52:54:00:00:00:01", 4, "Resource x: MAC address 52:54:00:00:00:01 belongs to resource node1."),
    ("52-54-00-00-00-01", 4, "belongs to resource node1"),
    ("52:54:00:00:00:0", 2, "Use six pairs of hexadecimal digits"),
    ("52:54:00:00:00:0g", 2, "Use six pairs of hexadecimal digits"),
    ("52:54:00:00:00:01:02", 2, "Use six pairs of hexadecimal digits"),
    ("525400000001", 2, "Use six pairs of hexadecimal digits"),
    ("01:00:5e:00:00:01", 2, "Use the unicast address of a NIC"),
    ("ff:ff:ff:ff:ff:ff", 2, "Use the unicast address of a NIC"),
    ("00:00:00:00:00:00", 2, "Use the unicast address of a NIC"),
    ("52:54:00:00:00:01\n", 4, "belongs to resource node1"),
    ("../../etc/passwd", 2, "Use six pairs of hexadecimal digits"),
    ("", 2, "Use six pairs of hexadecimal digits"),
]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("mac", "code", "hint"), MACS)
def test_a_mac_address_that_cannot_be(run: Run, mac: str, code: int, hint: str) -> None:
    refused(run("resource", "create", "x", "--mac", mac), {code}, "Resource x: ", hint)


@pytest.mark.usefixtures("unchanged")
def test_a_mac_address_that_is_given_twice(run: Run) -> None:
    line = "resource create x --mac 52:54:00:00:00:09 --mac 52-54-00-00-00-09"
    refused(run(*line.split()), {2}, "Resource x: nics: 52:54:00:00:00:09 is given twice")
    line = "resource set node2 --mac 52:54:00:00:00:01"
    refused(run(*line.split()), {4}, "MAC address 52:54:00:00:00:01 belongs to resource node1")


OTHERS = [
    (
        "image create x --storage san2 --deployment nfs",
        3,
        ["Image x: storage san2 does not exist.", "Did you mean san1?"],
    ),
    (
        "image create x --storage san1 --deployment nfz",
        3,
        ["Deployment type nfz does not exist", "Known deployment types:"],
    ),
    ("image create x --storage san1 --deployment nfs --volume spare", 4, ["Volume san1/spare exists already"]),
    (
        "image create web --storage san1 --deployment fake",
        4,
        ["Image web exists already, with deployment nfs, not fake."],
    ),
    (
        "storage add x --type zfz --host h --location /v --address 10.0.0.1",
        3,
        ["Storage x: Storage type zfz", "Known storage types: "],
    ),
    (
        "storage add x --type directory --host h --location v --address 10.0.0.1",
        2,
        ["Storage x: location 'v'", "absolute path"],
    ),
    ("storage add x --type directory --host h --location /a/../b --address 10.0.0.1", 2, ["'..' is not allowed"]),
    ("storage add x --type directory --host h;x --location /v --address 10.0.0.1", 2, ["Storage x: host 'h;x'"]),
    (
        "storage add x --type directory --host h --location /v --address 10.0.0.256",
        2,
        ["Storage x: address", "IP address"],
    ),
    ("volume create san1/web --size-mib 5", 4, ["Volume san1/web exists already, with size_mib 1024, not 5."]),
    ("volume clone san1 x", 2, ["Volume san1 names no storage", "STORAGE/VOLUME"]),
    ("volume clone san1/db web", 4, ["Volume san1/web exists already, with parent not set, not db."]),
    ("volume create x", 2, ["names no storage", "STORAGE/VOLUME"]),
    ("volume remove san1/web --yes", 4, ["Volume san1/web is used by image web.", "Remove the image first."]),
    ("appliance move web01", 6, ["Appliance web01 is not active"]),
    ("appliance start web01 --to node2", 5, ["web01", "node2"]),
    (
        "appliance create x --image db --no-clone --members 2",
        2,
        ["has 2 members that would all write to image db, which is not shared"],
    ),
    (
        "appliance set db01 --image web",
        4,
        ["Appliance db01: image cannot be changed while it runs (member 0 on node2)"],
    ),
    ("appliance create x --image web --root-mode sideways", 2, ["'--root-mode': 'sideways' is not one of"]),
    ("appliance create x --image web --tag a;b", 2, ["Appliance x: ", "'a;b'", "Use letters"]),
    ("resource create x --address 10.0.0", 2, ["Resource x: address '10.0.0'"]),
    ("resource create x --type ../vm", 2, ["Resource x: ", "'../vm'"]),
    ("resource create x --power token=1", 2, ["Resource x: ", "token", "credentials"]),
    ("plugin enable hosts nothing", 3, ["Plugin type nothing does not exist", "hosts"]),
    ("operation show 7", 3, ["Plan 7 does not exist", "1"]),
    ("operation show 99999999999999999999", 3, ["Plan 99999999999999999999 does not exist", "1"]),
    ("operation resume 99999999999999999999", 3, ["Plan 99999999999999999999 does not exist"]),
    ("operation cancel 99999999999999999999", 3, ["Plan 99999999999999999999 does not exist"]),
    ("operation list --limit 99999999999999999999", 2, ["99999999999999999999"]),
    ("operation show x", 2, ["'x' is not a valid integer"]),
    ("operation list --limit 0", 2, ["0"]),
    ("event list --limit 99999", 2, ["99999"]),
]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("line", "code", "hints"), OTHERS, ids=[line for line, *_ in OTHERS])
def test_other_input_that_cannot_be(run: Run, line: str, code: int, hints: list[str]) -> None:
    refused(run(*line.split()), {code}, *hints)


@pytest.mark.parametrize(
    ("word", "value"),
    [("--5", "--5"), ("-", "-"), ("-7", -7), ("9" * 18, int("9" * 18)), ("9" * 5000, "9" * 5000), ("1.5", "1.5")],
    ids=["two dashes", "a dash", "negative", "18 digits", "5000 digits", "fraction"],
)
@pytest.mark.usefixtures("store")
def test_what_looks_like_a_number_is_one(run: Run, runs: Runs, word: str, value: object) -> None:
    result = run("appliance", "set", "web01", "--parameter", f"x={word}")
    assert result.exit_code == 0, result.stderr
    ((_, variables),) = runs.calls
    assert variables["appliances"][0]["parameters"] == {"x": value}


def test_a_lab_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENQRM_CONFIG", raising=False)
    result = CliRunner().invoke(main, ["--lab", "../x", "appliance", "list"], prog_name="openqrm")
    refused(result, {2}, "Lab name '../x' is not valid.", "Use ")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("appliance start db01", "Nothing to do: appliance db01 is active already."),
        ("appliance stop web01", "Nothing to do: appliance web01 is stopped already."),
        ("volume create san1/web --size-mib 1024", "Nothing to do: volume san1/web exists already."),
        ("image create web --storage san1 --deployment nfs", "Nothing to do: image web exists already."),
    ],
)
def test_what_is_so_already_is_no_error_and_no_change(run: Run, line: str, reason: str) -> None:
    result = run(*line.split())
    assert (result.exit_code, result.stdout.strip(), result.stderr) == (0, reason, "")
