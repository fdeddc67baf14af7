"""The blocks of report.md as HTML: the same document, its tables to be sorted, its figures inside the page.

CommonMark with tables, by markdown-it-py and without raw HTML: whatever the Markdown shows as text is text here too.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from bench.report.figures import Drawing

LARGEST_CSV = 256 * 1024
"""Bytes of a figure's data that still come with the page; what is longer stays beside it and is named."""
FIGURES = "text-align:right"
"""What markdown-it makes of a column that Markdown sets right."""


@dataclass(frozen=True)
class Heading:
    """A place in the page that can be linked to."""

    level: int
    text: str
    source: str
    """The text as Markdown."""
    anchor: str


@dataclass
class Rendered:
    """HTML of some blocks, and their headings."""

    html: str = ""
    headings: list[Heading] = field(default_factory=list)


def render(blocks: Sequence[str], drawings: Mapping[str, Drawing]) -> Rendered:
    """The blocks as HTML; `drawings` by the path that the Markdown gives a figure."""
    found = Rendered()
    parser = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable("table")
    found.html = parser.render("\n\n".join(blocks), {"drawings": drawings, "found": found})
    return found


class _Renderer(RendererHTML):
    """A method per kind of token, as the library wants it; every other kind is rendered as the library does."""

    def heading_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Any) -> str:
        level, words = int(tokens[idx].tag[1]), _words(tokens[idx + 1])
        heading = Heading(level, words, tokens[idx + 1].content, _anchor(words, env["found"].headings))
        env["found"].headings.append(heading)
        return f'<h{level} id="{heading.anchor}">'

    def paragraph_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Any) -> str:
        return "" if _lone_image(tokens[idx + 1]) else self.renderToken(tokens, idx, options, env)

    def paragraph_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Any) -> str:
        return "" if _lone_image(tokens[idx - 1]) else self.renderToken(tokens, idx, options, env)

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Any) -> str:
        token = tokens[idx]
        drawing: Drawing = env["drawings"][str(token.attrs["src"])]
        alt, name = escape(_words(token)), escape(drawing.csv_path.rpartition("/")[2])
        behind = f"its data: <code>{escape(drawing.csv_path)}</code>"
        if len(drawing.csv) <= LARGEST_CSV:
            behind = f'<a download="{name}" href="{_data("text/csv", drawing.csv)}">its data as CSV</a>'
        return (
            f'<figure tabindex="0"><img alt="{alt}" src="{_data("image/svg+xml", drawing.svg)}">'
            f"<figcaption>{alt} ({behind})</figcaption></figure>\n"
        )

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Any) -> str:
        headings = env["found"].headings
        name = escape(headings[-1].text if headings else "table")
        return f'<div class="table" role="group" tabindex="0" aria-label="{name}"><table>\n'

    def table_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Any) -> str:
        return "</table></div>\n"

    def th_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Any) -> str:
        return f'<th scope="col"{_class(tokens[idx])}>'

    def td_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Any) -> str:
        tag = 'th scope="row"' if _names_row(tokens, idx) else "td"
        return f"<{tag}{_told(tokens[idx + 1]) or _class(tokens[idx])}>"

    def td_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Any) -> str:
        return "</th>\n" if _names_row(tokens, idx - 2) else "</td>\n"


def _names_row(tokens: Sequence[Token], idx: int) -> bool:
    """Whether the cell that opens there is the first of its row, and says something."""
    return tokens[idx - 1].type == "tr_open" and bool(tokens[idx + 1].content)


def _class(token: Token) -> str:
    return ' class="figure"' if token.attrs.get("style") == FIGURES else ""


def _told(token: Token) -> str:
    """The class of a cell that is a verdict and nothing else: strong, in capitals."""
    kinds = [child.type for child in token.children or () if child.type != "text" or child.content]
    if kinds != ["strong_open", "text", "strong_close"] or not _words(token).isupper():
        return ""
    return f' class="told {re.sub("[^a-z]+", "-", _words(token).lower())}"'


def _words(token: Token) -> str:
    """What the token says, without its marks."""
    return "".join(child.content for child in token.children or ())


def _lone_image(token: Token) -> bool:
    return [child.type for child in token.children or ()] == ["image"]


def _anchor(words: str, taken: Sequence[Heading]) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:60] or "part"
    used = sum(heading.anchor.rpartition("--")[0] == name or heading.anchor == name for heading in taken)
    return f"{name}--{used + 1}" if used else name


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
