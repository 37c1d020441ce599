"""Boot services from plug-in to manifest, through the real playbooks with fake types."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.center import FakeCenter, make_center

PROGRAM = Path(__file__).parents[3] / "roles/plugin_motd/files/banner.sh"
BANNER = {"name": "motd-banner", "digest": hashlib.sha256(PROGRAM.read_bytes()).hexdigest()}


@pytest.fixture
def center(tmp_path: Path) -> Iterator[FakeCenter]:
    made = make_center(tmp_path)
    made.add_nodes(3)
    made.add_appliances(["db", "web"])
    assert made.run("plugin_enable", plugins=["motd"]).ok
    yield made
    made.store.close()


def services_after_start(center: FakeCenter) -> dict[str, list[dict[str, str]]]:
    """What the manifests of freshly started appliances say, by appliance."""
    assert center.run("appliance_start", appliances=["db", "web"]).errors == ()
    found = [json.loads(path.read_text()) for path in (center.root / "boot/manifests").glob("*.json")]
    assert center.run("appliance_stop", appliances=["db", "web"]).errors == ()
    return {manifest["appliance"]: manifest["boot_services"] for manifest in found}


def attach(center: FakeCenter, *scopes: str, verb: str = "attach", check: bool = False) -> bool:
    result = center.run(f"boot_service_{verb}", check=check, services=["motd/banner"], scopes=list(scopes))
    assert result.errors == ()
    return result.changed


def test_services_are_in_the_manifests_of_their_scope(center: FakeCenter) -> None:
    assert attach(center, "appliance:web", check=True)
    assert attach(center, "appliance:web")
    assert not attach(center, "appliance:web")
    assert services_after_start(center) == {"db": [], "web": [BANNER]}
    assert (center.root / "boot/blobs" / BANNER["digest"]).read_bytes() == PROGRAM.read_bytes()
    assert attach(center, "appliance:web", verb="detach")
    assert attach(center, "image:golden-san1"), "clones count as the image that they are of"
    assert services_after_start(center) == {"db": [BANNER], "web": [BANNER]}
    assert center.run("plugin_disable", plugins=["motd"]).ok
    assert services_after_start(center) == {"db": [], "web": []}


def test_what_is_not_known_is_refused(center: FakeCenter) -> None:
    refused = center.run("boot_service_attach", services=["motd/baner"], scopes=["appliances"])
    assert "Boot service motd/baner does not exist" in refused.errors[0]
    assert "motd/banner" in refused.errors[0]
    refused = center.run("boot_service_attach", services=["motd/banner"], scopes=["appliance:wbe"])
    assert "Appliance wbe does not exist" in refused.errors[0]
    with center.store.read() as tx:
        assert tx.plugins()["motd"] == {"enabled": True}
