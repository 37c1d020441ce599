"""service_dhcp, service_tftp, service_http and plugin_hosts with real daemons in a private network."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.roles.conftest import SERVER, Network
from tests.support.roles import Outcome, Step, run

DHCP, TFTP, HTTP, HOSTS = (
    f"openqrm.datacenter.{name}" for name in ("service_dhcp", "service_tftp", "service_http", "plugin_hosts")
)
ASK = str(Path(__file__).with_name("dhcp_client.py"))
NONE = "0.0.0.0"  # noqa: S104 - what a DHCP answer has where it gives no address
NODE = {"name": "node1", "mac": "52:54:00:aa:bb:01", "address": "10.77.0.51"}


class Site:
    """A boot server in the network: the variables of its roles, and runs of them."""

    def __init__(self, network: Network, directory: Path) -> None:
        self.network = network
        self.directory = directory
        self.variables: dict[str, Any] = {
            "service_supervisor": "process",
            "service_network_namespace": network.server,
            "service_run_dir": str(directory / "run"),
            "service_log_dir": str(directory / "log"),
            "service_dhcp_state_dir": str(directory / "dhcp"),
            "service_dhcp_interfaces": ["srv0"],
            "service_dhcp_range_start": "10.77.0.100",
            "service_dhcp_range_end": "10.77.0.199",
            "service_dhcp_ping_check": False,
            "service_dhcp_boot_url": f"http://{SERVER}",
            "service_dhcp_domain": "lab.test",
            "service_tftp_root": str(directory / "boot"),
            "service_tftp_state_dir": str(directory / "tftp"),
            "service_http_root": str(directory / "boot"),
            "service_http_state_dir": str(directory / "http"),
            "plugin_hosts_directory": str(directory / "dhcp/dns"),
        }

    def run(self, *steps: Step) -> list[Outcome]:
        """The outcomes of the steps, none of which may fail."""
        outcomes = run(self.directory, steps, self.variables)
        assert [outcome.failed for outcome in outcomes] == [""] * len(steps)
        return outcomes

    def pid(self, name: str) -> str:
        """The process id of a daemon."""
        return (self.directory / f"run/{name}.process").read_text()

    def dhcp(self, mac: str, kind: str, arch: int = 0) -> dict[str, Any]:
        """What a DHCPDISCOVER is answered."""
        answer: dict[str, Any] = json.loads(self.network.ask(sys.executable, ASK, "cl0", mac, kind, str(arch)))
        return answer


@pytest.fixture
def site(network: Network) -> Iterator[Site]:
    """A boot server whose daemons are stopped after the test. Their users must be able to reach its directory."""
    with tempfile.TemporaryDirectory(prefix="openqrm-site-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        made = Site(network, directory)
        yield made
        made.run(*(Step(role, "stop") for role in (DHCP, TFTP, HTTP)))


def test_dhcp_and_dns(site: Site) -> None:
    prepare = Step(DHCP, "prepare")
    present = Step(DHCP, "present", {"service_entries": [NODE]})
    web = {"kind": "appliance", "name": "web01", "appliance": "web01", "member": 0, "address": "10.77.0.60"}
    start = Step(HOSTS, "appliance_start", {"plugin_objects": [web]})
    outcomes = site.run(prepare, prepare, present, present, start, start)
    assert [outcome.changed for outcome in outcomes] == [True, False, True, False, True, False]
    before = site.pid("dhcp")

    stranger = "52:54:00:aa:bb:02"
    assert site.dhcp(NODE["mac"], "plain")["address"] == NODE["address"]
    assert site.dhcp(stranger, "firmware", 0)["file"] == "undionly.kpxe"
    assert site.dhcp(stranger, "firmware", 7)["file"] == "snponly.efi"
    for arch in (0, 7):
        assert site.dhcp(stranger, "ipxe", arch)["file"] == f"http://{SERVER}/boot.ipxe"
    assert site.network.ask("dig", "+short", f"@{SERVER}", "web01.lab.test").strip() == "10.77.0.60"

    moved = Step(DHCP, "present", {"service_entries": [NODE | {"address": "10.77.0.52"}]})
    stop = Step(HOSTS, "appliance_stop", {"plugin_objects": [web]})
    site.run(moved, stop)
    assert site.dhcp(NODE["mac"], "plain")["address"] == "10.77.0.52"
    assert site.network.ask("dig", "+short", f"@{SERVER}", "web01.lab.test").strip() == ""
    absent = Step(DHCP, "absent", {"service_entries": [NODE]})
    outcomes = site.run(absent, absent)
    assert [outcome.changed for outcome in outcomes] == [True, False]
    assert site.dhcp(NODE["mac"], "plain")["address"] != "10.77.0.52"
    assert site.pid("dhcp") == before, "it was never restarted"


def test_machines_load_what_their_firmware_needs(site: Site) -> None:
    site.variables["service_dhcp_machines"] = [
        {"mac": "52:54:00:aa:bb:03", "program": "lpxelinux.0"},
        {"mac": "52:54:01:*:*:*", "program": "shimx64.efi"},
        {"mac": "52:54:02:*:*:*", "program": "ipxe.efi"},
    ]
    site.run(Step(DHCP, "prepare"))
    assert site.dhcp("52:54:00:aa:bb:03", "firmware", 0)["file"] == "lpxelinux.0"
    assert site.dhcp("52:54:01:aa:bb:04", "firmware", 7)["file"] == "shimx64.efi"
    assert site.dhcp("52:54:00:aa:bb:05", "firmware", 7)["file"] == "snponly.efi"
    by_http = site.dhcp("52:54:00:aa:bb:05", "http", 16)
    assert (by_http["file"], by_http["vendor_class"]) == (f"http://{SERVER}/ipxe/snponly.efi", "HTTPClient")
    for kind, program in (("firmware", "ipxe.efi"), ("ipxe", f"http://{SERVER}/boot.ipxe")):
        assert site.dhcp("52:54:02:aa:bb:06", kind, 7)["file"] == program, "iPXE that was loaded goes on"
    assert site.dhcp("52:54:00:aa:bb:03", "ipxe", 0)["file"] == "lpxelinux.0", "also where the firmware is an iPXE"


def test_proxy_dhcp_gives_boot_information_only(site: Site) -> None:
    site.variables |= {"service_dhcp_mode": "proxy", "service_dhcp_network": "10.77.0.0"}
    site.run(Step(DHCP, "prepare"))
    bios = site.dhcp("52:54:00:aa:bb:02", "firmware", 0)
    assert (bios["address"], bios["vendor_class"]) == (NONE, "PXEClient")
    ipxe = site.dhcp("52:54:00:aa:bb:02", "ipxe", 0)
    assert (ipxe["address"], ipxe["file"]) == (NONE, f"http://{SERVER}/boot.ipxe")
    assert ipxe["next_server"] == SERVER, "without it iPXE ignores the file"


def test_tftp(site: Site) -> None:
    source = site.directory / "outside"
    source.write_bytes(b"boot me" * 1000)
    entries = [
        {"name": name, "source": str(source)} for name in ("ipxe/program", "blobs/kernel", "manifests/node.json")
    ]
    entry = {"service_entries": entries}
    prepare, present, absent = Step(TFTP, "prepare"), Step(TFTP, "present", entry), Step(TFTP, "absent", entry)
    outcomes = site.run(prepare, prepare, present, present)
    assert [outcome.changed for outcome in outcomes] == [True, False, True, False]
    assert fetch(site, "undionly.kpxe") == Path("/usr/lib/ipxe/undionly.kpxe").read_bytes()
    assert fetch(site, "program") == source.read_bytes()
    assert fetch(site, "/blobs/kernel") == source.read_bytes(), "GRUB asks so"
    for name in ("../../outside", "manifests/node.json", "/manifests/node.json", "ipxe/../manifests/node.json"):
        assert fetch(site, name) == b"", name
    assert [outcome.changed for outcome in site.run(absent, absent)] == [True, False]
    assert fetch(site, "program") == b""


def fetch(site: Site, name: str) -> bytes:
    """What TFTP gives for a name, nothing where it gives none."""
    target = site.directory / "fetched"
    target.unlink(missing_ok=True)
    site.network.ask("tftp", SERVER, "-m", "binary", "-c", "get", name, str(target))
    return target.read_bytes() if target.exists() else b""


def certificate(directory: Path, name: str) -> None:
    """Make a certificate of the server that signs itself."""
    files = ["-keyout", str(directory / "key.pem"), "-out", str(directory / "certificate.pem")]
    subject = ["-days", "3", "-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:{SERVER}"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(
        ["openssl", "req", *kind, *files, *subject],
        check=True,
        capture_output=True,
        timeout=60,
    )


def test_http(site: Site) -> None:
    certificate(site.directory, "first")
    ca = site.directory / "certificate.pem"
    site.variables |= {"service_http_certificate": str(ca), "service_http_key": str(site.directory / "key.pem")}
    for path in ("boot.ipxe", "blobs/abc", "manifests/default.json", ".secret"):
        file = site.directory / "boot" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
    prepare = Step(HTTP, "prepare")
    assert [outcome.changed for outcome in site.run(prepare, prepare)] == [True, False]
    before = site.pid("http")

    def get(path: str, *options: str, scheme: str = "http") -> str:
        return site.network.ask("curl", "-si", "--cacert", str(ca), *options, f"{scheme}://{SERVER}/{path}")

    assert get("boot.ipxe").endswith("boot.ipxe")
    assert "Cache-Control: no-cache" in get("boot.ipxe")
    assert "max-age=31536000, immutable" in get("blobs/abc")
    assert " 404 " in get("manifests/default.json")
    assert get("manifests/default.json", scheme="https").endswith("default.json")
    assert " 404 " in get(".secret", scheme="https")
    assert " 403 " in get("blobs/")
    assert " 403 " in get("boot.ipxe", "-X", "POST")
    certificate(site.directory, "second")
    assert site.run(prepare)[0].changed
    assert get("manifests/default.json", scheme="https").endswith("default.json"), "the new certificate is served"
    assert site.pid("http") == before, "it was reloaded, not restarted"
