# Copyright (c) 2026 openQRM.datacenter contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build what a kernel needs to boot nodes: its image, the universal initramfs, and its module tree in one file.

All contact with the machine goes through a `run` function and the paths that are given. Results are cached below the
digest of everything that went into them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

Run = Callable[..., str]

ARTIFACTS = ("vmlinuz", "initramfs", "modules")
TOOLS = (
    *("dracut", "mksquashfs", "depmod", "zstd", "busybox", "curl", "jq", "dmidecode", "kexec", "mount.nfs", "e2fsck"),
    *("mkfs.ext4", "iscsid", "iscsiadm", "rsync", "tar", "getfattr", "setfattr"),
    *("dd", "b2sum", "blkdiscard", "blockdev", "wipefs", "sfdisk", "multipathd", "dmsetup"),
)
PACKAGES = (
    "dracut-core squashfs-tools kmod zstd busybox-static curl jq dmidecode kexec-tools nfs-common e2fsprogs open-iscsi "
    "rsync tar attr coreutils util-linux fdisk multipath-tools dmsetup"
)
FILESYSTEMS = "ext4 vfat squashfs overlay"
PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]+\Z")
KERNEL_VERSION = re.compile(r"[0-9][A-Za-z0-9._+~-]*\Z")
# A kernel among the names in an archive.
ARCHIVED = re.compile(
    r"(?:\./)?(?:boot/vmlinuz-(?P<boot>[0-9][A-Za-z0-9._+~-]*)"
    r"|(?:usr/)?lib/modules/(?P<beside>[0-9][A-Za-z0-9._+~-]*)/vmlinuz)\Z"
)
DRACUT_BASE = Path("/usr/lib/dracut")


class KernelBuildError(Exception):
    """A kernel that cannot be built; the text says what was asked, what was found, and what to do."""


@dataclass(frozen=True)
class Source:
    """A kernel to build from.

    `fingerprint` changes whenever its files do; `package` is a Debian package to unpack first, `archive` a tar archive
    of which the `members` are.
    """

    version: str
    fingerprint: str
    vmlinuz: Path | None = None
    modules: Path | None = None
    package: str = ""
    archive: Path | None = None
    members: tuple[str, ...] = ()


