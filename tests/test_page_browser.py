"""report.html in a real browser, opened from its file: it fits, is sorted, filtered, printed, and read by all."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.image
import pytest
from browser import beyond, chromium, opened, reported, tables, violations
from make_book import HEAD, make_book, make_hostile
from make_run import edit, make_run

from bench.report import build
from bench.report import page as pages
from bench.report.judgement_head import FILE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.browser
DESKTOP, TABLET, PHONE = 1280, 768, 360
A4 = 688
"""CSS pixels between the margins of a printed page: 210 mm less twice 14."""
WORD = "W" * 300
"""No blank in it, no hyphen: a line cannot be broken there."""
HOSTILE = f"<script>alert(1)</script><img src=x onerror=alert(2)> \u05d0\u05d1\u05d2 \u202e {WORD}"


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with chromium() as program:
        yield program


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports by what is odd about their runs."""
    root = tmp_path_factory.mktemp("runs")
    hostile = make_run(
        root / "hostile",
        workloads=("conv",),
        blocks=2,
        rounds=3,
        rename={"torch-eager": HOSTILE, "keras-jax": WORD},
        holes={"torch-compile": HOSTILE},
        finished=False,
        control="torch-eager",
    )
    edit(hostile / "run.json", command=("bench", "run", "--out", HOSTILE), ended_because=HOSTILE, notes=(HOSTILE,))
    edit(hostile / "run.json", environment={HOSTILE: [HOSTILE, None], WORD: WORD})
    edit(hostile / "cells" / "conv.keras-tensorflow.cpu.b1.json", status="failed", reason=WORD, output_tail=HOSTILE)
    unmeasured = make_run(root / "unmeasured", workloads=("conv",), blocks=1, rounds=1, finished=False)
    for path in [*(unmeasured / "cells").iterdir(), *(unmeasured / "parity").iterdir()]:
        path.unlink()
    empty = make_run(root / "empty", workloads=("conv",), blocks=0)
    edit(empty / "run.json", workloads={})
    book, odd = (
        make_book(root / "book", seeds=2, workloads=("conv", HEAD), starts=9),
        make_hostile(root / "odd", HOSTILE),
    )
    found = {folder.name: folder / "report.html" for folder in (hostile, unmeasured, empty, book, odd)}
    for path in found.values():
        build(path.parent)
    found |= {"book's head": book / FILE, "odd head": odd / FILE}
    found["ordinary"] = reported(root / "ordinary", "conv", "conv_gru", "conv_only")
    found["small"] = reported(root / "small", "conv_only")
    other = root / "other.html"
    blocks = ["## Runs", f"Of {WORD}.", f"| run | {WORD} |\n| --- | --: |\n| a | 1 |\n| b | 2 |"]
    other.write_bytes(pages.document("Several runs", blocks, {}))
    return found | {"another page": other}


@pytest.fixture
def page(browser: "Browser", runs: dict[str, Path]) -> "Iterator[Page]":
    """The report of a small run on a desktop."""
    with opened(browser, runs["small"], viewport={"width": DESKTOP, "height": 800}) as watched:
        yield watched.page
        assert watched.complaints == []


