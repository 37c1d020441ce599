"""What names, addresses and sizes may look like: nothing that could mean something to a shell, template or path."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openqrm import names
from openqrm.errors import InvalidValueError

SHA = "0123456789abcdef" * 4
ACCEPTED: list[tuple[Callable[..., object], tuple[object, ...], object]] = [
    (names.check_name, ("appliance", "web01"), "web01"),
    (names.check_name, ("appliance", "a"), "a"),
    (names.check_name, ("appliance", "a.b-c_d9"), "a.b-c_d9"),
    (names.check_name, ("appliance", "a" * 63), "a" * 63),
    (names.check_type, ("storage", "nvme_tcp"), "nvme_tcp"),
    (names.check_host, ("host", "SAN1.example"), "SAN1.example"),
    (names.check_tag, ("rack:r12",), "rack:r12"),
    (names.check_path, ("path", "/srv/a-b_c.d+e/"), "/srv/a-b_c.d+e"),
    (names.check_path, ("path", "/"), "/"),
    (names.check_sha256, ("digest", SHA), SHA),
    (names.check_mac, ("52:54:00:12:34:56",), "52:54:00:12:34:56"),
    (names.check_mac, (" 52-54-00-AB-CD-EF ",), "52:54:00:ab:cd:ef"),
    (names.check_address, ("address", "10.77.0.1"), "10.77.0.1"),
    (names.check_address, ("address", "FD00:0::1"), "fd00::1"),
    (names.check_number, ("members", 3, 0, 3), 3),
    (names.check_size_mib, ("memory", 1 << 40), 1 << 40),
    (names.check_parameters, ("x", {"a.b": [1, "x", True], "c": 1.5}), {"a.b": [1, "x", True], "c": 1.5}),
]
REFUSED: list[tuple[Callable[..., object], tuple[object, ...]]] = [
    *[
        (names.check_name, ("appliance", value))
        for value in (
            "",
            "a b",
            "a/b",
            "../x",
            "a..b",
            "a\n",
            "a'b",
            'a"b',
            "a" * 300,
            "größe",
            "Web",
            "-a",
            "a-",
            ".a",
            "$(id)",
            "a\x00",
            None,
            7,
            ["a"],
        )
    ],
    (names.check_type, ("storage", "9p")),
    (names.check_type, ("storage", "a-b")),
    (names.check_host, ("host", "a b")),
    (names.check_host, ("host", "-a")),
    (names.check_host, ("host", "a" * 300)),
    (names.check_tag, ("a b",)),
    (names.check_tag, (":a",)),
    (names.check_tag, ("a\n",)),
    (names.check_path, ("path", "srv")),
    (names.check_path, ("path", "/srv/../etc")),
    (names.check_path, ("path", "/a b")),
    (names.check_path, ("path", "/a//b")),
    (names.check_path, ("path", "/{{ x }}")),
    (names.check_sha256, ("digest", SHA.upper())),
    (names.check_sha256, ("digest", SHA[1:])),
    *[
        (names.check_mac, (value,))
        for value in (
            "52:54:00:12:34",
            "52:54:00:12:34:5g",
            "525400123456",
            "ff:ff:ff:ff:ff:ff",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
            "",
            None,
            5,
        )
    ],
    (names.check_address, ("address", "10.77.0.256")),
    (names.check_address, ("address", "10.77.0.1/24")),
    (names.check_address, ("address", None)),
    (names.check_number, ("members", -1, 0, 3)),
    (names.check_number, ("members", 4, 0, 3)),
    (names.check_number, ("members", True, 0, 3)),
    (names.check_number, ("members", "3", 0, 3)),
    (names.check_number, ("members", 1.0, 0, 3)),
    (names.check_size_mib, ("memory", 0)),
    (names.check_size_mib, ("memory", (1 << 40) + 1)),
    (names.check_parameters, ("x", [])),
    (names.check_parameters, ("x", {"a b": 1})),
    (names.check_parameters, ("x", {1: 1})),
    (names.check_parameters, ("x", {"a": {"b": 1}})),
    (names.check_parameters, ("x", {"a": None})),
    (names.check_parameters, ("x", {"a": [[1]]})),
]


@pytest.mark.parametrize(("check", "arguments", "expected"), ACCEPTED)
def test_accepted(check: Callable[..., object], arguments: tuple[object, ...], expected: object) -> None:
    assert check(*arguments) == expected


@pytest.mark.parametrize(("check", "arguments"), REFUSED)
def test_refused(check: Callable[..., object], arguments: tuple[object, ...]) -> None:
    with pytest.raises(InvalidValueError) as caught:
        check(*arguments)
    assert caught.value.remedy
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


@given(st.text())
def test_what_passes_is_plain(text: str) -> None:
    checks: list[Callable[[str], str]] = [
        lambda value: names.check_name("x", value),
        lambda value: names.check_host("x", value),
        names.check_tag,
        lambda value: names.check_path("x", value),
        lambda value: names.check_type("x", value),
        names.check_mac,
    ]
    for check in checks:
        try:
            passed = check(text)
        except InvalidValueError:
            continue
        assert passed.isascii()
        assert not set(passed) & set(" \t\n\r'\"`$;&|<>(){}[]*?!#%\\\x00")
        assert ".." not in passed.split("/")
