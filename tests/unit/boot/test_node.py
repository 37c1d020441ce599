"""Functions of the node's shell library: network, hardware, the new root, calls of the node API."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from openqrm.pki import ensure_server_cert

from tests.unit.boot import shell

AGENT = shell.LIBRARY.parents[2] / "agent" / "openqrm-agent.sh"


def machine(root: Path) -> dict[str, str]:
    """Lay out a machine's /sys and /proc below `root`: a NIC with link, one without, a disk, a CD-ROM."""
    sys, proc = root / "sys", root / "proc"
    nics = {"ens3": ("52:54:00:12:34:56", "1", "1000"), "ens4": ("52:54:00:12:34:57", "0", "")}
    for name, (mac, carrier, speed) in nics.items():
        nic = sys / "class" / "net" / name
        (nic / "device").mkdir(parents=True)
        (nic / "device" / "driver").symlink_to("../../bus/drivers/virtio_net")
        for file, text in (("address", mac), ("carrier", carrier), ("speed", speed)):
            (nic / file).write_text(text + "\n")
    (sys / "class" / "net" / "lo").mkdir()
    for name, removable, sectors in (("vda", "0", "2097152"), ("sr0", "1", "0"), ("loop0", "0", "8")):
        disk = sys / "block" / name
        (disk / "device").mkdir(parents=True)
        (disk / "device" / "model").write_text('SUPER "FAST" \\ disk  \n')
        (disk / "removable").write_text(removable + "\n")
        (disk / "size").write_text(sectors + "\n")
    dmi = sys / "class" / "dmi" / "id"
    dmi.mkdir(parents=True)
    for file, text in (
        ("sys_vendor", "Acme"),
        ("product_name", "Box 1"),
        ("product_serial", "S-1"),
        ("product_uuid", "u-1"),
    ):
        (dmi / file).write_text(text + "\n")
    (proc / "sys/kernel/random").mkdir(parents=True)
    (proc / "sys/kernel/random/boot_id").write_text("b-1\n")
    (proc / "cpuinfo").write_text("processor : 0\n\nprocessor : 1\n")
    (proc / "meminfo").write_text("MemTotal: 1048576 kB\n")
    (root / "cmdline").write_text(
        "quiet BOOTIF=01-52-54-00-AB-34-56 openqrm.boot=https://10.77.0.1 openqrm.api=https://a:1\n"
    )
    (root / "kernel").write_text(shell.DIGEST + "\n")
    return {"OQ_SYS": str(sys), "OQ_PROC": str(proc), "OQ_CMDLINE": str(root / "cmdline")}


def test_hardware_is_the_registration_of_the_contract(tmp_path: Path) -> None:
    script = """
OQ_BOOT_MAC=52:54:00:12:34:56
ip() { :; }
timeout() { :; }
oq_bmc_address() { echo 10.0.0.9; }
oq_hardware
"""
    done = shell.run_shell(script, tmp_path, **machine(tmp_path))
    assert done.stderr == ""
    found = json.loads((tmp_path / "hardware.json").read_text())
    assert found.pop("arch")
    assert found == {
        "macs": ["52:54:00:12:34:56", "52:54:00:12:34:57"],
        "boot_mac": "52:54:00:12:34:56",
        "boot_id": "b-1",
        "firmware": "bios",
        "cores": 2,
        "memory_mib": 1024,
        "kernel": shell.DIGEST,
        "dmi": {"vendor": "Acme", "product": "Box 1", "serial": "S-1", "uuid": "u-1"},
        "disks": [{"name": "vda", "size_mib": 1024, "model": 'SUPER "FAST" \\ disk'}],
        "nics": [
            {"name": "ens3", "mac": "52:54:00:12:34:56", "driver": "virtio_net", "link": True, "speed_mbit": 1000},
            {"name": "ens4", "mac": "52:54:00:12:34:57", "driver": "virtio_net", "link": False, "speed_mbit": -1},
        ],
        "bmc": {"address": "10.0.0.9"},
    }


