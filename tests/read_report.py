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


def tables(markdown: str) -> list[list[list[str]]]:
    """The tables of a Markdown page: rows, the header first, of cells as they are read."""
    found: list[list[list[str]]] = []
    for token, after in itertools.pairwise(MarkdownIt("commonmark").enable("table").parse(markdown)):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("th_open", "td_open"):
            parts = after.children or ()
            read = (part.content for part in parts if part.type in ("text", "text_special", "code_inline"))
            found[-1][-1].append("".join(read))
    return found


def section(markdown: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its rank or above."""
    rank = heading.partition(" ")[0]
    lines = markdown.split(heading + "\n", 1)[1].splitlines()
    kept = itertools.takewhile(
        lambda line: not (line.startswith("#") and len(line.partition(" ")[0]) <= len(rank)), lines
    )
    return "\n".join(kept)


def notices(markdown: str) -> str:
    """What must be known before any figure, which stands above all of them; empty where there is nothing."""
    heading = "## Read this first"
    if heading not in markdown:
        return ""
    assert "![" not in markdown.partition(heading)[0], "it must stand above every figure"
    return section(markdown, heading)
