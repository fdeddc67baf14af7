"""`bench report` of a run with whole trainings: the judgement is in its pages, and a page on the head beside them."""

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from make_book import HEAD, make_book, make_hostile
from make_run import edit, make_run
from read_page import Page, read_page
from read_report import headings, notices, rows, section, tables

from bench import record
from bench.report import build
from bench.report.judgement_head import FILE

EIGHT = ("6 as published", "6 with logits")
HOSTILE = "=cmd|'/C calc'!A0\n# <script>alert(1)</script><img src=x onerror=alert(2)> `x` [a](http://h) \u202e\x1b[31m"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two arms and both heads, three seeds and one; dead, dying and living seeds, a diverged one, a hole; reported."""
    path = make_book(
        tmp_path_factory.mktemp("runs") / "book",
        workloads=("conv", "conv_only", HEAD, "lstm"),
        fewer={HEAD: 8, "lstm": 1},
        untrained=("torch-compile",),
        starts=20,
    )
    cell = path / "cells" / "conv_only.torch-eager.cpu.s2.json"
    curve = record.read(cell, record.Cell).curve[:7]
    edit(cell, curve=curve, status="failed", reason="loss is nan", diverged=True, tested=None)
    edit(path / "cells" / "lstm.torch-eager.cpu.s0.json", resumed=(3, 6))
    build(path)
    return path


@pytest.fixture(scope="module")
def report(folder: Path) -> str:
    return (folder / "report.md").read_text()


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return read_page(folder / "report.html")


@pytest.fixture(scope="module")
def head(folder: Path) -> Page:
    return read_page(folder / FILE)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_verdict_of_every_claim_stands_first_and_is_that_of_the_table(report: str) -> None:
    first = re.findall(r"^- Claim ([^:]+): \*\*([^*]+)\*\*\.", section(report, "## Verdict"), re.M)
    claims = tables(section(report, "## Claims"))[0]
    assert first == [(row[0], row[1]) for row in claims[1:]]
    assert [name for name, _ in first] == ["1", "2 on cpu", "2 on gpu", "3", "4", "5", *EIGHT, "7"]
    assert "[The broken head](broken-head.html): Of 20 seeds" in section(report, "## Verdict")


def test_the_sections_stand_before_those_of_the_workloads_and_after_what_must_be_read_first(report: str) -> None:
    parts = [heading.removeprefix("## ") for heading in headings(report) if heading.startswith("## ")]
    assert parts[:9] == [
        "Verdict", "In words", "Read this first", "Claims", "Convergence", "Time to quality", "Against the book",
        "The broken head", "Every training",
    ]  # fmt: skip
    assert parts[9].startswith("conv on cpu: ")


def test_the_page_tells_the_claims_above_its_cards_as_report_md_does(report: str, page: Page) -> None:
    places = [
        place for place, element in enumerate(page.elements) if element.attributes.get("class") in ("glance", "card")
    ]
    assert page.elements[places[0]].attributes["class"] == "glance"
    claims = [e for e in page.elements if e.tag == "li" and "section" in e.inside and "article" not in e.inside]
    shown = [re.sub(r"\s+", " ", element.text).strip() for element in claims[:9]]
    told = re.findall(r"^- Claim ([^:]+): \*\*([^*]+)\*\*\. (.*)$", section(report, "## Verdict"), re.M)
    assert shown == [f"{verdict} {name} {words.replace('`', '')}" for name, verdict, words in told]


def test_a_verdict_on_other_data_ends_in_a_colon_before_the_claim_begins(tmp_path: Path) -> None:
    path = make_book(tmp_path / "run", workloads=("conv_only",), seeds=3, identity="other")
    build(path)
    shown = [re.sub(r"\s+", " ", element.text).strip() for element in read_page(path / "report.html").all("li")]
    assert (
        "CONFIRMED 3, on other data, which is not the book's: conv_only does not beat naive, tomorrow as warm as now."
        in shown
    )


def test_a_block_whose_arms_were_measured_apart_and_seeds_chosen_by_their_start_are_told_first(tmp_path: Path) -> None:
    path = make_book(tmp_path / "run", workloads=("conv", HEAD), fewer={HEAD: 5}, starts=20)
    planned = [path / "cells" / f"{cell.id}.json" for cell in record.read(path / "run.json", record.Run).plan]
    late = path / "cells" / "conv.torch-eager.cpu.s1.json"
    for number, cell in enumerate(sorted(planned, key=lambda cell: cell == late)):
        edit(cell, started=f"2026-01-05T{number:02d}:00:00Z")
    build(path)
    told = notices((path / "report.md").read_text())
    assert "**Seeds chosen by their start** (conv.head-as_published): some were trained" in told
    apart = re.search(r"\*\*Measured apart\*\* \(blocks of (.*)\): their arms did not run one after another", told)
    assert apart is not None
    assert apart[1] == "conv: 2"
    together = make_book(tmp_path / "together", workloads=("conv", HEAD), fewer={"conv": 1})
    build(together)
    told = notices((together / "report.md").read_text())
    assert "Measured apart" not in told
    assert "chosen by their start" not in told


def test_losses_at_the_end_are_compared_in_the_blocks_that_all_arms_have(tmp_path: Path) -> None:
    path = make_book(tmp_path / "run", workloads=("conv",))
    for seed in (1, 2):
        (path / "cells" / f"conv.torch-eager.cpu.s{seed}.json").unlink()
    build(path)
    ends = [
        record.read(path / "cells" / f"conv.{arm}.cpu.s0.json", record.Cell).curve[-1].validation["loss"]
        for arm in ("keras-tensorflow", "torch-eager")
    ]
    said = f"Validation loss after epoch 10: {min(ends):.4f} to {max(ends):.4f} over 2 arms"
    assert said in section((path / "report.md").read_text(), "## In words")


def test_pages_link_to_each_other_and_to_nothing_that_is_not_there(folder: Path, page: Page, head: Page) -> None:
    for each, other in ((page, FILE), (head, "report.html")):
        assert each.unmatched == []
        anchors = [element.attributes["id"] for element in each.elements if "id" in element.attributes]
        assert len(anchors) == len(set(anchors))
        addresses = {e.attributes[name] for e in each.elements for name in ("href", "src") if name in e.attributes}
        beside = {address for address in addresses if not address.startswith(("data:", "#"))}
        assert beside == {other}
        assert {address[1:] for address in addresses if address.startswith("#")} <= set(anchors)
        assert (folder / other).is_file()


def test_every_table_of_the_markdown_is_in_the_page(report: str, page: Page) -> None:
    def plain(table: list[list[str]]) -> list[list[str]]:
        return [[re.sub(r"\s+", " ", cell).strip() for cell in row] for row in table]

    found, expected = list(map(plain, page.tables())), list(map(plain, tables(report)))
    assert len(expected) > 20
    assert not [table for table in expected if table not in found]


def test_what_is_judged_stands_in_the_card_and_the_words_of_its_workload(report: str, page: Page) -> None:
    for text in (page.all("article")[0].text, section(report, "## In words")):
        assert "3 seeds. keras-tensorflow and torch-eager, best validation accuracy: EQUIVALENT, difference" in text
        assert "Training time to validation accuracy of at least 0.8200: keras-tensorflow" in text
    assert "Too few trainings for a verdict" not in report
    words = [e.text for e in page.all("li") if e.attributes.get("class") in ("good", "bad", "plain")]
    assert "1 to 8 seeds a workload" in words
    assert not [word for word in words if "A/A" in word], "what trains whole schedules has no such control"


def test_workloads_that_were_only_trained_have_no_section_on_step_times(report: str) -> None:
    assert "### Step time" not in report
    assert "### Epoch, first step, validation" in report
    assert "A/A control" not in notices(report)


def test_every_training_is_listed_with_its_test_set_and_how_it_ended(folder: Path, report: str) -> None:
    listed = [row for table in tables(section(report, "## Every training")) for row in table[1:]]
    trained = [path for path in (folder / "cells").glob("*.json") if ".starts." not in path.name]
    assert len(listed) == len(trained)
    (diverged,) = [row for row in listed if row[1] == "diverged: loss is nan"]
    assert diverged[2:7][-1] == "7", "epochs"
    assert diverged[7] == "-", "its test set was not measured"
    cell = record.read(folder / "cells" / "conv.keras-tensorflow.cpu.s0.json", record.Cell)
    assert cell.tested is not None
    first = [f"{cell.tested.metrics[name]:.4f}" for name in ("loss", "accuracy")]
    assert listed[0][0] == "keras-tensorflow"
    assert listed[0][7:9] == first
    (header, _, killed) = tables(section(report, "### Every training: lstm on cpu"))[0]
    assert (header[-1], killed[-1]) == ("taken up", "3, 6")


def test_every_figure_lies_beside_its_data_and_in_a_page(folder: Path, page: Page, head: Page) -> None:
    drawn = {path.stem for path in (folder / "figures").glob("*.svg")}
    assert {path.stem for path in (folder / "figures").glob("*.csv")} == drawn
    assert {name.partition("-")[0] for name in drawn} >= {"frontier", "band", "live", "heads", "rounding"}
    images = [*page.all("img"), *head.all("img")]
    assert len(images) == len(drawn)
    assert all(len(image.attributes["alt"]) > 10 for image in images)
    for name in ("live-starts", "heads-curves", "rounding-outputs"):
        assert rows(folder / "figures" / f"{name}.csv")


def test_the_page_on_the_head_answers_first_for_both_initialisers(head: Page) -> None:
    main = re.sub(r"\s+", " ", head.all("main")[0].text)
    answer, what = (
        main.find("Of 20 seeds of the suite's shared initial weights, 8 are dead"),
        main.find("What is broken"),
    )
    own = main.find("Of 20 seeds of Keras' own initialisers")
    assert 0 < answer < own < what
    assert "95 % interval 19 to 64 %" in main
    assert re.search(r"Of \d+ trainings that started partly live: \d+ alive to the end, \d+ died on the way", main)


def test_the_same_records_give_the_same_bytes_and_all_that_is_written_is_told(folder: Path) -> None:
    before = files(folder)
    told = build(folder)
    assert files(folder) == before
    made = {name for name in before if not name.startswith(("cells/", "parity/", "run.json"))}
    assert {path.relative_to(folder).as_posix() for path in told} == made


def test_a_run_without_trainings_has_none_of_it_and_what_is_left_of_it_goes(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run", workloads=("conv",), arms=("torch-eager",), blocks=2, rounds=3, epochs=2)
    build(path)
    before = files(path)
    (path / FILE).write_text("of records that are gone")
    (path / "figures" / "live-starts.svg").write_text("<svg/>")
    build(path)
    assert files(path) == before
    assert FILE not in before
    report = before["report.md"].decode()
    assert "## Claims" not in report
    assert "Too few trainings for a verdict on it." in report
    assert b'class="glance"' not in before["report.html"]


def _untrained(path: Path) -> None:
    for cell in (path / "cells").glob("*"):
        cell.unlink()


def _only_starts(path: Path) -> None:
    run = record.read(path / "run.json", record.Run)
    studies = tuple(cell for cell in run.plan if cell.phases == (record.STARTS,))
    edit(path / "run.json", plan=studies)
    for cell in (path / "cells").glob("*"):
        if cell.stem not in {study.id for study in studies}:
            cell.unlink()


def _undeclared(path: Path) -> None:
    """As records were before schema 3."""
    run = record.read(path / "run.json", record.Run)
    old = {name: msgspec.structs.replace(spec, quality=None) for name, spec in run.workloads.items()}
    edit(path / "run.json", workloads=old, schema=2)


def _failed(path: Path) -> None:
    for cell in (path / "cells").glob("*"):
        edit(cell, status="failed", reason="killed", curve=(), tested=None, pytest_benchmark={}, starts=())


@pytest.mark.parametrize(
    ("change", "seeds", "says"),
    [
        (_untrained, 2, "Claim 1: **NOT MEASURED**"),
        (_only_starts, 1, "no training was timed."),
        (_undeclared, 2, "**Trainings not judged** (conv, conv.head-as"),
        (_failed, 2, "nothing was measured."),
        (lambda path: None, 1, "1 seed. keras-tensorflow and torch-eager, best validation accuracy: UNDERPOWERED"),
    ],
    ids=["nothing trained yet", "starts only", "old records", "all failed", "one seed"],
)
def test_a_run_that_has_next_to_nothing_is_a_page_that_says_so(
    tmp_path: Path, change: Callable[[Path], None], seeds: int, says: str
) -> None:
    path = make_book(tmp_path / "run", workloads=("conv", HEAD), seeds=seeds, starts=4)
    change(path)
    build(path)
    assert says in (path / "report.md").read_text().replace("\\_", "_")
    assert read_page(path / "report.html").unmatched == []
    if (path / FILE).exists():
        assert read_page(path / FILE).unmatched == []
    told = FILE in (path / "report.md").read_text()
    assert told == (path / FILE).exists()


def test_what_the_book_had_otherwise_is_judged_where_it_was_trained(tmp_path: Path) -> None:
    path = make_book(tmp_path / "run", workloads=("conv", "conv.optimizer-book"), seeds=3)
    build(path)
    beside = section((path / "report.md").read_text(), "### Against the book: conv on cpu")
    told = re.search(
        r"^- RMSprop of Keras 2\.0\.8.*\(conv\.optimizer-book\): \*\*(.*)\*\*, nearer by .*, 3 seeds", beside, re.M
    )
    assert told is not None
    assert told[1] in ("CLOSES", "NARROWS", "WIDENS", "UNRESOLVED")
    assert "(conv.head-as_published): **NOT MEASURED**; no training with it." in beside.replace("\\_", "_")


def test_hostile_text_in_a_record_is_shown_in_the_pages_and_changes_nothing(tmp_path: Path) -> None:
    path = make_hostile(tmp_path / "run", HOSTILE)
    build(path)
    for name in ("report.html", FILE):
        page = read_page(path / name)
        assert page.unmatched == []
        assert not {element.tag for element in page.elements} & {"iframe", "object", "form", "base", "link"}
        assert not [a for element in page.elements for a in element.attributes if a.startswith("on")]
        assert {e.attributes["href"] for e in page.all("a") if "http" in e.attributes.get("href", "")} == set()
        text = page.all("body")[0].text
        assert "<script>alert(1)" in text, "it must be readable, not dropped"
        assert "\u202e" not in text
        assert "\x1b" not in text
    for csv in (path / "figures").glob("*.csv"):
        cells = {value for row in rows(csv) for key, value in row.items() if key in ("arm", "who", "initialiser")}
        assert not [value for value in cells if value.startswith(("=", "+", "@"))], csv.name
