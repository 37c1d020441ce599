"""Root modes: what an appliance may say about the roots of its members."""

from __future__ import annotations

import pytest
from openqrm.errors import InvalidValueError
from openqrm.roots import RootSettings, is_shared, private_volume, root_settings

LOG = {"private_directories": ["/var/log"]}


def test_settings_are_read_in_order() -> None:
    parameters = {
        "tags": "prod",
        "overlay_size_mib": 64,
        "private_directories": ["/var/lib/", "/srv/data"],
        "private_excludes": ["/var/lib/rpm", "/srv/data/common"],
    }
    expected = RootSettings(64, ("/srv/data", "/var/lib"), ("/srv/data/common", "/var/lib/rpm"))
    assert root_settings("Appliance a", "private", parameters) == expected
    assert root_settings("Appliance a", "overlay", {}) == RootSettings()
    assert [is_shared(mode) for mode in ("read-write", "overlay", "private")] == [False, True, True]


@pytest.mark.parametrize(
    ("mode", "parameters", "words"),
    [
        ("read-write", {"overlay_size_mib": 64}, "has overlay_size_mib, which root mode read-write does not have"),
        ("overlay", LOG, "has private_directories, which root mode overlay does not have"),
        ("private", {}, "has root mode private, but no private directory"),
        ("private", {"private_directories": []}, "no private directory"),
        ("private", {"private_directories": "/var/log"}, "private_directories '/var/log' is not a list"),
        ("private", {"private_directories": ["var/log"]}, "private_directories 'var/log' is not valid"),
        ("private", {"private_directories": ["/var/../etc"]}, "private_directories '/var/../etc' is not valid"),
        ("private", {"private_directories": ["/var/./log"]}, "private_directories '/var/./log' is not valid"),
        ("private", {"private_directories": ["/a b"]}, "private_directories '/a b' is not valid"),
        ("private", {"private_directories": ["/a\n"]}, "is not valid"),
        ("private", {"private_directories": ["/$(reboot)"]}, "is not valid"),
        ("private", {"private_directories": ["/"]}, "/ cannot be private"),
        ("private", {"private_directories": ["/run/x"]}, "/run/x cannot be private"),
        ("private", {"private_directories": ["/proc"]}, "/proc cannot be private"),
        ("private", {"private_directories": ["/var", "/var/log"]}, "/var/log is in /var"),
        ("private", {"private_directories": ["/var", "/var/"]}, "/var is given twice"),
        ("private", LOG | {"private_excludes": ["/srv"]}, "private_excludes /srv is in no private directory"),
        ("private", LOG | {"private_excludes": ["/var/log"]}, "/var/log is in no private directory"),
        ("private", LOG | {"private_excludes": ["/var/logs/a"]}, "/var/logs/a is in no private directory"),
        ("private", LOG | {"overlay_size_mib": 0}, "overlay_size_mib 0 is not valid"),
        ("overlay", {"overlay_size_mib": "64"}, "overlay_size_mib '64' is not valid"),
        ("overlay", {"overlay_size_mib": -1}, "overlay_size_mib -1 is not valid"),
    ],
)
def test_what_is_not_valid_is_refused(mode: str, parameters: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidValueError, match="Appliance a") as caught:
        root_settings("Appliance a", mode, parameters)
    assert words in caught.value.message
    assert caught.value.remedy


def test_private_volumes_are_named_after_the_member() -> None:
    assert private_volume("web01", 3) == "web01-3-private"
    with pytest.raises(InvalidValueError, match="Volume name"):
        private_volume("a" * 60, 0)
