"""Objects as plain mappings of text, numbers, booleans, lists and mappings: for results, differences and tables."""

from __future__ import annotations

from collections.abc import Mapping

from openqrm.desired.fields import Object
from openqrm.model import Resource
from openqrm.store.kinds import plain

View = dict[str, object]


def view(item: Object) -> View:
    """All fields of an object but its number; a resource also has `boot_mac` and `macs`."""
    shown: View = plain(item)
    del shown["id"]
    if isinstance(item, Resource):
        shown |= {"boot_mac": item.boot_mac, "macs": [nic.mac for nic in item.nics]}
    return shown


def chosen(item: Object, keys: Mapping[str, object]) -> View:
    """The name and the fields of `keys`: what a user may set, and so what a difference is about."""
    return {key: plain(getattr(item, key)) for key in ("name", *keys)}