@pytest.mark.parametrize("name", ["ordinary", "hostile", "unmeasured", "empty", "another page", "odd", "odd head"])
def test_a_page_fits_every_width_complains_of_nothing_and_asks_for_nothing(
    browser: "Browser", runs: dict[str, Path], name: str
) -> None:
    with opened(browser, runs[name]) as watched:
        for scheme in ("light", "dark"):
            watched.page.emulate_media(color_scheme=scheme)
            for width in (DESKTOP, TABLET, PHONE, 320):  # the last: WCAG 2.2, 1.4.10, what 400 % zoom leaves of 1280
                watched.page.set_viewport_size({"width": width, "height": 800})
                assert beyond(watched.page) == 0, (scheme, width)
        assert watched.requests == [runs[name].as_uri()]
        assert watched.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("name", "width"),
    [("hostile", DESKTOP), ("hostile", PHONE), ("odd", DESKTOP), ("odd head", DESKTOP), ("odd head", PHONE)],
)
def test_axe_finds_nothing_serious(
    browser: "Browser", runs: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    with opened(browser, runs[name], viewport={"width": width, "height": 800}, color_scheme=scheme) as watched:
        assert violations(watched.page) == []


def test_the_verdicts_and_what_is_doubtful_are_on_the_first_screen(browser: "Browser", runs: dict[str, Path]) -> None:
    with opened(browser, runs["ordinary"], viewport={"width": DESKTOP, "height": 800}) as watched:
        page = watched.page
        shown = [page.locator(".trust"), *page.locator(".headline, .bars").all()]
        assert len(shown) == 1 + 2 * 3
        for part in shown:
            box = part.bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= 800, part.inner_text()
        headlines = page.locator(".headline").all_inner_texts()
        assert all(re.search(r"fastest.* times as long.* \[[\d.]+,\s[\d.]+\]\.$", words) for words in headlines)
        assert page.locator(".foot .good").count() == 3, "and that all learn the same, further down in the card"


def test_claims_and_the_answer_on_the_head_are_on_the_first_screen_without_a_script(
    browser: "Browser", runs: dict[str, Path]
) -> None:
    options = {"viewport": {"width": DESKTOP, "height": 800}, "java_script_enabled": False}
    for name, first in (("book", ".claims li"), ("book's head", "main p")):
        with opened(browser, runs[name], **options) as watched:
            shown = watched.page.locator(first)
            assert shown.count() >= (8 if name == "book" else 1)
            for part in shown.all() if name == "book" else [shown.first]:
                box = part.bounding_box()
                assert box is not None
                assert box["y"] + box["height"] <= 800, part.inner_text()
            assert watched.complaints == []


def test_a_click_leads_to_the_page_on_the_head_and_back(browser: "Browser", runs: dict[str, Path]) -> None:
    with opened(browser, runs["book"], viewport={"width": DESKTOP, "height": 800}) as watched:
        page = watched.page
        page.locator(".glance a", has_text="The broken head").click()
        assert page.locator("h1").inner_text() == "The broken head"
        page.locator("header a").click()
        assert page.locator("h1").inner_text() == "Run book"
        assert watched.complaints == []


def test_a_run_without_anything_says_so_and_claims_nothing(browser: "Browser", runs: dict[str, Path]) -> None:
    for name, words in (("empty", "The run has no workload."), ("unmeasured", "Nothing was measured.")):
        with opened(browser, runs[name]) as watched:
            assert watched.page.locator(".headline").inner_text() == words
            assert watched.page.locator("header .good").count() == 0, "0 of 0 cells are no achievement"


def test_what_a_record_says_is_shown_and_does_nothing(browser: "Browser", runs: dict[str, Path]) -> None:
    with opened(browser, runs["hostile"]) as watched:
        page = watched.page
        assert "<script>alert(1)</script>" in page.locator("main").inner_text()
        assert page.locator("script").count() == 1
        assert page.locator("img:not(figure > img)").count() == 0
        assert watched.complaints == [], "no dialog, no error"


def test_without_javascript_all_of_it_is_there_and_no_control_is_dead(
    browser: "Browser", runs: dict[str, Path], page: "Page"
) -> None:
    with opened(browser, runs["small"], java_script_enabled=False) as watched:
        bare = watched.page
        assert bare.locator("button, input, select").count() == 0
        assert bare.locator("details:not([open])").count() == 0
        assert bare.locator("tbody tr").count() == bare.locator("tbody tr:visible").count() > 50
        assert bare.locator("h1, h2, h3").all_inner_texts() == page.locator("h1, h2, h3").all_inner_texts()
        assert tables(bare) == tables(page)
        assert bare.locator("img").count() == page.locator("img").count() >= 5


def test_every_link_leads_to_its_heading_and_not_behind_the_bar(page: "Page") -> None:
    links = page.locator("nav a, .card h2 a")
    assert links.count() > 5
    for place in range(links.count()):
        links.nth(place).click()
        target = page.url.partition("#")[2]
        heading, bar = page.locator(f"[id='{target}']").bounding_box(), page.locator("nav").bounding_box()
        assert heading is not None, target
        assert bar is not None
        assert bar["y"] + bar["height"] <= heading["y"] < 800, target


def test_the_first_stop_of_the_keyboard_leads_past_the_links(page: "Page") -> None:
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the verdict")
    box = skip.bounding_box()
    assert box is not None
    assert box["x"] >= 0, "seen once it has the focus"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_the_data_of_a_figure_is_saved_as_the_file_beside_the_page(page: "Page", runs: dict[str, Path]) -> None:
    with page.expect_download() as expected:
        page.get_by_role("link", name="its data as CSV").first.click()
    saved = expected.value
    assert saved.path().read_bytes() == (runs["small"].parent / "figures" / saved.suggested_filename).read_bytes()


def test_figures_are_dark_on_a_dark_screen_and_white_on_paper(page: "Page") -> None:
    first = page.locator("figure img").first
    assert brightness(first) > 0.95
    page.emulate_media(color_scheme="dark")
    assert brightness(first) < 0.2
    page.emulate_media(color_scheme="dark", media="print")
    assert brightness(first) > 0.95


@pytest.mark.parametrize("name", ["small", "hostile"])
def test_a_printed_page_is_black_on_white_and_cuts_no_table(
    browser: "Browser", runs: dict[str, Path], name: str
) -> None:
    size = {"width": A4, "height": 1000}
    with opened(browser, runs[name], viewport=size, color_scheme="dark") as watched:
        page = watched.page
        page.emulate_media(media="print", color_scheme="dark")
        colours = page.evaluate(
            "(({color, backgroundColor}) => [color, backgroundColor])(getComputedStyle(document.body))"
        )
        assert colours == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]
        assert not page.locator("nav, .filter, .skip").locator("visible=true").count()
        assert beyond(page) == 0
        cut = "region => region.scrollWidth > region.clientWidth || getComputedStyle(region).overflowX !== 'visible'"
        assert not [place.inner_text()[:60] for place in page.locator(".table").all() if place.evaluate(cut)]


def brightness(image: "Locator") -> float:
    """Of the paper at its upper right corner, from 0 to 1."""
    picture = matplotlib.image.imread(io.BytesIO(image.screenshot()))
    return float(picture[4, -5, :3].mean())
