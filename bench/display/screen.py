"""What the other end of the output can show: a terminal that draws lines again, a pipe, the log of a CI system."""

import os
from typing import IO

from rich.console import Console

ENDLESS = 10_000
"""Columns of what is no terminal: a log is searched and copied from, and nothing of it is cut or wrapped."""
UNSET = ("", "0", "false")
CURSORLESS = ("", "dumb", "unknown")
"""Values of TERM."""


class Screen(Console):
    """A console that writes no escape sequence where none is wanted.

    NO_COLOR takes all styles away, bold too: https://no-color.org speaks of colour, who sets it expects plain text. The
    same under a TERM that promises nothing. FORCE_COLOR brings colours into a pipe, and never moves a cursor there.
    """

    def __init__(self, stream: IO[str]) -> None:
        given = os.environ
        terminal = stream.isatty()
        cursor = given.get("TERM", "").lower() not in CURSORLESS
        styled = cursor and not given.get("NO_COLOR")
        forced = styled and not terminal and given.get("FORCE_COLOR")
        super().__init__(
            file=stream,
            force_terminal=terminal,
            color_system=("standard" if forced else "auto") if styled else None,
            width=_width(stream, cursor) if terminal else ENDLESS,
            force_jupyter=False,
            highlight=False,
            markup=False,
            emoji=False,
        )
        self.redraws = cursor and self.is_interactive and given.get("CI", "").lower() in UNSET
        """Whether lines can be drawn again: on a terminal that somebody watches, not in the log CI makes of one."""

    def shown(self, text: str) -> str:
        """`text` on one line, with what cannot be seen or encoded spelled as an escape, as `\\x1b`."""
        seen = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
        try:
            seen.encode(self.encoding)
        except UnicodeEncodeError:
            seen = (
                seen.replace("\N{MULTIPLICATION SIGN}", "x")
                .encode(self.encoding, "backslashreplace")
                .decode(self.encoding)
            )
        return seen

    def on_broken_pipe(self) -> None:
        """Leaves a reader who is gone to whoever prints; rich would end the process with the code of failed cells."""
        raise  # rich calls this while it handles the error


def _width(stream: IO[str], cursor: bool) -> int | None:
    """Columns of a terminal; None where rich asks for them anew each time, which it does of one with a cursor only."""
    return None if cursor else os.get_terminal_size(stream.fileno()).columns or None
