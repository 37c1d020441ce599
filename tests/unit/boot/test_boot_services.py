"""Boot services on the node: read from the manifest, fetched by digest, started by systemd or an init script."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.unit.boot import shell
from tests.unit.boot.test_node import AGENT, image

BANNER = shell.LIBRARY.parents[3] / "roles/plugin_motd/files/banner.sh"
FETCH = """
oq_curl() {
    for word; do url=$word; done
    while [ "$1" != --output ]; do shift; done
    cp "$STATE/tree/${url##*/}" "$2"
}
oq_pause() { :; }
OQ_BOOT=https://boot; OQM_RESOURCE=node1; OQM_APPLIANCE=web; OQM_MEMBER=0; OQM_EPOCH=3
"""


def publish(state: Path, program: str) -> str:
    """Put a program into the boot tree; its digest."""
    digest = hashlib.sha256(program.encode()).hexdigest()
    (state / "tree").mkdir(exist_ok=True)
    (state / "tree" / digest).write_text(program)
    return digest


def test_programs_are_fetched_by_digest(tmp_path: Path) -> None:
    digest = publish(tmp_path, "#!/bin/sh\necho hello\n")
    services = [{"name": "backup-client", "digest": digest}, {"name": "motd-banner", "digest": digest}]
    done = shell.read_manifest(tmp_path, shell.manifest(boot_services=services), FETCH + "oq_boot_services")
    assert (done.returncode, done.stderr) == (0, "")
    programs = sorted((tmp_path / "services").iterdir())
    assert [path.name for path in programs] == ["backup-client", "motd-banner"]
    assert subprocess.run([programs[0]], capture_output=True, text=True, check=True).stdout == "hello\n"
    assert (tmp_path / "services.env").read_text().splitlines() == [
        "OPENQRM_RESOURCE=node1",
        "OPENQRM_APPLIANCE=web",
        "OPENQRM_MEMBER=0",
        "OPENQRM_EPOCH=3",
    ]


def test_a_program_with_another_digest_is_not_run(tmp_path: Path) -> None:
    digest = publish(tmp_path, "#!/bin/sh\n")
    (tmp_path / "tree" / digest).write_text("#!/bin/sh\nreboot\n")
    data = shell.manifest(boot_services=[{"name": "motd-banner", "digest": digest}])
    done = shell.read_manifest(tmp_path, data, FETCH + "oq_boot_services || exit 4")
    assert done.returncode == 4
    assert list((tmp_path / "services").iterdir()) == []


def test_programs_of_an_earlier_attempt_are_gone(tmp_path: Path) -> None:
    (tmp_path / "services").mkdir()
    (tmp_path / "services/old").touch()
    done = shell.read_manifest(tmp_path, shell.manifest(), FETCH + 'oq_boot_services; ls "$OQ/services"')
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a b", "$(x)", "A", ""])
def test_names_that_are_none_are_refused(tmp_path: Path, name: str) -> None:
    data = shell.manifest(boot_services=[{"name": name, "digest": shell.DIGEST}])
    assert shell.read_manifest(tmp_path, data, "echo read").returncode == 3


def install(root: Path, state: Path) -> None:
    """Install the agent and a boot service into the image at `root`."""
    (state / "services").mkdir()
    (state / "services/motd-banner").write_text(BANNER.read_text())
    environment = {
        "PATH": "/usr/bin:/bin",
        "OPENQRM_UNIT_DIR": f"{state}/units",
        "OPENQRM_SERVICES": f"{state}/services",
    }
    subprocess.run(["busybox", "sh", str(AGENT), "install", str(root)], env=environment, check=True)


def test_systemd_gets_a_unit_below_run(tmp_path: Path) -> None:
    root = image(tmp_path / "image", systemd=True)
    before = sorted(root.rglob("*"))
    install(root, tmp_path)
    assert sorted(root.rglob("*")) == before
    wanted = tmp_path / "units/multi-user.target.wants/openqrm-motd-banner.service"
    assert "ExecStart=/run/openqrm/services/motd-banner start" in wanted.read_text()
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "units/openqrm-motd-banner.service")],
        capture_output=True,
        text=True,
    )
    assert "motd-banner is not executable" in checked.stderr or checked.returncode == 0, checked.stderr


def test_other_images_start_and_stop_them_by_the_init_script(tmp_path: Path) -> None:
    root = image(tmp_path / "image", systemd=False)
    install(root, tmp_path)
    script = (root / "etc/init.d/openqrm-agent").read_text()
    assert "services start" in script and "services stop" in script
    assert (root / "etc/rc0.d/K01openqrm-agent").resolve() == root / "etc/init.d/openqrm-agent"


def test_the_banner_says_what_runs_here() -> None:
    subprocess.run(["shellcheck", str(BANNER)], check=True)
    assert subprocess.run([str(BANNER), "restart"], capture_output=True).returncode == 64
