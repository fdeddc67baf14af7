"""Reads a page of HTML back, for the tests, with the standard library's tokenizer."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "img", "br", "hr", "link", "input"}


@dataclass
class Element:
    """An element with its attributes, and the text in it and in what is in it."""

    tag: str
    attributes: dict[str, str]
    inside: tuple[str, ...]
    """Tags of the elements around it, the outermost first."""
    text: str = ""


@dataclass
class Page(HTMLParser):
    """Every element of a page, in their order."""

    elements: list[Element] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    """End tags without a beginning, beginnings without an end."""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, tuple(o.tag for o in self._open))
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(
            Element(tag, {name: value or "" for name, value in attrs}, tuple(o.tag for o in self._open))
        )

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1].tag != tag:
            self.unmatched.append(tag)
        else:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]

    def tables(self) -> list[list[list[str]]]:
        """Rows of cells as they are read, of every table."""
        found: list[list[list[str]]] = []
        for element in self.elements:
            if element.tag == "table":
                found.append([])
            elif element.tag == "tr":
                found[-1].append([])
            elif element.tag in ("th", "td"):
                found[-1][-1].append(element.text)
        return found


def read_page(path: Path) -> Page:
    """The page in a file; every element that was begun was ended."""
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    page.unmatched += [element.tag for element in page._open]
    return page
