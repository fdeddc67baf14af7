"""The tables of report.html in a real browser: sorted and filtered by pointer and by keyboard."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import chromium, column, opened, reported, tables

from bench.report import page as pages

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with chromium() as program:
        yield program


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reported(tmp_path_factory.mktemp("runs") / "run", "conv_only")


@pytest.fixture
def page(browser: "Browser", report: Path) -> "Iterator[Page]":
    with opened(browser, report, viewport={"width": 1280, "height": 800}) as watched:
        yield watched.page
        assert watched.complaints == []


def test_a_column_of_figures_is_sorted_by_their_size_and_dashes_come_last(page: "Page") -> None:
    region = next(place for place, header in enumerate(tables(page)) if header[:2] == ["arm", "epoch s"])
    button = header_button(page, region, "epoch s")
    button.click()
    rising = column(page, region, 1)
    assert rising[-1] == "-", "an arm without a figure"
    assert [float(cell) for cell in rising[:-1]] == sorted(float(cell) for cell in rising[:-1])
    assert sorts(page, region) == {"epoch s": "ascending"}
    button.click()
    assert column(page, region, 1) == [*reversed(rising[:-1]), "-"]
    assert sorts(page, region) == {"epoch s": "descending"}


@pytest.mark.parametrize(
    "rising",
    [
        ["900", "3,200", "16,701", "1,315,937", "-"],
        ["fastest", "1.05 [0.95, 1.17]", "1.222 [1.208, 1.236]", "1.4 (no interval)", "12.5 [9, 17]", "-"],
        ["1.5 %", "9.9 %", "12 %", "over 100 %", "unavailable"],
        ["0 to 2", "2", "3 to 4", "10 to 12"],
        ["equal", "3.1e-11 / 1e-09", "9.9e-10 / 1e-09", "1.0e-07 / 1e-05", "not comparable"],
        ["-2.5", "0.3 (2)", "0.31", "4"],
    ],
)
def test_every_form_of_a_figure_is_sorted_by_its_size(browser: "Browser", tmp_path: Path, rising: list[str]) -> None:
    path = tmp_path / "page.html"
    mixed = [*rising[1::2], *rising[::2]]
    path.write_bytes(
        pages.document("A table", ["\n".join(["| x |", "| --: |", *(f"| {cell} |" for cell in mixed)])], {})
    )
    with opened(browser, path) as watched:
        button = header_button(watched.page, 0, "x")
        button.click()
        assert column(watched.page, 0, 0) == rising
        button.click()
        words = [cell for cell in rising if cell in ("-", "unavailable", "not comparable")]
        assert column(watched.page, 0, 0) == [*reversed(rising[: len(rising) - len(words)]), *words]


def test_sorting_is_stable_and_takes_words_as_words(page: "Page") -> None:
    region = next(place for place, header in enumerate(tables(page)) if header[:3] == ["A", "B", "A is"])
    header_button(page, region, "B").click()
    others = column(page, region, 1)
    assert others == sorted(others)
    pairs = list(zip(column(page, region, 0), others, strict=True))
    header_button(page, region, "A").click()
    assert list(zip(column(page, region, 0), column(page, region, 1), strict=True)) == sorted(
        pairs, key=lambda pair: pair[0]
    )


def test_a_table_is_sorted_from_the_keyboard_and_keeps_its_focus(page: "Page") -> None:
    region = next(place for place, header in enumerate(tables(page)) if header[:2] == ["arm", "samples/s"])
    button = header_button(page, region, "step ms")
    before = column(page, region, 2)
    button.focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    assert column(page, region, 2) == sorted(before, key=float, reverse=True)
    assert button.evaluate("button => button === document.activeElement"), "the focus stays where it was"
    assert button.evaluate("button => getComputedStyle(button).outlineStyle") == "solid", "and is seen"


def test_a_long_table_is_filtered_and_says_how_much_is_left(page: "Page") -> None:
    field = page.get_by_label("Filter rows").first
    line = page.locator(".filter").first
    table = line.locator("xpath=following-sibling::div[1]")
    rows = table.locator("tbody tr")
    total, wanted = rows.count(), "keras-jax"
    assert total >= 16
    matching = sum(wanted in words for words in rows.all_inner_texts())
    assert 0 < matching < total
    field.focus()
    page.keyboard.type(wanted.upper())
    assert table.locator("tbody tr:visible").count() == matching
    assert line.get_by_role("status").inner_text() == f"{matching} of {total} rows"
    page.keyboard.press("Escape")  # empties a search field
    assert table.locator("tbody tr:visible").count() == total
    assert line.get_by_role("status").inner_text() == ""
    for place in range(page.locator(".table").count()):
        region = page.locator(".table").nth(place)
        long = region.locator("tbody tr").count() >= 16
        assert long == region.evaluate("region => region.previousElementSibling?.className === 'filter'")


def header_button(page: "Page", region: int, name: str) -> "Locator":
    return page.locator(".table").nth(region).get_by_role("button", name=name, exact=True)


def sorts(page: "Page", region: int) -> dict[str, str]:
    """What the table says to be sorted by."""
    headers = page.locator(".table").nth(region).locator("th[aria-sort]")
    return {header.inner_text().strip(): header.get_attribute("aria-sort") or "" for header in headers.all()}