def run_command(argv: list[str], timeout_s: int, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command and return its standard output.

    Raises: KernelBuildError when it is missing, fails or takes longer than `timeout_s` seconds.
    """
    environment = {
        "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin",
        "LC_ALL": "C",
        "HOME": "/root",
        **(env or {}),
    }
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env=environment,
            timeout=timeout_s,
            check=True,
            text=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError as error:
        raise KernelBuildError(f"The program {argv[0]} is not installed; install the packages {PACKAGES}.") from error
    except subprocess.TimeoutExpired as error:
        raise KernelBuildError(
            f"{' '.join(argv[:2])} took longer than {timeout_s} s; is the machine overloaded?"
        ) from error
    except subprocess.CalledProcessError as error:
        words = " ".join((error.stderr or error.stdout).split())[-1500:]
        raise KernelBuildError(f"{' '.join(argv)} failed with exit code {error.returncode}: {words}") from error
    return done.stdout


def require_tools() -> dict[str, str]:
    """Return the path of every program the build needs. Raises: KernelBuildError that names the missing ones."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    found = {name: shutil.which(name, path=path) for name in TOOLS}
    missing = sorted(name for name, where in found.items() if where is None)
    if missing:
        raise KernelBuildError(f"The build host lacks {', '.join(missing)}; install the packages {PACKAGES}.")
    return {name: str(where) for name, where in found.items()}


def running_source(release: str, root: Path = Path("/")) -> Source:
    """Return the source for the kernel that runs (`release` as of uname).

    Raises: KernelBuildError when its files are missing.
    """
    vmlinuz, modules = root / "boot" / f"vmlinuz-{release}", root / "lib" / "modules" / release
    if not vmlinuz.is_file() or not (modules / "modules.dep").is_file():
        raise KernelBuildError(
            f"The running kernel is {release}, but {vmlinuz} and {modules}/modules.dep do not both exist on this "
            "machine; use a Debian package or a directory as source."
        )
    return Source(release, tree_fingerprint(vmlinuz, modules), vmlinuz, modules)


def directory_source(directory: Path, version: str = "") -> Source:
    """Return the source for a directory laid out as an unpacked package: boot/vmlinuz-VERSION, lib/modules/VERSION.

    `version` chooses one where the directory has several.

    Raises: KernelBuildError when there is none, or no single one.
    """
    base = directory / "usr" if (directory / "usr" / "lib" / "modules").is_dir() else directory
    modules_root = base / "lib" / "modules"
    found = {path.name: path for path in sorted(modules_root.glob("*")) if vmlinuz_of(directory, path).is_file()}
    if version and version in found:
        found = {version: found[version]}
    if len(found) != 1 or (version and version not in found):
        raise KernelBuildError(
            f"Directory {directory}: expected one kernel{' ' + version if version else ''} as boot/vmlinuz-VERSION and "
            f"lib/modules/VERSION, found: {', '.join(found) or 'none'}; set the version, or another directory."
        )
    name, modules = next(iter(found.items()))
    vmlinuz = vmlinuz_of(directory, modules)
    return Source(name, tree_fingerprint(vmlinuz, modules), vmlinuz, modules)


def vmlinuz_of(directory: Path, modules: Path) -> Path:
    """Return where the kernel with this module tree is; distributions of the EL family keep it there first."""
    beside = modules / "vmlinuz"
    return beside if beside.is_file() else directory / "boot" / f"vmlinuz-{modules.name}"


def archive_source(run: Run, archive: Path, version: str = "", timeout_s: int = 900) -> Source:
    """Return the source for the kernel in a tar archive, of a root file system or laid out as an unpacked package.

    `version` chooses one where the archive has several.

    Raises: KernelBuildError when there is none, or no single one.
    """
    if not archive.is_file():
        raise KernelBuildError(f"There is no archive {archive} on this machine; copy it there first.")
    names = run(["tar", "--list", f"--file={archive}"], timeout_s=timeout_s).splitlines()
    found: dict[str, set[str]] = {}
    for match in filter(None, map(ARCHIVED.match, names)):
        found.setdefault(match["boot"] or match["beside"], set()).add(match[0])
    chosen = [name for name in found if version in ("", name)]
    if len(chosen) != 1:
        raise KernelBuildError(
            f"Archive {archive}: expected one kernel{' ' + version if version else ''} as boot/vmlinuz-VERSION or "
            f"lib/modules/VERSION/vmlinuz, found: {', '.join(sorted(found)) or 'none'}; set the version."
        )
    tree = re.compile(rf"(?:\./)?(?:usr/)?lib/modules/{re.escape(chosen[0])}/?\Z")
    members = sorted(found[chosen[0]] | set(filter(tree.match, names)))
    return Source(chosen[0], file_sha256(archive), archive=archive, members=tuple(members))


def tree_fingerprint(vmlinuz: Path, modules: Path) -> str:
    """Return a digest of names, sizes and modification times of a kernel's files."""
    digest = hashlib.sha256()
    for path in [vmlinuz, *sorted(path for path in modules.rglob("*") if path.is_file() and not path.is_symlink())]:
        state = path.stat()
        digest.update(f"{path}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def package_source(run: Run, name: str) -> Source:
    """Return the source for a Debian package; a metapackage (linux-image-cloud-amd64) leads to the kernel it needs.

    Raises: KernelBuildError when the package is not known or holds no kernel.
    """
    asked = name
    for _hop in range(4):
        fields = package_fields(run, name)
        following = re.search(r"\blinux-image-[0-9][^\s,(|]*", fields.get("Depends", "")) or re.search(
            r"\blinux-image-[^\s,(|]+", fields.get("Depends", "")
        )
        if following:  # asked first: a metapackage may have a version in its name, as linux-image-6.12-cloud-amd64
            name = following.group(0)
            continue
        version = name.removeprefix("linux-image-").removesuffix("-unsigned") if name.startswith("linux-image-") else ""
        if KERNEL_VERSION.match(version) and "SHA256" in fields:
            return Source(version, fields["SHA256"], package=f"{name}={fields['Version']}")
        break
    raise KernelBuildError(
        f"Package {asked} leads to no kernel package linux-image-VERSION; name one, see `apt-cache search linux-image`."
    )


def package_fields(run: Run, name: str) -> dict[str, str]:
    """Return the control fields of the newest version of a package. Raises: KernelBuildError when it is not known."""
    if not PACKAGE.match(name):  # apt takes a name that begins with a dash for an option
        raise KernelBuildError(f"Package {name!r} cannot be: use a-z, 0-9 and '.+-', a letter or digit first.")
    try:
        text = run(["apt-cache", "show", "--no-all-versions", name], timeout_s=60)
    except KernelBuildError as error:
        raise KernelBuildError(
            f"Package {name} is not known to apt; run `apt-get update`, or name another one. ({error})"
        ) from error
    fields = {}
    for line in text.split("\n\n", 1)[0].splitlines():
        key, separator, value = line.partition(": ")
        if separator and not line.startswith(" "):
            fields[key] = value
    return fields


def build_key(source: Source, ca: Path, dracut_module: Path, tools: dict[str, str]) -> str:
    """Return the digest of all that goes into a build: kernel, certificate authority, dracut module, programs."""
    digest = hashlib.sha256(f"3\n{source.version}\n{source.fingerprint}\n".encode())
    digest.update(ca.read_bytes())
    for path in sorted(path for path in dracut_module.rglob("*") if path.is_file()):
        digest.update(str(path.relative_to(dracut_module)).encode() + b"\0" + path.read_bytes())
    for name, where in sorted(tools.items()):
        state = Path(where).stat()
        digest.update(f"{name}\0{state.st_size}\0{int(state.st_mtime)}\n".encode())
    return digest.hexdigest()


def cached_build(entry: Path) -> dict[str, object] | None:
    """Return the result kept in a cache entry, or None where there is none or a file of it is missing or cut short."""
    try:
        result = json.loads((entry / "kernel.json").read_text())
        complete = all((entry / name).stat().st_size == result[name]["size"] for name in ARTIFACTS)
    except (OSError, ValueError, KeyError):
        return None
    if not complete:
        return None
    return {**result, **{name: {**result[name], "path": str(entry / name)} for name in ARTIFACTS}}


def build(run: Run, source: Source, ca: Path, dracut_module: Path, entry: Path, timeout_s: int) -> dict[str, object]:
    """Build the three artifacts into the cache directory `entry` and return the result.

    What is there is replaced at the end.
    """
    entry.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="build-", dir=entry.parent) as name:
        work = Path(name)
        ready = unpacked(run, source, work, timeout_s)
        output = work / "output"
        output.mkdir()
        shutil.copyfile(str(ready.vmlinuz), output / "vmlinuz")
        build_initramfs(run, ready, ca, dracut_module, work, timeout_s)
        build_modules(run, ready, output / "modules", timeout_s)
        return publish(output, entry, source)


def unpacked(run: Run, source: Source, work: Path, timeout_s: int) -> Source:
    """Return the source as files with a complete module tree.

    Packages are unpacked, a tree without modules.dep is copied.
    """
    tree = work / "tree"
    if source.package:
        run(["apt-get", "-o", "APT::Sandbox::User=root", "download", source.package], timeout_s=timeout_s, cwd=work)
        archives = list(work.glob("*.deb"))
        run(["dpkg-deb", "--extract", str(archives[0]), str(tree)], timeout_s=timeout_s)
        source = directory_source(tree, source.version)
    if source.archive:
        tree.mkdir()
        words = ["tar", "--extract", "--no-same-owner", f"--file={source.archive}", f"--directory={tree}"]
        run([*words, "--", *source.members], timeout_s=timeout_s)
        source = directory_source(tree, source.version)
    if source.modules is None or (source.modules / "modules.dep").is_file():
        return source
    if not str(source.modules).startswith(str(tree)):
        copied = tree / "lib" / "modules" / source.version
        shutil.copytree(source.modules, copied, symlinks=True)
        source = Source(source.version, source.fingerprint, source.vmlinuz, copied)
    base = str(source.modules).rsplit("/lib/modules/", 1)[0]
    run(["depmod", "-b", base, source.version], timeout_s=timeout_s)
    return source


def build_initramfs(run: Run, source: Source, ca: Path, dracut_module: Path, work: Path, timeout_s: int) -> None:
    """Build the universal initramfs with dracut into work/output/initramfs.

    dracut's own configuration on this host is not used.
    """
    base, configuration, scratch = work / "dracut", work / "dracut.conf", work / "scratch"
    dracut_base(dracut_module, base)
    configuration.write_text(dracut_configuration(ca, int(time.time())))
    for directory in (scratch, work / "conf.d"):
        directory.mkdir()
    run(
        [
            *("dracut", "--force", "--quiet", "--conf", str(configuration), "--confdir", str(work / "conf.d")),
            *("--tmpdir", str(scratch), "--kmoddir", str(source.modules), "--kver", source.version),
            str(work / "output" / "initramfs"),
        ],
        timeout_s=timeout_s,
        env={"dracutbasedir": str(base)},
    )
    (work / "output" / "initramfs").chmod(0o644)


def dracut_base(dracut_module: Path, base: Path) -> None:
    """Make a dracut base directory of links: the installed one with our module added, so that nothing is installed."""
    modules = base / "modules.d"
    modules.mkdir(parents=True)
    for path in DRACUT_BASE.iterdir():
        if path.name not in ("modules.d", "dracut.conf.d"):
            (base / path.name).symlink_to(path)
    for path in (DRACUT_BASE / "modules.d").iterdir():
        (modules / path.name).symlink_to(path)
    (modules / "90openqrm").symlink_to(dracut_module)


def dracut_configuration(ca: Path, built: int) -> str:
    """Return dracut's configuration of the universal initramfs. `built`: seconds since 1970."""
    shell = "dash" if Path("/bin/dash").exists() else "bash"
    return "\n".join(
        [
            'hostonly="no"',
            f'dracutmodules="{shell} base udev-rules kernel-modules kernel-network-modules openqrm"',
            f'filesystems="{FILESYSTEMS}"',
            'compress="zstd -10 -q -T0"',
            'do_strip="yes"',
            'early_microcode="no"',
            'show_modules="no"',
            f"openqrm_ca='{ca}'",
            f"openqrm_built={built}",
            "",
        ]
    )


def build_modules(run: Run, source: Source, output: Path, timeout_s: int) -> None:
    """Pack the content of lib/modules/VERSION into a squashfs file."""
    options = [
        "-comp",
        "zstd",
        "-Xcompression-level",
        "9",
        "-all-root",
        "-no-xattrs",
        "-no-progress",
        "-quiet",
        "-noappend",
    ]
    run(["mksquashfs", str(source.modules), str(output), *options], timeout_s=timeout_s)


def publish(output: Path, entry: Path, source: Source) -> dict[str, object]:
    """Describe the artifacts, move them to the cache entry in one rename, and return the result."""
    described: dict[str, object] = {"version": source.version, "arch": os.uname().machine}
    for name in ARTIFACTS:
        described[name] = {"sha256": file_sha256(output / name), "size": (output / name).stat().st_size}
    (output / "kernel.json").write_text(json.dumps(described, indent=1, sort_keys=True))
    if entry.exists():
        shutil.rmtree(entry)
    output.rename(entry)
    return {**described, **{name: {**described[name], "path": str(entry / name)} for name in ARTIFACTS}}  # type: ignore[dict-item]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in lower-case hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
