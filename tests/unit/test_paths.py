"""Where collections are found: beside the checkout, in Ansible's places, on sys.path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from openqrm.errors import NotFoundError
from openqrm.paths import boot_template, collection_root


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What was found before and during a test is looked for again."""
    collection_root.cache_clear()
    yield
    collection_root.cache_clear()


def make_collection(root: Path, name: str) -> Path:
    path = root.joinpath("ansible_collections", *name.split("."))
    path.mkdir(parents=True)
    return path


def test_the_checkout_has_this_collection() -> None:
    assert (collection_root() / "galaxy.yml").is_file()
    assert boot_template("agent/openqrm-agent.sh").is_file()


def test_further_collections_are_found_where_ansible_finds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured, installed, packaged = tmp_path / "configured", tmp_path / "home/.ansible/collections", tmp_path / "site"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", f"{tmp_path}/nowhere:{configured}")
    monkeypatch.syspath_prepend(str(packaged))
    packaged_arrays = make_collection(packaged, "acme.arrays")
    assert collection_root("acme.arrays") == packaged_arrays
    for root in (installed, configured):
        arrays = make_collection(root, "acme.arrays")
        collection_root.cache_clear()
        assert collection_root("acme.arrays") == arrays


def test_a_collection_that_is_nowhere_is_named() -> None:
    with pytest.raises(NotFoundError, match=r"Collection acme\.nowhere does not exist"):
        collection_root("acme.nowhere")
