"""lab_network: the commands for each state of namespace and bridges."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.openqrm.datacenter.plugins.modules import lab_network

LO = {"ifname": "lo", "flags": ["LOOPBACK", "UP"], "addr_info": []}
BRIDGES = [{"name": "management", "mac": "52:54:00:77:02:01", "addresses": ["10.77.0.1/24", "fd00:77::1/64"]}]


def bridge(*addresses: str, up: bool = True, scope: str = "global") -> dict[str, Any]:
    found = [{"local": item.split("/")[0], "prefixlen": int(item.split("/")[1]), "scope": scope} for item in addresses]
    flags = ["BROADCAST", "UP"] if up else ["BROADCAST"]
    return {"ifname": "management", "flags": flags, "linkinfo": {"info_kind": "bridge"}, "addr_info": found}


def machine(played: Callable[..., Any], namespace: bool, *interfaces: dict[str, Any]) -> Any:
    names = [{"name": "other"}, *([{"name": "openqrm-x"}] if namespace else [])]
    runner = played()
    runner.answers = {
        "ip -json netns list": json.dumps(names),
        "ip -netns openqrm-x -json -details address show": json.dumps(interfaces),
    }
    return runner


def changes(runner: Any) -> list[str]:
    return [line for line in runner.commands if "-json" not in line]


NO_RA = "ip netns exec openqrm-x sysctl -qw net.ipv6.conf.management.accept_ra=0"
ADD = "ip -netns openqrm-x address add"
CASES = {
    "nothing there": (
        False,
        [LO | {"flags": ["LOOPBACK"]}],
        [
            "ip netns add openqrm-x",
            "ip -netns openqrm-x link set lo up",
            "ip -netns openqrm-x link add management address 52:54:00:77:02:01 type bridge forward_delay 0 stp_state 0",
            NO_RA,
            f"{ADD} 10.77.0.1/24 dev management",
            f"{ADD} fd00:77::1/64 dev management nodad",
            "ip -netns openqrm-x link set management up",
        ],
    ),
    "all there": (True, [LO, bridge("10.77.0.1/24", "fd00:77::1/64")], []),
    "down": (
        True,
        [LO, bridge("10.77.0.1/24", "fd00:77::1/64", up=False)],
        [NO_RA, "ip -netns openqrm-x link set management up"],
    ),
    "other address": (
        True,
        [LO, bridge("10.9.0.1/24", "fd00:77::1/64")],
        ["ip -netns openqrm-x address delete 10.9.0.1/24 dev management", f"{ADD} 10.77.0.1/24 dev management"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_commands(played: Callable[..., Any], case: str) -> None:
    namespace, interfaces, commands = CASES[case]
    runner = machine(played, namespace, *interfaces)
    done = lab_network.ensure("openqrm-x", BRIDGES, False, runner)
    assert changes(runner) == commands
    assert done["changed"] == bool(commands)


def test_link_local_addresses_do_not_count() -> None:
    assert lab_network.state_of(bridge("fe80::1/64", scope="link"))["addresses"] == []


def test_check_mode_changes_nothing(played: Callable[..., Any]) -> None:
    runner = machine(played, False)
    done = lab_network.ensure("openqrm-x", BRIDGES, True, runner)
    assert (done["changed"], changes(runner)) == (True, [])
