"""Nothing in the product turns the checking of certificates or host keys off; nothing secret goes over plain HTTP."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from openqrm.config import load_config
from openqrm.errors import ConfigError

from tests.unit.boot import shell

REPOSITORY = Path(__file__).parents[2]
PRODUCT = ("boot-templates", "library", "playbooks", "plugins", "roles", "scripts")
# skopeo's --insecure-policy is about signatures: its images are local, and told apart by their digests.
TRUSTING = re.compile(
    r"--insecure(?!-policy)"
    r"|curl[^|\n]* -k\b|verify\s*=\s*False|CERT_NONE|check_hostname\s*=\s*False|_create_unverified_context"
    r"|validate_certs['\"]?:\s*(false|no)\b|StrictHostKeyChecking[= ]+(no|accept-new|off)"
    r"|host_key_checking\s*[=:]\s*[Ff]alse"
)


# Off only where the operator turns a setting off, whose default is on.
SETTINGS = {
    "plugins/module_utils/redfish_bmc.py": ("roles/power_redfish/defaults/main.yml", "power_redfish_validate_certs")
}


def product_files() -> list[Path]:
    """The files that users get."""
    listed = subprocess.run(["git", "ls-files", *PRODUCT], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [REPOSITORY / line for line in listed.stdout.splitlines()]


def test_certificates_and_host_keys_are_always_checked() -> None:
    files = product_files()
    assert len(files) > 300
    found = [path for path in files if TRUSTING.search(path.read_bytes().decode(errors="replace"))]
    assert {str(path.relative_to(REPOSITORY)) for path in found} == set(SETTINGS)
    for file, setting in SETTINGS.values():
        assert f"{setting}: true" in (REPOSITORY / file).read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    "text",
    [
        "curl --insecure https://x",
        "curl -s -k https://x",
        "requests.get(x, verify=False)",
        "validate_certs: false",
        "StrictHostKeyChecking=no",
        "-o StrictHostKeyChecking=accept-new",
        "context.check_hostname = False",
    ],
)
def test_the_search_finds_what_it_looks_for(text: str) -> None:
    assert TRUSTING.search(text)


@pytest.mark.parametrize("key", ["boot: {tls_url", "api: {url"])
@pytest.mark.parametrize(
    "url", ["http://10.77.0.1", "ftp://x", "https://x y", "https://x/$(reboot)", "https://a@b", ""]
)
def test_what_is_secret_is_configured_over_https_only(tmp_path: Path, key: str, url: str) -> None:
    path = tmp_path / "openqrm.yml"
    path.write_text(f"{key}: '{url}'}}\n")
    with pytest.raises(ConfigError, match="it must be a URL"):
        load_config(str(path))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "ftp://127.0.0.1/x", "file:///etc/passwd"])
def test_a_node_asks_over_https_only(tmp_path: Path, url: str) -> None:
    """The node's curl itself, whatever the kernel command line or a redirect says."""
    script = f'chroot() {{ shift; command "$@"; }}; OQ_CA=/etc/ssl/cert.pem; oq_curl {url}'
    done = shell.run_shell(script, tmp_path)
    assert done.returncode != 0
    assert "disabled" in done.stderr or "not supported" in done.stderr, done.stderr


def test_a_node_does_not_follow_redirects() -> None:
    text = (REPOSITORY / "boot-templates/initramfs/90openqrm/lib/common.sh").read_text(encoding="utf-8")
    command = text.partition("oq_curl() {")[2].partition("}")[0]
    assert "--proto =https" in command and "--cacert" in command
    assert not re.search(r"--location|\s-L\b|--insecure|\s-k\b", command)
