"""The configuration file: where it is looked for, what it holds, and errors that name file, line and key."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
import yaml
from openqrm.config import Config, Network, find_config, load_config
from openqrm.errors import ConfigError

ROOT = Path(__file__).parents[2]


def write(directory: Path, text: str) -> str:
    path = directory / "openqrm.yml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def example() -> str:
    """The file that docs/contracts.md shows, with every key."""
    return (ROOT / "docs/contracts.md").read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]


def test_the_documented_file_is_read_whole(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, example()))
    assert config.path == tmp_path / "openqrm.yml"
    assert config.store == "sqlite:////var/lib/openqrm/openqrm.db"
    assert config.inventory == ("/etc/openqrm/inventory",)
    assert config.collections == ()
    assert (config.boot.root, config.boot.tls_url) == ("/srv/openqrm/boot", "https://10.77.0.1")
    assert (config.api.listen, config.api.port) == ("10.77.0.1", 7443)
    assert config.networks.storage == Network("10.78.0.0/24", "10.78.0.100-10.78.0.250")
    assert config.deadlines.node_up_s == 300
    assert config.ca_file == Path("/var/lib/openqrm/pki/ca.pem")


def test_every_key_is_documented() -> None:
    text = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    shown = yaml.safe_load(example())
    keys = {item.name: getattr(Config(), item.name) for item in fields(Config) if item.name != "path"}
    names = [name for name, value in keys.items() if not is_dataclass(value)]
    names += [f"{name}.{item.name}" for name, value in keys.items() if is_dataclass(value) for item in fields(value)]
    assert sorted(shown) == sorted(keys)
    assert [name for name in names if f"| `{name}` |" not in text] == []


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, "# nothing yet\n")
    assert load_config(path) == Config(path=Path(path))


SECONDS = "it must be a whole number from 1 to 604800"
BAD = {
    "unknown key": (
        "store: sqlite:////x\nboots: {}\n",
        ":2: boots is not known; did you mean boot?; known: api, boot, cache_dir,",
    ),
    "unknown key of a section": (
        "boot:\n  host: a\n  rot: /x\n",
        ":3: boot.rot is not known; did you mean boot.root?; known: host, root, tls_url, url.",
    ),
    "key like no other": ("zzz: 1\n", ":1: zzz is not known; known: api,"),
    "the file's own path": ("path: /x\n", ":1: path is not known"),
    "key given twice": ("power_host: a\nboot: {}\npower_host: b\n", ":3: power_host is given twice"),
    "list for a mapping": ("\n\nboot: [a]\n", ":3: boot must be a mapping of keys to values"),
    "nothing for a mapping": ("boot:\n", ":1: boot must be a mapping of keys to values"),
    "text for a list": ("inventory: /etc/hosts\n", ":1: inventory must be a list"),
    "mapping for a value": ("store: {a: b}\n", ":1: store must be a single value"),
    "mapping in a list": ("inventory:\n  - {a: b}\n", ":2: inventory must be a single value"),
    "port": ("api:\n  port: https\n", ":2: api.port is 'https'; it must be a whole number from 1 to 65535"),
    "port too high": ("api: {port: 65536}\n", ":1: api.port is '65536'; it must be a whole number from 1 to 65535"),
    "zero": ("deadlines: {node_up_s: 0}\n", f":1: deadlines.node_up_s is '0'; {SECONDS}"),
    "negative": ("deadlines: {node_down_s: -1}\n", f":1: deadlines.node_down_s is '-1'; {SECONDS}"),
    "absurd": (
        "deadlines: {heartbeat_s: 99999999999999}\n",
        f":1: deadlines.heartbeat_s is '99999999999999'; {SECONDS}",
    ),
    "not ASCII digits": ("deadlines: {node_up_s: \u0663}\n", f":1: deadlines.node_up_s is '\u0663'; {SECONDS}"),
    "a list": ("- a\n", ":1: the file must be a mapping of keys to values"),
    "prefix": (
        "networks: {management: {cidr: 10.77.0.1/24}}\n",
        ":1: networks.management.cidr is '10.77.0.1/24': 10.77.0.1/24 has host bits set",
    ),
    "pool": (
        "networks: {storage: {pool: 10.1.1.1-x}}\n",
        ":1: networks.storage.pool is '10.1.1.1-x': 'x' does not appear",
    ),
    "pool upside down": ("networks: {storage: {pool: 10.1.1.9-10.1.1.1}}\n", "it must be first-last, as"),
    "pool of one": ("networks: {storage: {pool: 10.1.1.9}}\n", "it must be first-last, as"),
    "pool elsewhere": (
        "networks: {storage: {cidr: 10.1.1.0/24, pool: 10.1.1.9-10.1.2.1}}\n",
        "networks.storage.pool: 10.1.2.1 is not in 10.1.1.0/24",
    ),
    "store": ("\nstore: mysql://x\n", ":2: store is 'mysql://x': use sqlite:////absolute/path.db or postgresql"),
    "store in memory": ("store: sqlite://\n", ":1: store is 'sqlite://': use sqlite:////absolute/path.db"),
    "directory": ("state_dir: state\n", ":1: state_dir is 'state': it must be an absolute path"),
    "directory above": ("boot: {root: /srv/../etc}\n", ":1: boot.root is '/srv/../etc': it must be an absolute path"),
    "url": ("boot: {url: 10.77.0.1}\n", ":1: boot.url is '10.77.0.1': it must be a URL, as http://10.77.0.1"),
    "url without TLS": (
        "api: {url: 'http://10.77.0.1'}\n",
        ":1: api.url is 'http://10.77.0.1': it must be a URL, as https://",
    ),
    "no YAML": ("boot:\n  host: a\n b: [\n", ":3: this is not YAML: "),
    "tabulator": ("boot:\n\thost: a\n", ":2: this is not YAML: "),
}


@pytest.mark.parametrize("case", BAD)
def test_errors_name_file_line_and_key(case: str, tmp_path: Path) -> None:
    text, message = BAD[case]
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert path in caught.value.message
    assert message in caught.value.message, caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 2


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yml: No such file or directory\. Check the path"):
        load_config(str(tmp_path / "gone.yml"))
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(ConfigError, match="is not YAML"):
        load_config(str(tmp_path / "binary.yml"))


def test_the_file_is_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENQRM_CONFIG", raising=False)
    monkeypatch.setattr("openqrm.config.SEARCH", (Path("openqrm.yml"), tmp_path / "etc/openqrm.yml"))
    with pytest.raises(ConfigError) as caught:
        find_config()
    assert "$OPENQRM_CONFIG is not set and none of openqrm.yml, " in caught.value.message
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/openqrm.yml").touch()
    assert find_config() == tmp_path / "etc/openqrm.yml"
    (tmp_path / "openqrm.yml").touch()
    assert find_config() == tmp_path / "openqrm.yml"
    monkeypatch.setenv("OPENQRM_CONFIG", "/named")
    assert find_config() == Path("/named")
    assert find_config("/given") == Path("/given")
