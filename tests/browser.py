"""Debian's chromium, driven: what the tests of the page share."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from make_run import make_run

from bench.report import build

if TYPE_CHECKING:  # nothing here needs Playwright before a test runs: tests that are left out are collected without it
    from playwright.sync_api import Browser, Page

QUIET = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync")
"""Of chromium's switches: it runs as root in a container too, and asks nothing of any network of its own accord."""


@contextmanager
def chromium() -> "Iterator[Browser]":
    """The machine's own browser; Playwright's downloads are not used."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    if program is None:
        pytest.fail("no program chromium in PATH: apt-get install chromium, or another package of it", pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(QUIET))
        yield browser
        browser.close()


def reported(folder: Path, *workloads: str) -> Path:
    """The page of an ordinary run of these workloads: five arms and a control, one of the arms a hole."""
    make_run(
        folder,
        workloads=workloads,
        blocks=4,
        rounds=6,
        holes={"keras-torch": "keras is not installed for it; install it"},
        control="torch-eager",
        ceilings=True,
        busy=0.4,
        counter="RAPL of the processor package",
    )
    build(folder)
    return folder / "report.html"


@dataclass
class Watched:
    """A page that is open, and everything it complained of or asked for."""

    page: "Page"
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    """Addresses, without those that are data themselves."""


@contextmanager
def opened(browser: "Browser", path: Path, **options: Any) -> Iterator[Watched]:
    """The file as a double click opens it; `options` of a new context."""
    context = browser.new_context(**options)
    watched = Watched(context.new_page())
    page = watched.page
    page.on("console", lambda message: watched.complaints.append(message.text))
    page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    page.on("dialog", lambda dialog: (watched.complaints.append(dialog.message), dialog.dismiss()))
    page.on(
        "request", lambda request: None if request.url.startswith("data:") else watched.requests.append(request.url)
    )
    page.goto(path.as_uri())
    yield watched
    context.close()


def violations(page: "Page") -> list[str]:
    """What axe-core calls serious or critical, with the first element of each kind."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{each['id']} ({each['impact']}, {len(each['nodes'])}): {each['nodes'][0]['html'][:200]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def beyond(page: "Page") -> int:
    """CSS pixels that the document is wider than the window."""
    width: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return width


def column(page: "Page", region: int, place: int) -> list[str]:
    """The cells of one column of the table in a region, from the top, those of hidden rows left out."""
    cells: list[str] = page.evaluate(
        "([region, place]) => [...document.querySelectorAll('.table')[region].querySelectorAll('tbody tr')]"
        ".filter(row => !row.hidden).map(row => row.cells[place].textContent.trim())",
        [region, place],
    )
    return cells


def tables(page: "Page") -> list[list[str]]:
    """The header of every table, by the place of its region."""
    headers: list[list[str]] = page.evaluate(
        "[...document.querySelectorAll('.table')].map(region => "
        "[...region.querySelectorAll('thead th')].map(header => header.textContent.trim()))"
    )
    return headers