def test_installed_memory_is_the_sum_of_the_modules(tmp_path: Path) -> None:
    script = 'timeout() { printf "\\tSize: 16 GB\\n\\tSize: 512 MB\\n\\tSize: No Module Installed\\n"; }; oq_memory_mib'
    assert shell.run_shell(script, tmp_path).stdout == "16896\n"


def test_boot_mac_is_what_the_firmware_said_else_the_first_nic(tmp_path: Path) -> None:
    variables = machine(tmp_path)
    assert shell.run_shell("oq_boot_mac", tmp_path, **variables).stdout == "52:54:00:ab:34:56\n"
    (tmp_path / "cmdline").write_text("quiet\n")
    assert shell.run_shell("oq_boot_mac", tmp_path, **variables).stdout == "52:54:00:12:34:56\n"


def test_arguments_and_interfaces(tmp_path: Path) -> None:
    variables = machine(tmp_path)
    script = "oq_argument openqrm.boot; oq_argument openqrm.none\n"
    script += "oq_interface 52:54:00:12:34:57; oq_interface 52:54:00:00:00:00 || echo none"
    assert shell.run_shell(script, tmp_path, **variables).stdout.splitlines() == ["https://10.77.0.1", "ens4", "none"]


def test_fstab_has_root_manifest_static_and_swap_lines(tmp_path: Path) -> None:
    (tmp_path / "root" / "etc").mkdir(parents=True)
    (tmp_path / "root/etc/fstab").write_text("old\n")
    (tmp_path / "root/etc/fstab-static").write_text("/dev/sdb1 /srv ext4 defaults 0 2\n")
    script = """
oq_run_hook() { echo "nas:/a / nfs rw 0 0"; }
blkid() { printf '/dev/vda2\\n/dev/vdb1\\n'; }
swapon() { [ "$1" = /dev/vda2 ]; }
OQM_FSTAB='tmpfs /tmp tmpfs defaults 0 0'
oq_fstab
"""
    assert shell.run_shell(script, tmp_path).returncode == 0
    assert (tmp_path / "root/etc/fstab").read_text().splitlines()[1:] == [
        "nas:/a / nfs rw 0 0",
        "tmpfs /tmp tmpfs defaults 0 0",
        "/dev/sdb1 /srv ext4 defaults 0 2",
        "/dev/vda2 none swap sw,nofail,x-systemd.device-timeout=15s 0 0",
    ]


def test_fstab_stays_when_the_hook_fails(tmp_path: Path) -> None:
    (tmp_path / "root" / "etc").mkdir(parents=True)
    (tmp_path / "root/etc/fstab").write_text("old\n")
    assert shell.run_shell("oq_run_hook() { return 1; }; OQM_FSTAB=''; oq_fstab", tmp_path).returncode == 1
    assert (tmp_path / "root/etc/fstab").read_text() == "old\n"


def test_hosts_are_one_block_that_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "root" / "etc").mkdir(parents=True)
    (tmp_path / "root/etc/hosts").write_text("127.0.0.1 localhost\n")
    (tmp_path / "bundle" / "etc").mkdir(parents=True)
    (tmp_path / "bundle" / "etc" / "resolv.conf").write_text("nameserver 1.1.1.1\n")
    script = "OQM_HOSTNAME=web01; OQ_BUNDLE=$STATE/bundle\n"
    script += "OQM_HOSTS='10.0.0.1 a'; oq_system_files; OQM_HOSTS='10.0.0.2 b'; oq_system_files"
    assert shell.run_shell(script, tmp_path).stderr == ""
    etc = tmp_path / "root/etc"
    assert (etc / "hosts").read_text() == "127.0.0.1 localhost\n# BEGIN openqrm\n10.0.0.2 b\n# END openqrm\n"
    assert (etc / "hostname").read_text() == "web01\n"
    assert (etc / "resolv.conf").read_text() == "nameserver 1.1.1.1\n"


