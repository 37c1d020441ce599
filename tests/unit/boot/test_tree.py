"""The boot tree's files of a node: one boot entry for each boot loader, written and removed together."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from openqrm.boot import manifest, tree
from openqrm.boot.arguments import arguments
from openqrm.config import Config
from openqrm.errors import InvalidValueError
from openqrm.model import Kernel
from openqrm.names import check_kernel_args

MAC = "52:54:00:12:34:56"
FILE = "52-54-00-12-34-56"
KERNEL = Kernel(1, "default", "6.1.0-1-amd64", "x86_64", "a" * 64, "b" * 64, "c" * 64)


def test_every_form_of_the_entry_is_written_and_removed_together() -> None:
    written = [str(entry["name"]) for entry in tree.node_entries(Config(), MAC, KERNEL, "{}")]
    assert written[0] == f"manifests/{FILE}.json", "a node that sees its entry finds its manifest"
    assert sorted(written[1:]) == [f"ipxe/pxelinux.cfg/01-{FILE}", f"nodes/{FILE}.grub", f"nodes/{FILE}.ipxe"]
    removed = tree.node_names(MAC)
    assert sorted(removed) == sorted(written)
    assert removed[-1] == written[0]


def test_defaults_have_every_form_and_the_entry_scripts() -> None:
    names = {str(entry["name"]) for entry in tree.default_entries(Config(), KERNEL)}
    entries = {"default.ipxe", "nodes/default.grub", "ipxe/pxelinux.cfg/default"}
    assert entries | {"boot.ipxe", "grub/grub.cfg", "manifests/default.json"} < names


def test_every_form_and_the_manifest_have_the_same_arguments() -> None:
    kernel = replace(KERNEL, parameters={"kernel_args": "quiet  panic=5"})
    wanted = arguments(Config(), kernel)
    assert wanted.endswith(" panic=30 quiet panic=5")
    for entry in tree.boot_entries(Config(), MAC, kernel):
        assert wanted in str(entry["content"]).replace("'", ""), entry["name"]
    default = next(e for e in tree.default_entries(Config(), kernel) if e["name"] == "manifests/default.json")
    assert json.loads(str(default["content"]))["kernel"]["arguments"] == wanted
    assert manifest.idle_manifest(kernel, "d" * 64, wanted)["mode"] == "idle"


@pytest.mark.parametrize("value", ["", "quiet", "console=ttyS1,115200n8 isolcpus=1-3 nvme_core.io_timeout=255"])
def test_kernel_arguments(value: str) -> None:
    assert check_kernel_args("Kernel", value) == value


@pytest.mark.parametrize(
    "value",
    ["a'b", 'a"b', "$(reboot)", "${net0/mac}", "a;b", "a||b", "a\nb", "a\\b", "a  b", " a", "a#b", "ä", "a" * 1025, 5],
)
def test_kernel_arguments_that_a_boot_loader_would_take_for_more(value: object) -> None:
    with pytest.raises(InvalidValueError, match="Kernel"):
        check_kernel_args("Kernel", value)
