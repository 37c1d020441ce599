"""A root over nfs-ganesha, the NFS server in user space, on the storage server and kept by its systemd."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from tests.support.lab_session import LOCATION, LabSession

pytestmark = pytest.mark.extended
ROOT = f"{LOCATION}/web01-0"
# What `deployment_nfs` takes from the inventory of the storage server. The grace is for clients of a server before it.
SETTINGS = {"deployment_nfs_server": "ganesha", "deployment_nfs_grace_s": 5}
SHOW_EXPORTS = (
    "dbus-send --system --print-reply --dest=org.ganesha.nfsd /org/ganesha/nfsd/ExportMgr "
    "org.ganesha.nfsd.exportmgr.ShowExports"
)


def prepare(lab: LabSession) -> None:
    """Prepares the storage server for the NFS server that its inventory names."""
    role = {"name": "openqrm.datacenter.deployment_nfs", "tasks_from": "prepare"}
    tasks = [{"name": "Prepare the NFS server", "ansible.builtin.include_role": role}]
    path = lab.directory / "nfs.yml"
    path.write_text(yaml.safe_dump([{"hosts": "storage_servers", "gather_facts": False, "tasks": tasks}]))
    lab.playbook(str(path), {})


@pytest.fixture
def ganesha(lab: LabSession) -> Iterator[LabSession]:
    """The lab with nfs-ganesha in the place of the kernel's server."""
    settings = lab.directory / "inventory/host_vars/lab-storage/nfs.yml"
    settings.parent.mkdir(parents=True)
    settings.write_text(yaml.safe_dump(SETTINGS))
    lab.on_storage("systemctl", "stop", "nfs-server", "nfs-mountd")
    try:
        prepare(lab)
        yield lab
    finally:
        settings.unlink()
        lab.on_storage("systemctl", "disable", "--now", "openqrm-ganesha")
        lab.on_storage("systemctl", "start", "nfs-server")
        prepare(lab)


def test_root_over_ganesha(ganesha: LabSession) -> None:
    lab, before = ganesha, ganesha.resource("node01")
    lab.openqrm("appliance", "start", "web01", "--to", before.name)
    mounts = lab.wait("the mounts of web01", lambda: lab.page(before.address, "/seen/mounts"))
    root = next(line.split() for line in mounts.splitlines() if line.split()[1] == "/")
    server = lab.info["storage"]["addresses"][-1]
    assert (root[0], root[2]) == (f"{server}:{ROOT}", "nfs4")
    assert lab.on_storage("systemctl", "is-active", "openqrm-ganesha").strip() == "active"
    assert f'string "{ROOT}"' in lab.on_storage("sh", "-c", SHOW_EXPORTS)
    stranger = lab.inside("nfs-ls", f"nfs://{server}{ROOT}?version=4")
    assert stranger.returncode != 0 and "etc" not in stranger.stdout, stranger.stdout
    lab.openqrm("appliance", "stop", "web01")
    assert f'string "{ROOT}"' not in lab.on_storage("sh", "-c", SHOW_EXPORTS)
    console = lab.console("node01").read_text(errors="replace").rpartition("starting init of web01")[2]
    assert "openqrm: root unmounted" in console
    assert (lab.resource("node01").state, lab.resource("node01").mode) == ("idle", "idle")