def test_resolver_and_hosts_of_the_image_stay(tmp_path: Path) -> None:
    etc = tmp_path / "root" / "etc"
    etc.mkdir(parents=True)
    (etc / "resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    assert shell.run_shell("OQM_HOSTNAME=web01; OQM_HOSTS=''; oq_system_files", tmp_path).returncode == 0
    assert (etc / "resolv.conf").is_symlink()
    assert not (etc / "hosts").exists()


def test_networkd_keeps_the_address(tmp_path: Path) -> None:
    done = shell.run_shell('oq_networkd_file 52:54:00:12:34:56 10.0.0.5/24 10.0.0.1 "10.0.0.2 10.0.0.3"', tmp_path)
    assert done.stdout.splitlines() == [
        "[Match]",
        "MACAddress=52:54:00:12:34:56",
        "",
        "[Network]",
        "Description=kept for the network root by openQRM",
        "Address=10.0.0.5/24",
        "KeepConfiguration=yes",
        "DHCP=no",
        "Gateway=10.0.0.1",
        "DNS=10.0.0.2",
        "DNS=10.0.0.3",
    ]


def test_unit_name_is_what_systemd_calls_the_path(tmp_path: Path) -> None:
    done = shell.run_shell("oq_unit_name /usr/lib/modules/6.1.0-13+b1~x-amd64", tmp_path)
    assert done.stdout == "usr-lib-modules-6.1.0\\x2d13\\x2bb1\\x7ex\\x2damd64\n"


def test_token_goes_through_standard_input_only(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    script = 'OQ_API=https://a:1; oq_curl() { echo "$@" > $STATE/argv; cat > $STATE/stdin; printf 204; }\n'
    script += 'oq_call POST event "$STATE/body" 5; echo $OQ_STATUS'
    assert shell.run_shell(script, tmp_path).stdout == "204\n"
    assert "secret" not in (tmp_path / "argv").read_text()
    assert (tmp_path / "stdin").read_text().splitlines() == [
        'url = "https://a:1/node/v1/event"',
        'request = "POST"',
        "max-time = 5",
        'header = "Authorization: Bearer secret"',
        'header = "Content-Type: application/json"',
        f'data-binary = "@{tmp_path}/body"',
    ]


SERVER = """
OQ_API=https://a:1
oq_curl() {
    while [ "$1" != --output ]; do shift; done
    cat > "$STATE/request"
    answer "$2"
}
"""


def test_registration_keeps_the_token(tmp_path: Path) -> None:
    (tmp_path / "hardware.json").write_text('{"macs": []}')
    (tmp_path / "lease").write_text("address=10.0.0.5/24\n")
    script = (
        SERVER + """answer() { echo '{"resource": "node01", "token": "t-1"}' > "$1"; printf 200; }; oq_register idle"""
    )
    assert shell.run_shell(script, tmp_path).returncode == 0
    assert (tmp_path / "token").read_text() == "t-1\n"
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    claim = (tmp_path / "claim").read_text()
    sent = {"macs": [], "mode": "idle", "address": "10.0.0.5", "claim": claim}
    assert re.fullmatch("[0-9a-f]{64}", claim)
    assert json.loads((tmp_path / "register.json").read_text()) == sent
    for file in ("claim", "register.json"):
        assert (tmp_path / file).stat().st_mode & 0o777 == 0o600
    assert shell.run_shell(script, tmp_path).returncode == 0
    assert (tmp_path / "claim").read_text() == claim


def test_old_token_is_exchanged_and_kept_when_that_fails(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old\n")
    (tmp_path / "token.seconds").write_text("3600\n")
    (tmp_path / "token.since").write_text("-3700\n")
    refused = "answer() { printf 403; }; oq_exchange_old_token"
    assert shell.run_shell(SERVER + refused, tmp_path).returncode == 0
    assert (tmp_path / "token").read_text() == "old\n"
    assert int((tmp_path / "token.since").read_text()) >= 0
    answer = """answer() { echo '{"token": "new"}' > "$1"; printf 200; }; """
    assert shell.run_shell(SERVER + answer + "oq_exchange_old_token", tmp_path).returncode == 0
    assert (tmp_path / "token").read_text() == "old\n"  # not its time yet
    (tmp_path / "token.since").write_text("-3700\n")
    assert shell.run_shell(SERVER + answer + "oq_exchange_old_token", tmp_path).returncode == 0
    assert (tmp_path / "token").read_text() == "new\n"
    assert "Bearer old" in (tmp_path / "request").read_text()


@pytest.mark.parametrize("token", ['"a b"', '"$(reboot)"', '"x\\"\\n"', "null", '""'])
def test_a_token_that_is_none_is_refused(tmp_path: Path, token: str) -> None:
    (tmp_path / "hardware.json").write_text("{}")
    answer = f'{{"resource": "node01", "token": {token}}}'
    (tmp_path / "reply").write_text(answer)
    script = (
        SERVER + 'answer() { cp "$STATE/reply" "$1"; printf 200; }; oq_register idle || { oq_call_problem; exit 4; }'
    )
    done = shell.run_shell(script, tmp_path)
    assert done.returncode == 4
    assert "no valid token" in done.stdout
    assert not (tmp_path / "token").exists()


@pytest.fixture
def with_ssh(tmp_path: Path) -> Path:
    """The SSH configuration of a root that has a host key already."""
    ssh = tmp_path / "root" / "etc" / "ssh"
    ssh.mkdir(parents=True)
    (ssh / "ssh_host_ed25519_key").write_text("of the image\n")
    (ssh / "ssh_host_ed25519_key.pub").write_text("of the image\n")
    return ssh


SECRETS = """oq_say() { echo "$*"; }
oq_event() { echo "event $*"; }
oq_prefetch_secrets
oq_secrets
"""


@pytest.mark.parametrize("in_place", [True, False])
def test_host_key_comes_over_the_api_into_the_root(tmp_path: Path, with_ssh: Path, in_place: bool) -> None:
    (tmp_path / "token").write_text("old\n")
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
    secrets = {"ssh_host_key": key}
    reply = {"token": "new", "approved": True, "secrets": secrets} if in_place else secrets
    (tmp_path / "reply").write_text(json.dumps(reply))
    script = SERVER + 'answer() { cat "$STATE/request" >> "$STATE/requests"; cp "$STATE/reply" "$1"; printf 200; }\n'
    done = shell.run_shell(script + ("OQO_ID=7\n" if in_place else "") + SECRETS, tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert [path.name for path in with_ssh.iterdir()] == ["ssh_host_ed25519_key"]
    assert (with_ssh / "ssh_host_ed25519_key").read_text() == key
    assert (with_ssh / "ssh_host_ed25519_key").stat().st_mode & 0o777 == 0o600
    assert not [path for path in tmp_path.iterdir() if path.name in ("answer", "answer.secrets", "secrets.json")]
    asked = re.findall(r"node/v1/([\w?=]+)|Bearer (\w+)", (tmp_path / "requests").read_text())
    words = [path or token for path, token in asked]
    assert words == (["token?secrets=true", "old"] if in_place else ["secrets", "old"])
    assert (tmp_path / "token").read_text() == ("new\n" if in_place else "old\n")


@pytest.mark.parametrize(
    "answer", ["printf 000; return 7", "printf 403", 'echo \'{"ssh_host_key": ""}\' > "$1"; printf 200']
)
def test_root_keeps_its_host_key_where_the_api_gives_none(tmp_path: Path, with_ssh: Path, answer: str) -> None:
    (tmp_path / "token").write_text("t\n")
    done = shell.run_shell(f"{SERVER}answer() {{ {answer}; }}\n{SECRETS}", tmp_path)
    assert done.returncode == 0
    assert ("event warning secrets no secrets: " in done.stdout) == ("200" not in answer)
    assert (with_ssh / "ssh_host_ed25519_key").read_text() == "of the image\n"
    assert len(list(with_ssh.iterdir())) == 2


def test_root_keeps_its_host_key_where_the_machine_could_not_register(tmp_path: Path, with_ssh: Path) -> None:
    script = SERVER + 'answer() { exit 9; }; OQ_REGISTERING=1; : > "$OQ/registration.over"\n' + SECRETS
    done = shell.run_shell(script, tmp_path)
    assert done.stdout == "no secrets: this machine could not register; the root keeps what it has\n"
    assert (with_ssh / "ssh_host_ed25519_key").read_text() == "of the image\n"


def test_events_wait_until_the_server_takes_them(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t\n")
    down = "answer() { echo refused >&2; printf 000; return 7; }\n"
    down += "oq_event error mount_root 'it\\'s \"broken\"'; oq_event info x y"
    assert shell.run_shell(SERVER + down.replace("\\'", "'\\''"), tmp_path).returncode == 0
    assert len((tmp_path / "events").read_text().splitlines()) == 2
    assert json.loads((tmp_path / "events").read_text().splitlines()[0])["message"] == 'it\'s "broken"'
    up = "answer() { printf 204; }; oq_flush_events"
    assert shell.run_shell(SERVER + up, tmp_path).returncode == 0
    assert (tmp_path / "events").read_text() == ""


def test_an_order_is_read_without_running_it(tmp_path: Path) -> None:
    (tmp_path / "reply").write_text(
        json.dumps({"id": 7, "order": "assign$(touch x)", "epoch": 3, "manifest": shell.DIGEST})
    )
    script = (
        SERVER
        + 'answer() { cp "$STATE/reply" "$1"; printf 200; }; oq_next_order 1\n'
        + 'echo "$OQO_ID $OQO_ORDER $OQO_EPOCH $OQO_MANIFEST"'
    )
    assert shell.run_shell(script, tmp_path).stdout == f"7 assign$(touch x) 3 {shell.DIGEST}\n"


def test_assign_is_refused_when_the_tree_has_another_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.sha256").write_text("f" * 64)
    script = f"""
oq_step() {{ :; }}; oq_say() {{ echo "$*"; }}; oq_answer_order() {{ echo "answer $*"; }}
OQO_ID=7; OQO_MANIFEST={shell.DIGEST}; OQM_MODE=assigned
oq_assign
"""
    done = shell.run_shell(script, tmp_path)
    assert done.returncode == 1
    assert f"answer failed manifest: the order names {shell.DIGEST}, the boot tree has {'f' * 64}" in done.stdout


def image(root: Path, *, systemd: bool) -> Path:
    """Lay out a root file system with one of two init systems."""
    (root / "sbin").mkdir(parents=True)
    (root / "etc/init.d").mkdir(parents=True)
    if systemd:
        (root / "usr/lib/systemd").mkdir(parents=True)
        (root / "usr/lib/systemd/systemd").touch(mode=0o755)
        (root / "sbin/init").symlink_to("/lib/systemd/systemd")
    return root


def install_agent(root: Path, units: Path) -> subprocess.CompletedProcess[str]:
    """Install the agent into the image at `root`."""
    environment = {"PATH": "/usr/bin:/bin", "OPENQRM_UNIT_DIR": str(units)}
    return subprocess.run(
        ["busybox", "sh", str(AGENT), "install", str(root)], env=environment, capture_output=True, text=True
    )


def test_agent_leaves_a_systemd_image_alone(tmp_path: Path) -> None:
    root = image(tmp_path / "image", systemd=True)
    before = sorted(root.rglob("*"))
    assert install_agent(root, tmp_path / "units").returncode == 0
    assert sorted(root.rglob("*")) == before
    wanted = tmp_path / "units/multi-user.target.wants/openqrm-agent.service"
    assert "ExecStart=/run/openqrm/agent run" in wanted.read_text()


def test_agent_of_another_image_is_an_init_script(tmp_path: Path) -> None:
    root = image(tmp_path / "image", systemd=False)
    for _time in range(2):
        assert install_agent(root, tmp_path / "units").returncode == 0
    assert (root / "etc/rc2.d/S99openqrm-agent").resolve() == root / "etc/init.d/openqrm-agent"
    subprocess.run(["shellcheck", str(root / "etc/init.d/openqrm-agent")], check=True)


def test_agent_says_when_it_cannot_be_started(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    done = install_agent(tmp_path / "image", tmp_path / "units")
    assert done.returncode == 1
    assert "neither systemd nor /etc/init.d" in done.stdout


@dataclass
class Manager:
    """A server of the node API that keeps what it was told, and how many connections there were."""

    calls: list[tuple[str, str, object]] = field(default_factory=list)
    connections: int = 0
    url: str = ""


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """A manager with TLS on the loopback interface, which takes everything."""
    told = Manager()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            told.connections += 1
            super().setup()

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.calls.append((self.path, self.headers["Authorization"], body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Print nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*ensure_server_cert(tmp_path / "pki", "manager", ["127.0.0.1"]))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        told.url = f"https://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield told
        server.shutdown()


@pytest.mark.parametrize("order", ["", "7"])
def test_the_start_of_init_is_reported_over_one_connection(tmp_path: Path, manager: Manager, order: str) -> None:
    state = tmp_path / "state"
    state.mkdir()
    for name, text in {"token": "t", "kernel": shell.DIGEST, "manifest.sha256": shell.DIGEST}.items():
        (state / name).write_text(f"{text}\n")
    script = f"""
OQ_API={manager.url}; OQ_CA={tmp_path}/pki/ca.pem; OQO_ID='{order}'; OQM_EPOCH=3
chroot() {{ shift 2; curl "$@"; }}
oq_report_init
wait
cat "$OQ/curl.error"
"""
    done = shell.run_shell(script, state)
    assert (done.returncode, done.stdout) == (0, "")
    heartbeat, *orders = manager.calls
    assert heartbeat[:2] == ("/node/v1/heartbeat", "Bearer t")
    assert isinstance(heartbeat[2], dict) and (heartbeat[2]["stage"], heartbeat[2]["epoch"]) == ("init", 3)
    wanted = [("/node/v1/order/7", "Bearer t", {"result": "done", "message": ""})] if order else []
    assert orders == wanted
    assert manager.connections == 1


@pytest.mark.parametrize(
    ("given", "said"), [("c2VjcmV0", "c2VjcmV0"), ("", "no secret for the storage server: HTTP 403")]
)
def test_the_hook_gets_the_secret_of_the_grant(tmp_path: Path, given: str, said: str) -> None:
    (tmp_path / "secrets.json").write_text(json.dumps({"ssh_host_key": "k", "grant": given}))
    (tmp_path / "secrets.problem").write_text("HTTP 403")
    (tmp_path / "secrets.over").touch()
    (tmp_path / "hook").write_text('mount_root() { printf %s "$OPENQRM_SECRET"; }')
    run_hook = shell.LIBRARY.parent / "run-hook.sh"
    script = f"""
sed 's,/usr/lib/openqrm,{shell.LIBRARY},' {run_hook} > "$STATE/run-hook.sh"
export OPENQRM_HOOK={tmp_path}/hook
timeout() {{ busybox sh "$STATE/run-hook.sh" "$7"; }}
OQM_SECRET=true OQM_PARAMETERS='' OQ_BOOT_MAC=52:54:00:12:34:56 OQ_ASKING=1
oq_grant_secret && oq_run_hook mount_root
"""
    done = shell.run_shell(script, tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, said), done.stderr
