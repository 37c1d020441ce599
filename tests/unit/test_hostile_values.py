"""Quotes, newlines, `$()`, `../` and their like are refused at the edge: no shell, template, path or argv has them."""

from __future__ import annotations

import ast
import dataclasses
import re
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.openqrm.datacenter.plugins.module_utils import (
    btrfs_volumes,
    directories,
    dnsmasq,
    file_volumes,
    kernel_build,
    lio,
    lvm_volumes,
    nfs_grants,
    nvmet,
    tgt,
    volumes,
    zfs_volumes,
)
from ansible_collections.openqrm.datacenter.plugins.modules import image_build
from hypothesis import given, settings
from hypothesis import strategies as st
from openqrm import knownhosts, names
from openqrm.boot import manifest, tree
from openqrm.config import Boot, Config
from openqrm.desired import fields
from openqrm.errors import InvalidValueError, OpenqrmError
from openqrm.model import Appliance, Assignment, Image, Kernel, Nic, Resource, Storage
from openqrm.nodeapi.bodies import Hardware
from openqrm.types import TypeRegistry
from pydantic import ValidationError

REPOSITORY = Path(__file__).parents[2]
TEMPLATES = sorted((REPOSITORY / "boot-templates").rglob("*.j2"))
# What some shell, template, boot loader, path or file format would take for its own.
FRAGMENTS = ["'", '"', "\n", "\r", "\0", "\t", "$(reboot)", "${net0/mac}", "`id`", "/../", ";", "|", "&", "\\"]
FRAGMENTS += [
    "{{ x }}",
    "{% x %}",
    "<",
    ">",
    "*",
    "?",
    "%0a",
    "\x1b[31m",
    "\u2028",
    "\u202e",
    "é",
    "\ud800",
    "#",
    " -o x",
]
WORD = st.text("abcxyz019.-_:", max_size=12)
# `a..` and `..b` are plain names of files; `..` as a whole part of a path is not.
HOSTILE = st.builds(lambda a, b, c: a + b + c, WORD, st.sampled_from(FRAGMENTS), WORD) | st.sampled_from(["..", "../x"])
QUICK = settings(max_examples=60, deadline=None, database=None)
BASE = Kernel(0, "k", "6.1", "x86_64", "a" * 64, "b" * 64, "c" * 64)

# Fields of a user's own free text. They are in the manifest, as JSON, and in variables; never in a template or an argv.
FREE = {"parameters", "power", "sla", "sizes"}


def cases() -> list[tuple[str, str, fields.Read, object]]:
    """Every field of every kind: kind, field, its reader, and what is there before."""
    kinds = {
        "resource": (fields.RESOURCE, Resource(0, "n")),
        "kernel": (fields.KERNEL, BASE),
        "storage": (fields.STORAGE, Storage(0, "s", "t", "h", "/l", "10.0.0.1")),
        "image": (fields.IMAGE, Image(0, "i", "s", "v", "d")),
        "appliance": (fields.APPLIANCE, Appliance(0, "a", "k", "i")),
    }
    found = [
        (kind, name, read, getattr(item, name)) for kind, (table, item) in kinds.items() for name, read in table.items()
    ]
    requirements = Appliance(0, "a", "k", "i").requirements
    return found + [("needs", name, read, getattr(requirements, name)) for name, read in fields.REQUIREMENTS.items()]


CASES = cases()


