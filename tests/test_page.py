"""report.html says what report.md says, needs nothing beside it, and nothing in a record becomes markup."""

import base64
import hashlib
import re
from pathlib import Path

import pytest
from make_run import make_run
from read_page import Page, read_page
from read_report import headings, tables

from bench.report import build

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)> [a](javascript:alert(3)) <style>*{}</style> \u202e& \"'`"
)
HOLE = "no compiler </p><iframe src=//evil.example></iframe>; install g++"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_run(
        tmp_path_factory.mktemp("runs") / "run",
        workloads=("conv", "conv_only"),
        blocks=3,
        rounds=4,
        holes={"torch-compile": HOLE},
        rename={"torch-eager": HOSTILE},
        control="torch-eager",
        busy=0.1,
    )
    build(folder)
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return read_page(folder / "report.html")


def plain(words: str) -> str:
    return re.sub(r"\s+", " ", words).strip()


def data_of(address: str) -> tuple[str, bytes]:
    kind, _, content = address.removeprefix("data:").partition(";base64,")
    return kind, base64.b64decode(content)


def test_the_page_is_whole_and_refers_to_nothing_outside_of_itself(page: Page) -> None:
    assert page.unmatched == []
    anchors = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
    assert len(anchors) == len(set(anchors))
    for element in page.elements:
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            address = element.attributes.get(name, "")
            if address.startswith("#"):
                assert address[1:] in anchors
            else:
                assert not address or address.startswith(("data:image/svg+xml;", "data:text/csv;"))
        assert "style" not in element.attributes, "the policy of the page forbids it"


def test_its_policy_lets_in_its_own_style_and_script_and_no_other(page: Page) -> None:
    (policy,) = [e.attributes["content"] for e in page.all("meta") if "http-equiv" in e.attributes]
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert allowed["default-src"] == "'none'"
    for tag in ("style", "script"):
        (own,) = page.all(tag)
        digest = base64.b64encode(hashlib.sha256(own.text.encode()).digest()).decode()
        assert allowed[f"{tag}-src"] == f"'sha256-{digest}'"


def test_nothing_in_a_record_becomes_an_element_or_a_handler(page: Page) -> None:
    tags = {element.tag for element in page.elements}
    assert not tags & {"iframe", "object", "embed", "form", "base", "link"}
    assert not [name for element in page.elements for name in element.attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in page.all("body")[0].text, "and it is shown as what it is"
    assert "</p><iframe src=//evil.example></iframe>" in page.all("body")[0].text
    assert "\u202e" not in page.all("body")[0].text, "what turns the reading direction is spelled out"


def test_the_page_has_every_table_of_the_markdown_with_the_same_cells(folder: Path, page: Page) -> None:
    expected = tables((folder / "report.md").read_text())
    found = [[[plain(cell) for cell in row] for row in table] for table in page.tables()]
    assert len(expected) > 20
    for table in expected:
        assert [[plain(cell) for cell in row] for row in table] in found


def test_the_page_has_every_heading_of_the_markdown_in_its_order(folder: Path, page: Page) -> None:
    def key(words: str) -> str:  # Markdown's own escapes are not in what a page shows
        return re.sub(r"[\\\s]|&lt;|<", "", words)

    expected = [key(heading.lstrip("# ")) for heading in headings((folder / "report.md").read_text())]
    expected.remove("Verdict")  # the page has cards for it
    shown = [key(e.text) for e in page.elements if re.fullmatch("h[1-6]", e.tag) and "article" not in e.inside]
    assert shown == expected


def test_its_figures_are_the_files_beside_it_with_words_for_who_cannot_see_them(folder: Path, page: Page) -> None:
    images, files = page.all("img"), sorted((folder / "figures").glob("*.svg"))
    assert sorted(data_of(image.attributes["src"]) for image in images) == sorted(
        ("image/svg+xml", path.read_bytes()) for path in files
    )
    for image in images:
        assert len(image.attributes["alt"]) > 10
    links = [e for e in page.all("a") if "download" in e.attributes]
    for link in links:
        path = folder / "figures" / link.attributes["download"]
        assert data_of(link.attributes["href"]) == ("text/csv", path.read_bytes())
    assert len(links) == len(files)


def test_every_table_has_headers_for_its_columns(page: Page) -> None:
    headers = page.all("th")
    assert headers
    assert all(element.attributes.get("scope") in ("col", "row") for element in headers)
