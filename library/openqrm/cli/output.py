"""Output on stdout: tables that fit the terminal, details, JSON. Plain text, so that thousands of rows are quick."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

GAP = "  "
MIN_WIDTH = 8
MIB_PER_GIB = 1024


def print_json(value: object) -> None:
    """Prints the value as JSON: dataclasses as objects, sets sorted, times in ISO 8601."""
    click.echo(json.dumps(value, default=_plain, indent=2))


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def print_lines(lines: Iterable[str]) -> None:
    """Prints the lines, with each control character made visible: some of them come from machines."""
    for line in lines:
        click.echo(_safe(line))


def _safe(text: str) -> str:
    return (
        text
        if text.isprintable()
        else "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    )


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
    """Prints rows under their columns, made to fit the terminal; whole where stdout is none. `empty`: if no rows."""
    if not rows:
        click.echo(empty)
        return
    cells = [list(columns), *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    if sys.stdout.isatty():
        filled = [any(column[1:]) for column in zip(*cells, strict=True)]
        widths = fitted(widths, filled, shutil.get_terminal_size().columns)
        cells = [[_cut(value, width) for value, width in zip(row, widths, strict=True) if width] for row in cells]
    layout = GAP.join(f"{{:<{width}}}" for width in widths if width)
    click.echo("\n".join(layout.format(*row).rstrip() for row in cells))


def _cells(row: Sequence[object]) -> list[str]:
    """The row's cells as people read them."""
    cells = [value if isinstance(value, str) else text(value) for value in row]
    return cells if "".join(cells).isprintable() else [_safe(cell) for cell in cells]


def fitted(widths: Sequence[int], filled: Sequence[bool], available: int) -> list[int]:
    """The widths at which a table fits, 0 for columns that are left out: first those without content, then from the
    right. The first column, which names the row, keeps half of the line if it needs it."""
    result = list(widths)
    leave = [*(i for i, has in enumerate(filled) if not has), *(i for i, has in reversed([*enumerate(filled)]) if has)]
    for index in (index for index in leave if index):
        least = [min(result[0], available // 2), *(min(width, MIN_WIDTH) for width in result[1:])]
        if _total(least) <= available:
            break
        result[index] = 0
    result[0] = min(result[0], max(available // 2, available - _total(result) + result[0]))
    while (excess := _total(result) - available) > 0:
        widest = max(range(1, len(result)), key=lambda index: result[index], default=0)
        if result[widest] <= MIN_WIDTH:
            result[0] = max(result[0] - excess, MIN_WIDTH)
            break
        result[widest] -= 1
    return result


def _total(widths: Sequence[int]) -> int:
    shown = [width for width in widths if width]
    return sum(shown) + len(GAP) * (len(shown) - 1)


def _cut(value: str, width: int) -> str:
    return value if len(value) <= width else f"{value[: width - 1]}\N{HORIZONTAL ELLIPSIS}"


def print_details(pairs: Iterable[tuple[str, object]]) -> None:
    """Prints names and values, one per line; empty values are left out, lists have a line each."""
    shown = [(name, value) for name, value in pairs if value is False or value == 0 or value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        for number, line in enumerate(_value_lines(value)):
            click.echo(f"{(name if number == 0 else '').ljust(width)}{GAP}{_safe(line)}")


def _value_lines(value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{key}: {text(item)}" for key, item in value.items() if item != ""]
    if isinstance(value, (list, tuple)):
        return [text(item) for item in value]
    return [text(value)]


def text(value: Any) -> str:
    """A value as people read it: times as an age, sets and lists with commas, booleans as yes and no."""
    if isinstance(value, str):
        return value
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        return f"{age(value)} ago"
    if isinstance(value, (set, frozenset)):
        return ",".join(sorted(map(str, value)))
    if isinstance(value, (list, tuple)):
        return ", ".join(map(text, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={text(item)}" for key, item in value.items())
    return str(value)


def age(moment: datetime) -> str:
    """How long ago a moment was, as `12s`, `5m`, `3h`, `2d`."""
    seconds = max(0, int((datetime.now(UTC) - moment).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def size(mib: int) -> str:
    """A size in MiB as people read it: `512M`, `8G`; empty for 0."""
    if not mib:
        return ""
    return f"{mib // MIB_PER_GIB}G" if mib % MIB_PER_GIB == 0 else f"{mib}M"
