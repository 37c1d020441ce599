"""The templates of boot entries against whole expected files, rendered by jinja2 as the library does and by Ansible."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jinja2
import pytest

ROOT = Path(__file__).parents[3]
TEMPLATES = ROOT / "boot-templates"
GOLDEN = Path(__file__).parent / "golden"
NAMES = (
    *("ipxe/boot.ipxe", "ipxe/node.ipxe", "grub/grub.cfg", "grub/node.grub", "pxelinux/node.pxelinux"),
    *("ipxe/local.ipxe", "grub/local.grub", "pxelinux/local.pxelinux"),
    *("ipxe/san.ipxe", "grub/san.grub", "pxelinux/san.pxelinux"),
)
ENTRIES = ("ipxe/node.ipxe", "grub/node.grub", "pxelinux/node.pxelinux")
ARGUMENTS = (
    "openqrm.boot=https://10.77.0.1 openqrm.api=https://10.77.0.1:7443 openqrm.kernel=" + "a" * 64 + " console=tty0"
    " console=ttyS0,115200n8 loglevel=4 panic=30 mitigations=auto"
)
VARIABLES: dict[str, object] = {
    "boot_url": "http://10.77.0.1",
    "kernel": {"name": "default", "version": "6.1.0-1-cloud-amd64", "vmlinuz": "a" * 64, "initramfs": "b" * 64},
    "arguments": ARGUMENTS,
    "san": {
        "file": "52-54-00-77-00-01",
        "uris": [f"iscsi:10.78.0.{end}::::iqn.2010-09.com.openqrm:san1.web01-0" for end in (10, 11)],
        "initiator": "iqn.2010-09.com.openqrm:node01",
        "nic": {"mac": "52:54:00:78:00:01", "address": "10.78.0.101", "netmask": "255.255.255.0"},
    },
}
PLAIN_SAN = {"file": "52-54-00-77-00-01", "uris": ["aoe:e1.7"], "initiator": "", "nic": None}


def render(name: str, variables: dict[str, object]) -> str:
    """Return the template `name` as the library renders it."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,
    )
    return environment.get_template(f"{name}.j2").render(variables)


def golden(name: str) -> str:
    """Return the file that the template `name` is to become."""
    return (GOLDEN / Path(name).name).read_text()


@pytest.mark.parametrize("name", NAMES)
def test_rendered_file_is_the_golden_file(name: str) -> None:
    assert render(name, VARIABLES) == golden(name)


def test_a_volume_that_is_reached_by_the_boot_nic() -> None:
    text = render("ipxe/san.ipxe", VARIABLES | {"san": PLAIN_SAN})
    assert text == (GOLDEN / "san-boot-nic.ipxe").read_text()
    labels = {line[1:] for line in text.splitlines() if line.startswith(":")}
    assert {words.split()[0] for words in text.split("goto ")[1:]} == labels


@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.parametrize("missing", ["arguments", "kernel"])
def test_missing_variable_is_an_error(name: str, missing: str) -> None:
    with pytest.raises(jinja2.UndefinedError):
        render(name, {key: value for key, value in VARIABLES.items() if key != missing})


@pytest.mark.parametrize("name", ENTRIES)
def test_entry_fetches_by_digest_and_gives_all_arguments(name: str) -> None:
    text = render(name, VARIABLES)
    assert f"/blobs/{'a' * 64}" in text
    assert f"/blobs/{'b' * 64}" in text
    assert ARGUMENTS in text.replace("'", "")


def test_every_goto_has_its_label() -> None:
    for name in (name for name in NAMES if name.endswith(".ipxe")):
        text = render(name, VARIABLES)
        labels = {line[1:] for line in text.splitlines() if line.startswith(":")}
        assert {words.split()[0] for words in text.split("goto ")[1:]} <= labels


def test_ansible_renders_the_same(tmp_path: Path) -> None:
    playbook = tmp_path / "render.yml"
    tasks = [
        {
            "ansible.builtin.template": {
                "src": str(TEMPLATES / f"{name}.j2"),
                "dest": str(tmp_path / Path(name).name),
                "mode": "0644",
            }
        }
        for name in NAMES
    ]
    playbook.write_text(
        json.dumps(
            [{"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": VARIABLES, "tasks": tasks}]
        )
    )
    program = Path(sys.executable).with_name("ansible-playbook")
    environment = {**os.environ, "ANSIBLE_PYTHON_INTERPRETER": sys.executable, "ANSIBLE_LOCALHOST_WARNING": "false"}
    subprocess.run([str(program), str(playbook)], check=True, capture_output=True, cwd=tmp_path, env=environment)
    assert [(tmp_path / Path(name).name).read_text() for name in NAMES] == [golden(name) for name in NAMES]
