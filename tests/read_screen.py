"""A real terminal for a process under test, and what stands on its screen in the end."""

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import harness

SEQUENCE = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|([\r\n])|(.)", re.DOTALL)
SETTINGS = ("CI", "COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR", "TTY_INTERACTIVE")
"""What this test run itself may have been given; each test names what it wants."""


class Screen:
    """The lines of a terminal of `width` columns, which begins a new one past the last; as long as they come."""

    def __init__(self, text: str, width: int) -> None:
        self.lines: list[str] = [""]
        self.cursor_visible = True
        self.styled = False
        self.widest_redrawn = 0
        """Columns of the longest line that was taken away again."""
        row = column = 0
        for numbers, final, control, char in SEQUENCE.findall(text):
            if control == "\r":
                column = 0
            elif control or (char and column == width):
                row, column = row + 1, 0 if char else column
                self.lines += [""] * (row + 1 - len(self.lines))
            if char:
                line = self.lines[row].ljust(column)
                self.lines[row], column = line[:column] + char + line[column + 1 :], column + 1
            if not final:
                continue
            match (final, numbers):
                case ("A", _):
                    row -= int(numbers or 1)
                    assert row >= 0, "above the first line"
                case ("K", "2"):
                    self.widest_redrawn = max(self.widest_redrawn, len(self.lines[row]))
                    self.lines[row] = ""
                case ("h" | "l", "?25"):
                    self.cursor_visible = final == "h"
                case ("m", _):
                    self.styled = True
                case _:
                    raise AssertionError(f"escape sequence {numbers + final!r}")
        self.column = column

    @property
    def shown(self) -> list[str]:
        """Its lines without what is blank at their ends."""
        return [line.rstrip() for line in self.lines]


class Terminal:
    """A driven `bench` on a pseudo-terminal of its own, which controls it: ^C typed there is SIGINT."""

    def __init__(self, folder: Path, words: list[str], width: int, **given: str) -> None:
        self.width = width
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        environment = harness.environment(folder)
        kept = {name: value for name, value in environment.items() if name not in SETTINGS}
        self.process = subprocess.Popen(
            ["setsid", "--ctty", sys.executable, str(harness.FAKES / "drive.py"), *words],
            cwd=folder,
            env={**kept, "TERM": "xterm-256color", **given},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self._read: list[bytes] = []
        self._reader = threading.Thread(target=self._drain)  # it would wait for a reader when its lines fill a buffer
        self._reader.start()

    def _drain(self) -> None:
        try:
            while content := os.read(self._ours, 65_536):
                self._read.append(content)
        except OSError:  # how a terminal says that nobody writes to it any more
            return

    def press(self, keys: bytes) -> None:
        """Types at it."""
        os.write(self._ours, keys)

    @property
    def ended(self) -> tuple[int, str]:
        """Exit code, and everything that was written."""
        code = self.process.wait(timeout=300)
        self._reader.join()
        os.close(self._ours)
        return code, b"".join(self._read).decode()
