"""Reads a built report back, for the tests."""

import csv
import itertools
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token


def parse(markdown: str) -> list[Token]:
    """Every token of a Markdown page, those inside lines included."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    return [inner for token in tokens for inner in (token, *(token.children or ()))]


def headings(markdown: str) -> list[str]:
    """The headings of a Markdown page with their marks."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    return [
        f"{token.markup} {after.content}" for token, after in itertools.pairwise(tokens) if token.type == "heading_open"
    ]


def rows(path: Path) -> list[dict[str, str]]:
    """A CSV file as written, every cell a string."""
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))