def holds(value: object, text: str) -> bool:
    """Whether the text is anywhere in a value."""
    if isinstance(value, dict):
        return any(holds(item, text) for item in (*value, *value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(holds(item, text) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return holds(vars(value), text)
    return isinstance(value, str) and text in value


@pytest.mark.parametrize(("kind", "name", "read", "current"), CASES, ids=[f"{case[0]}.{case[1]}" for case in CASES])
@QUICK
@given(text=HOSTILE)
def test_no_field_takes_a_hostile_value(kind: str, name: str, read: fields.Read, current: Any, text: str) -> None:
    shapes: list[Any] = [text, [text], {text: 1}]
    if name not in FREE:
        nic = {"mac": "52:54:00:00:00:01"}
        shapes += [{"k": text}, {"arch": text}, {"tags": [text]}, [{"mac": text}]]
        shapes += [[{**nic, "role": text}], [{**nic, "address": text}], [{**nic, "address": f"fe80::1%{text}/64"}]]
    for value in shapes:
        try:
            found = read(f"{kind} x: {name}", value, current)
        except InvalidValueError:
            continue
        assert not holds(found, text), (value, found)


@QUICK
@given(text=HOSTILE, name=st.sampled_from(sorted(FREE)))
def test_free_text_is_one_printable_line(text: str, name: str) -> None:
    read = {"parameters": fields.RESOURCE, "power": fields.RESOURCE, "sla": fields.APPLIANCE, "sizes": fields.KERNEL}[
        name
    ]
    try:
        found = read[name]("resource x", {"k": text}, {})
    except InvalidValueError:
        return
    assert found["k"].isprintable()


@QUICK
@given(text=HOSTILE)
def test_no_name_of_any_kind_is_hostile(text: str) -> None:
    checks: list[Callable[[str], object]] = [
        lambda value: names.check_name("Resource", value),
        lambda value: names.check_type("storage", value),
        lambda value: names.check_host("Host", value),
        names.check_tag,
        names.check_mac,
        lambda value: names.check_sha256("Digest", value),
        lambda value: names.check_address("Address", value),
        lambda value: names.check_address("Address", f"fe80::1%{value}"),
        lambda value: names.check_version("Version", value),
        lambda value: names.check_url("URL", f"https://host/{value}"),
        lambda value: names.check_path("Path", f"/srv/{value}"),
        lambda value: names.check_parameters("x", {value: 1}),
    ]
    for check in checks:
        try:
            found = check(text)
        except InvalidValueError:
            continue
        assert not holds(found, text), found


@QUICK
@given(
    text=HOSTILE,
    field=st.sampled_from(["macs", "boot_mac", "address", "boot_id", "firmware", "arch", "kernel", "claim"]),
)
def test_no_node_registers_a_hostile_value(text: str, field: str) -> None:
    body: dict[str, Any] = {"macs": ["52:54:00:12:34:56"], "boot_mac": "52:54:00:12:34:56", "address": "10.0.0.1"}
    body |= {"boot_id": "b", "cores": 1, "memory_mib": 1}
    for value in (text, [text], f"fe80::1%{text}"):
        with pytest.raises((ValidationError, OpenqrmError)):
            Hardware.model_validate(body | {field: value})


# Templates of the boot tree

VERSIONS = st.from_regex(names.VERSION, fullmatch=True)
ARGUMENTS = st.from_regex(names.KERNEL_ARGS, fullmatch=True)
URLS = st.from_regex(names.URL, fullmatch=True)


# Of a volume: MACs, addresses and names, each checked where it comes from, and a digest-like name of a file.
SAN = {
    "file": "52-54-00-00-00-01",
    "uris": ["iscsi:10.78.0.10::::iqn.2010-09.com.openqrm:san1.web01-0"],
    "initiator": "iqn.2010-09.com.openqrm:node01",
    "nic": {"mac": "52:54:00:00:00:02", "address": "10.78.0.101", "netmask": "255.255.255.0"},
}


def variables(kernel: Kernel, url: str = "http://10.77.0.1") -> dict[str, object]:
    """What templates are rendered with."""
    return tree.variables(Config(boot=Boot(url=url, tls_url=url)), kernel) | {"san": SAN}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
@QUICK
@given(version=VERSIONS, arguments=ARGUMENTS, url=URLS)
def test_what_is_valid_stays_on_its_line_of_a_template(template: Path, version: str, arguments: str, url: str) -> None:
    name = str(template.relative_to(REPOSITORY / "boot-templates"))
    plain = tree.render(name, variables(BASE)).splitlines()
    kernel = dataclasses.replace(BASE, version=version, parameters={"kernel_args": arguments})
    shown = tree.render(name, variables(kernel, url)).splitlines()
    assert len(shown) == len(plain)
    for line, before in zip(shown, plain, strict=True):
        words = len(arguments.split()) if "'panic=" in before else 0  # each in quotes of its own
        assert line.count("'") == before.count("'") + 2 * words, line
        for sign in ("||", "&&", ";", "`", "$(", "#", '"', "\\", "|", "&", "<", ">"):
            assert line.count(sign) == before.count(sign), line
        assert line.count("${") == before.count("${")


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_templates_are_given_checked_values_only(template: Path) -> None:
    """The values of `variables` are checked: URLs by the configuration, the kernel's by `desired` and `planning`."""
    from jinja2 import meta

    found = meta.find_undeclared_variables(jinja2.Environment(autoescape=True).parse(template.read_text("utf-8")))
    assert found <= set(variables(BASE))


@QUICK
@given(text=HOSTILE, parameter=HOSTILE)
def test_hostile_text_stays_data_in_a_manifest(text: str, parameter: str) -> None:
    """Free text is in the manifest as JSON strings; a node reads them with jq's @sh (tests/unit/boot)."""
    import json

    nfs = TypeRegistry.load(()).get("deployment", "nfs")
    image, storage = Image(0, "i", "s", "v", "nfs"), Storage(0, "s", "directory", "h", "/l", "10.0.0.1")
    appliance = Appliance(0, "web", "k", "i", parameters={"fstab": [text], "hosts": [parameter]})
    resource = Resource(0, "n", nics=(Nic("52:54:00:00:00:01"),))
    root = manifest.Root(image, storage, "/l/v", nfs, "d" * 64, "filesystem")
    content = manifest.assigned_manifest(
        resource, BASE, "quiet", "a" * 64, appliance, Assignment(1, "web", 0, "n", "i", 1, 1), root
    )
    encoded = manifest.encode(content)
    assert encoded.count("\n") == 1
    assert json.loads(encoded)["fstab"] == [text]


# Commands


def recorded() -> tuple[list[list[str]], Callable[..., str]]:
    """Commands that would have been run, and a function that stands for the runner."""
    argvs: list[list[str]] = []

    def run(argv: list[str], **_: object) -> str:
        argvs.append(argv)
        return ""

    return argvs, run


@QUICK
@given(text=HOSTILE | HOSTILE.map("-o".__add__))
def test_modules_refuse_hostile_names_before_any_command(text: str) -> None:
    argvs, run = recorded()
    grant = {"path": "/srv/v", "client": {"address": "10.0.0.1"}}
    backends = [
        directories.Directories(command=run),
        file_volumes.Files(command=run),
        btrfs_volumes.Btrfs(command=run),
        lvm_volumes.LvmVolumes({"filesystem": "ext4", "timeout_s": 1}, command=run),
        zfs_volumes.ZfsVolumes({"filesystem": "ext4", "timeout_s": 1}, command=run),
    ]
    targets = [
        lio.LioServer("/nowhere", 1, []),
        tgt.TgtServer("/nowhere", 1, []),
        nvmet.NvmetServer("/nowhere", 1, [], 4420, "off"),
    ]
    block = {
        "path": "/dev/vg/v",
        "target": "s.v",
        "client": {"iqn": "iqn.2010-09.com.openqrm:n", "nqn": "nqn.2010-09.com.openqrm:n"},
    }
    recipe = {"name": "i", "suite": "bookworm", "packages": [], "files": [], "archive": "a.tar.zst"}
    calls: list[Callable[[], object]] = [
        *(partial(volumes.check_list, backend, [{"name": text, "location": "/dev/vg0"}]) for backend in backends),
        *(partial(volumes.check_list, backend, [{"name": "v", "location": f"/srv/../{text}"}]) for backend in backends),
        lambda: dnsmasq.dhcp_line({"name": text, "mac": "52:54:00:00:00:01", "address": "10.0.0.1"}),
        lambda: dnsmasq.dhcp_line({"name": "n", "mac": text, "address": "10.0.0.1"}),
        lambda: dnsmasq.dhcp_line({"name": "n", "mac": "52:54:00:00:00:01", "address": f"fe80::1%{text}"}),
        lambda: dnsmasq.dns_line({"name": "n", "address": text}),
        lambda: nfs_grants.NfsServer().key({**grant, "client": {"address": text}}),
        lambda: nfs_grants.NfsServer().key({**grant, "client": {"address": f"fe80::1%{text}"}}),
        lambda: nfs_grants.NfsServer().key({**grant, "path": f"/srv/../{text}"}),
        *(partial(server.key, {**block, "path": f"/dev/vg/../{text}"}) for server in targets),
        *(partial(server.key, {**block, "client": {server.identity: text}}) for server in targets),
        *(partial(server.check, {**block, "target": text}) for server in targets),
        lambda: kernel_build.package_fields(run, text),
        lambda: image_build.check({**recipe, "suite": text}),
        lambda: image_build.check({**recipe, "packages": [text]}),
        lambda: image_build.check({**recipe, "files": [{"path": f"/../{text}", "mode": "0644"}]}),
        lambda: image_build.check({**recipe, "files": [{"path": "/x", "mode": text}]}),
    ]
    for call in calls:
        with pytest.raises((ValueError, kernel_build.KernelBuildError)):
            call()
    assert argvs == []


@QUICK
@given(
    name=st.from_regex(names.NAME, fullmatch=True),
    public=st.from_regex(r"ssh-ed25519 [A-Za-z0-9+/=]{1,80}", fullmatch=True),
)
def test_arguments_of_ssh_are_words(name: str, public: str) -> None:
    words = shlex.split(knownhosts.ssh_arguments(name, public))
    assert words[0::2] == ["-o"] * 4
    assert words[1] == f"KnownHostsCommand=/bin/echo {name} {public}"


def python_files() -> list[Path]:
    """The product's own Python files."""
    return [path for folder in ("library", "plugins") for path in sorted((REPOSITORY / folder).rglob("*.py"))]


def unsafe_calls(path: Path) -> list[str]:
    """Calls in the file that hand text to a shell."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        shell = [word for word in node.keywords if word.arg in ("shell", "use_unsafe_shell", "executable")]
        text = node.args and isinstance(node.args[0], (ast.JoinedStr, ast.Constant, ast.BinOp))
        starts = name in ("subprocess.run", "subprocess.Popen", "subprocess.check_output", "subprocess.call", "run")
        if shell or name in ("os.system", "os.popen") or (starts and text):
            found.append(f"{path.name}:{node.lineno}: {ast.unparse(node)[:80]}")
    return found


def test_no_code_hands_text_to_a_shell() -> None:
    files = python_files()
    assert len(files) > 100
    assert [line for path in files for line in unsafe_calls(path)] == []


def test_the_search_for_shells_finds_them(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text(
        'subprocess.run(f"ls {x}")\nos.system(x)\nmodule.run_command(x, use_unsafe_shell=True)\nrun(["ls", x])\n'
    )
    assert [line.split(":")[1] for line in unsafe_calls(file)] == ["1", "2", "3"]


def test_no_task_hands_text_to_a_shell() -> None:
    files = [path for folder in ("roles", "playbooks") for path in sorted((REPOSITORY / folder).rglob("*.yml"))]
    shells = re.compile(r"^\s*-?\s*(?:ansible\.builtin\.)?(?:shell|raw|script):", re.MULTILINE)
    assert [str(path) for path in files if shells.search(path.read_text(encoding="utf-8"))] == []
    for path in files:
        text = path.read_text(encoding="utf-8")
        for task in yaml.safe_load(text) or [] if "/tasks/" in str(path) and "command:" in text else []:
            command = task.get("ansible.builtin.command") if isinstance(task, dict) else None
            assert command is None or "argv" in command, f"{path}: {task.get('name')}: give argv"
