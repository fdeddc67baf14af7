"""Markdown that reads well in a terminal and on GitHub, and cannot be broken by what it quotes.

Everything that was not written in this package (names, reasons, paths, versions, output) goes through `text` or
`fence`; figures go through `number`.
"""

import re
import unicodedata
from collections.abc import Sequence

LONGEST, LONGEST_NAME = 400, 60
"""Characters of one quoted text, and of one name; the CSV files and the records hold the rest."""
WIDEST = 60
"""A table cell wider than this does not widen the cells above and below it."""

_SPECIAL = re.compile(r"([\\`*\[\]|~$])|(?<![^\W_])_|_(?![^\W_])")
_LINE_START = re.compile(r"^(\d{1,9}(?=[.)](?:\s|$)))?([#>+=.)-])")
"""What would begin a heading, a quotation or a list."""


def visible(value: object) -> str:
    """`value` with everything that cannot be seen (controls, line breaks, direction marks) spelled as an escape."""
    return "".join(
        char if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else _escape(char)
        for char in str(value)
    )


def _escape(char: str) -> str:
    return {"\n": " ⏎ ", "\r": "", "\t": " "}.get(char, f"\\u{ord(char):04x}")


def text(value: object, longest: int = LONGEST) -> str:
    """`value` as inline Markdown that shows exactly these characters, on one line, in a table cell or out of one."""
    shown = visible(value).strip()
    if len(shown) > longest:
        shown = shown[: longest - 1] + "…"
    shown = shown.replace("&", "&amp;").replace("<", "&lt;")
    shown = _SPECIAL.sub(lambda found: "\\" + found.group(0), shown)
    return _LINE_START.sub(r"\1\\\2", shown)


def short(value: object) -> str:
    """`text` for what should be short: a workload, an arm, a device, a setting."""
    return text(value, LONGEST_NAME)


def code(value: str) -> str:
    """`value` as inline code, outside tables."""
    shown = visible(value)
    mark = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    return f"{mark} {shown} {mark}" if "`" in shown else f"{mark}{shown}{mark}"


def fence(content: str, lines: int | None = None) -> str:
    """`content`, or its last `lines`, as a code block that no line of it can close."""
    kept = [visible(line) for line in content.splitlines()][-lines if lines else 0 :]
    ticks = max((len(run) for run in re.findall("`+", "\n".join(kept))), default=0)
    mark = "`" * max(3, ticks + 1)
    return "\n".join([mark + "text", *kept, mark])


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A padded table; the first `left` columns are set left, the others (figures) right. Cells are Markdown already."""
    widths = [
        max(3, *(len(row[column]) for row in [header, *rows] if len(row[column]) <= WIDEST))
        for column in range(len(header))
    ]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if column < left else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([line(header), line(rule), *map(line, rows)])
