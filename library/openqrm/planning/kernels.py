"""Kernels as plans: their files into the boot tree, and what nodes without an assignment boot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from openqrm.boot import tree
from openqrm.errors import ConfigError, InvalidValueError
from openqrm.model import Kernel, Plan
from openqrm.names import check_kernel_args, check_name, check_package, check_path, check_sha256, check_version
from openqrm.planning.context import CONTROLLER, Context
from openqrm.planning.operations import Step, role_of
from openqrm.planning.verbs import Arguments, Drawing, Selection, Verb

FETCH, BLOBS, DEFAULTS = 5, 10, 20
FILES = ("vmlinuz", "initramfs", "modules")
BUILD_KEYS = ("name", "source", "package", "directory", "archive", "version")
ROW_KEYS = (*BUILD_KEYS, "image", "kernel_args", "default", "missing_only")
ONE_OF_SEVERAL = "It says which of several kernels is meant: give a directory, an archive or an image, or leave it out."
SOURCES = ("running", "package", "directory", "archive", "image")
WITH_SEVERAL = ("directory", "archive", "image")
DEFAULT_KERNEL = "default_kernel"


def _rows(arguments: Arguments) -> list[Mapping[str, object]]:
    """The built kernels: `name`, `version`, `arch`, `default`, `kernel_args`; of each file `path`, `sha256`, `size`."""
    rows = arguments.get("kernels")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) for row in rows):
        raise InvalidValueError("No kernel is given.", remedy="Give kernels, a list of what was built.")
    return rows


def _select_build(context: Context, arguments: Arguments) -> Selection:
    """Every kernel that is asked for, as the build looks into its cache first; not those that are to be kept as they
    are (`missing_only`) and are there."""
    names = [_check_source(context, row) for row in _rows(arguments)]
    if len(set(names)) < len(names):
        raise InvalidValueError("A kernel is in the list twice.", remedy="Describe each kernel once.")
    require_authority(context)
    kept = {str(row["name"]) for row in _rows(arguments) if row.get("missing_only") and row["name"] in context.kernels}
    unchanged = {name: f"kernel {name} is there already" for name in sorted(kept)}
    return Selection(tuple(name for name in names if name not in kept), unchanged)


def require_authority(context: Context) -> None:
    """Returns if there is a certificate authority, without which no kernel is built. Raises: ConfigError."""
    authority = context.config.ca_file
    if not authority.is_file():
        raise ConfigError(
            f"There is no certificate authority, which goes into every initramfs: {authority} does not exist.",
            remedy="Run `openqrm pki init`, or correct state_dir.",
        )


def _check_source(context: Context, row: Mapping[str, object]) -> str:
    """The name of the kernel, whose source can be one. Raises: InvalidValueError."""
    name = check_name("Kernel", row.get("name"))
    what = f"Kernel {name}"
    unknown = sorted(str(key) for key in row if key not in ROW_KEYS)
    if unknown:
        raise InvalidValueError(f"{what}: {unknown[0]} is not known.", remedy=f"Known: {', '.join(ROW_KEYS)}.")
    source = row.get("source")
    if source not in SOURCES:
        raise InvalidValueError(f"{what}: source {source!r} is not known.", remedy=f"Use one of {', '.join(SOURCES)}.")
    if source == "package":
        check_package(f"{what}: package", row.get("package"))
    if source == "directory":
        check_path(f"{what}: directory", row.get("directory"))
    if source == "archive":
        check_path(f"{what}: archive", row.get("archive"))
    if source == "image":
        context.tx.image(check_name(f"{what}: image", row.get("image")))
    if version := row.get("version"):
        check_version(f"{what}: version", version)
        if source not in WITH_SEVERAL:
            raise InvalidValueError(
                f"{what}: version {version} is given without a directory, image or archive.", remedy=ONE_OF_SEVERAL
            )
    check_kernel_args(f"{what}: kernel_args", row.get("kernel_args") or "")
    return name


def _draw_build(context: Context, names: Sequence[str], arguments: Arguments, _plan_id: int) -> Drawing:
    place = {"ca_file": str(context.config.ca_file), "cache_dir": str(Path(context.config.cache_dir, "kernels"))}
    steps: list[Step] = []
    for row in _rows(arguments):
        if row["name"] not in names:
            continue
        item = {key: row[key] for key in BUILD_KEYS if key in row} | place
        if row["source"] == "image":
            fetch = _fetch_step(context, row)
            steps.append(fetch)
            item |= {"source": "archive", "archive": fetch.item["archive"]}
        steps.append(Step(BLOBS, CONTROLLER, role_of("kernel_image"), "build", item))
    return Drawing(steps, tuple({"kind": "kernel", "name": name} for name in names))


def _fetch_step(context: Context, row: Mapping[str, object]) -> Step:
    """The kernel in an image, as an archive on the controller."""
    image = context.tx.image(str(row["image"]))
    root = context.root(image)
    item: dict[str, object] = {
        "name": image.name,
        "path": root.volume_path,
        "presents": root.presents,
        "version": row.get("version") or "",
        "archive": str(Path(context.config.cache_dir, "kernels", f"image-{row['name']}.tar.zst")),
    }
    return Step(FETCH, root.storage.host, role_of("image_kernel"), "fetch", item)


def _commit_build(context: Context, plan: Plan) -> None:
    """What was built is in the cache; kernel_add records it."""


def _select_add(context: Context, arguments: Arguments) -> Selection:
    names, unchanged = [], {}
    for row in _rows(arguments):
        kernel = _kernel(context, row)
        known = context.kernels.get(kernel.name)
        becomes_default = _default(context, row) and context.tx.setting(DEFAULT_KERNEL) != kernel.name
        if known and _files(known) == _files(kernel) and not becomes_default:
            unchanged[kernel.name] = f"kernel {kernel.name} is there already"
        else:
            names.append(kernel.name)
    return Selection(tuple(names), unchanged)


def _kernel(context: Context, row: Mapping[str, object]) -> Kernel:
    name = check_name("Kernel", row.get("name"))
    files = {key: _file(name, key, row.get(key)) for key in FILES}
    known = context.kernels.get(name)
    parameters = dict(known.parameters) if known else {}
    if "kernel_args" in row:
        parameters["kernel_args"] = check_kernel_args(f"Kernel {name}: arguments", row["kernel_args"])
    return Kernel(
        id=known.id if known else 0,
        name=name,
        version=check_version(f"Kernel {name}: version", row.get("version")),
        arch=str(row.get("arch") or "x86_64"),
        vmlinuz=check_sha256(f"Kernel {name}: vmlinuz", files["vmlinuz"]["sha256"]),
        initramfs=check_sha256(f"Kernel {name}: initramfs", files["initramfs"]["sha256"]),
        modules=check_sha256(f"Kernel {name}: modules", files["modules"]["sha256"]),
        sizes={key: files[key].get("size", 0) for key in FILES},
        parameters=parameters,
    )


def _file(name: str, key: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping) or not {"path", "sha256"} <= set(value):
        raise InvalidValueError(f"Kernel {name}: {key} is {value!r}.", remedy="Give its path and sha256.")
    return value


def _files(kernel: Kernel) -> tuple[object, ...]:
    return kernel.version, kernel.vmlinuz, kernel.initramfs, kernel.modules, kernel.parameters


def _default(context: Context, row: Mapping[str, object]) -> bool:
    """Whether nodes without an assignment boot it: when asked for, when it is the first, when it is so now."""
    current = context.tx.setting(DEFAULT_KERNEL)
    return bool(row.get("default")) or current is None or current == row.get("name")


def _draw_add(context: Context, names: Sequence[str], arguments: Arguments, _plan_id: int) -> Drawing:
    steps: list[Step] = []
    objects: list[Mapping[str, object]] = []
    for row in _rows(arguments):
        if row["name"] not in names:
            continue
        kernel = _kernel(context, row)
        for key in FILES:
            source = check_path(f"Kernel {kernel.name}: {key}", _file(kernel.name, key, row.get(key))["path"])
            entry = tree.entry(context.config, f"blobs/{getattr(kernel, key)}") | {"source": source}
            del entry["content"]
            steps.append(context.boot_step(BLOBS, "blobs", entry))
        default = _default(context, row)
        if default:
            steps += _default_steps(context, kernel)
        objects.append({"kind": "kernel", "name": kernel.name, "kernel": vars(kernel), "default": default})
    return Drawing(steps, tuple(objects))


def _default_steps(context: Context, kernel: Kernel) -> list[Step]:
    hooks = [info.hook for info in context.types.family("deployment") if info.hook]
    entries = tree.default_entries(context.config, kernel, hooks)
    return [context.boot_step(DEFAULTS, "present", entry) for entry in entries]


def _commit_add(context: Context, plan: Plan) -> None:
    for item in plan.objects:
        fields = item["kernel"]
        if isinstance(fields, Mapping):
            context.tx.save([Kernel(**fields)])
        if item["default"]:
            context.tx.set_setting(DEFAULT_KERNEL, item["name"])


def _select_default(context: Context, arguments: Arguments) -> Selection:
    """The kernel, also where it is the default already: what nodes boot is published again."""
    return Selection((context.tx.kernel(check_name("Kernel", arguments.get("kernel"))).name,))


def _draw_default(context: Context, names: Sequence[str], _arguments: Arguments, _plan_id: int) -> Drawing:
    return Drawing(_default_steps(context, context.kernels[names[0]]), ({"kind": "kernel", "name": names[0]},))


def _commit_default(context: Context, plan: Plan) -> None:
    context.tx.set_setting(DEFAULT_KERNEL, plan.objects[0]["name"])


def _close(_context: Context, _plan: Plan, _undone: bool) -> None:
    """Nothing was recorded before the commit."""


AGAIN = "Run the command again to finish it."
VERBS = (
    Verb("kernel_build", "kernel", _select_build, _draw_build, _commit_build, None, _close, AGAIN),
    Verb("kernel_add", "kernel", _select_add, _draw_add, _commit_add, None, _close, AGAIN),
    Verb("kernel_set_default", "kernel", _select_default, _draw_default, _commit_default, None, _close, AGAIN),
)
