import csv
import io
import re
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import pandas as pd
import pytest
from make_book import HEAD, make_book
from make_run import edit, make_run
from matplotlib.figure import Figure
from read_figure import assert_readable
from read_report import headings, section, tables

from bench import record
from bench.judgement import book
from bench.published import published_curve
from bench.report import (
    folder,
    judgement,
    judgement_band,
    judgement_figures,
    judgement_frontier,
    judgement_head,
    judgement_read,
    judgement_rounding,
    judgement_starts,
    style,
)
from bench.report.figures import Drawing
from bench.report.judgement_read import Judged

Written = tuple[str, str, dict[tuple[str, ...], Drawing]]
"""The blocks of the report, the page on the head, the figures."""
WORKLOADS = ("conv", "conv_only", "conv_gru", HEAD, "lstm")
EIGHT = ("6 as published", "6 with logits")
HOSTILE = "=cmd|'/C calc'!A0\n# <script>alert(1)</script> `x` ![i](http://h) $x^2$ \u202e\x1b[31m" + "long " * 40


def judged(path: Path) -> Judged:
    found = judgement_read.judged(folder.load(path))
    assert found is not None
    return found


def written(path: Path) -> Written:
    found = judged(path)
    drawings = judgement_figures.drawings(found)
    head = judgement.broken_head(found, drawings)
    return "\n\n".join(judgement.blocks(found, drawings)), (head or b"").decode(), drawings


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both heads with dead, dying and living seeds, a diverged training, a workload from one seed, a hole."""
    made = make_book(
        tmp_path_factory.mktemp("runs") / "book",
        workloads=WORKLOADS,
        fewer={HEAD: 8, "lstm": 1},
        untrained=("torch-compile",),
        starts=20,
    )
    cell = made / "cells" / "conv_only.torch-eager.cpu.s2.json"
    edit(cell, curve=record.read(cell, record.Cell).curve[:7], status="failed", reason="loss is nan", diverged=True)
    return made


@pytest.fixture(scope="module")
def report(run: Path) -> Written:
    return written(run)


def test_a_run_that_plans_no_training_has_none_of_these_sections(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run", workloads=("conv",), blocks=1, rounds=1)
    assert judgement_read.judged(folder.load(path)) is None


def test_the_sections_stand_in_their_order_and_every_claim_has_its_row_and_its_paragraph(
    report: Written,
) -> None:
    text = report[0]
    parts = [heading for heading in headings(text) if heading.startswith("## ")]
    assert parts == [
        "## Claims", "## Convergence", "## Time to quality", "## Against the book", "## The broken head",
        "## Every training",
    ]  # fmt: skip
    (claims, *_) = tables(text)
    assert [row[0] for row in claims[1:]] == ["1", "2 on cpu", "2 on gpu", "3", "4", "5", *EIGHT, "7"]
    for row in claims[1:]:
        assert f"**Claim {row[0]}: {row[1]}" in text
        assert row[1] in ("CONFIRMED", "REFUTED", "UNRESOLVED", "NOT MEASURED")
    verdicts = {row[0]: row[1] for row in claims[1:]}
    assert verdicts["1"] == "UNRESOLVED", "lstm has one seed"
    assert verdicts["2 on cpu"] == "CONFIRMED"
    assert verdicts["2 on gpu"] == "NOT MEASURED"
    assert verdicts["3"] == "CONFIRMED"
    assert "gru was not trained, nor planned in this run" in section(text, "## Claims")


def test_a_run_that_only_looked_at_starts_has_the_page_and_no_claims(tmp_path: Path) -> None:
    path = make_book(tmp_path / "run", workloads=(HEAD,), arms=("torch-eager",), seeds=1, starts=9)
    stored = record.read(path / "run.json", record.Run)
    edit(path / "run.json", plan=tuple(msgspec.structs.replace(each, phases=(record.STARTS,)) for each in stored.plan))
    text, page, drawings = written(path)
    assert headings(text) == ["## The broken head"]
    assert "NOT MEASURED: nothing was trained under the published head in this run." in page
    assert set(drawings) == {judgement_figures.LIVE}


def test_what_a_training_run_lacks_is_said(report: Written) -> None:
    text = report[0]
    times = section(text, "## Time to quality")
    assert "- conv (torch-compile): simulated hole." in times
    assert "conv_only.torch-eager.cpu.s2: diverged, loss is nan" in times
    equal = section(text, "## Convergence")
    assert "cannot be EQUIVALENT, whatever other seeds say: seed 2: torch-eager diverged." in equal
    beside = section(text, "## Against the book")
    assert "(conv\\_gru.gate-hard\\_sigmoid): **NOT MEASURED**; no training with it." in beside or (
        "(conv_gru.gate-hard_sigmoid): **NOT MEASURED**; no training with it." in beside
    )
    assert "died on the way" in beside


def test_a_workload_without_any_training_is_not_measured(tmp_path: Path) -> None:
    path = make_book(tmp_path / "run", workloads=("conv", "conv_only"), seeds=1, starts=0)
    for cell in (path / "cells").glob("conv_only.*"):
        edit(cell, status="hole", reason="budget spent", curve=(), pytest_benchmark={}, wall_s=0.0)
    text, head, drawings = written(path)
    assert "- conv_only, NOT MEASURED (" in text
    assert "): budget spent." in text
    assert "- conv_only: NOT MEASURED, no whole and live training." in text
    assert head == "", "nothing of the published head was planned here"
    assert "## The broken head" not in text
    assert set(drawings) == {("frontier", "conv", "cpu"), ("band", "conv", "cpu")}


def test_a_run_of_which_nothing_was_trained_yet_says_not_measured_everywhere(tmp_path: Path) -> None:
    path = make_book(tmp_path / "run", workloads=("conv", HEAD), seeds=2)
    for cell in (path / "cells").glob("*"):
        cell.unlink()
    text, head, drawings = written(path)
    assert not drawings
    assert {row[1] for row in tables(text)[0][1:]} == {"NOT MEASURED"}
    assert "NOT MEASURED: no two arms trained a workload from one seed." in text
    assert "- conv, NOT MEASURED (" in text
    assert head == ""


@pytest.mark.parametrize("identity", ["other", "synthetic"])
def test_published_figures_never_stand_beside_other_data(tmp_path: Path, identity: str) -> None:
    path = make_book(tmp_path / "run", workloads=("conv_only",), seeds=3, identity=identity)
    text, _, drawings = written(path)
    assert set(drawings) == {("frontier", "conv_only", "cpu")}
    assert f"- conv_only: not shown, the data is {identity}" in text
    assert f"**Claim 3: CONFIRMED, on {identity} data, which is not the book's.**" in text
    assert "mean distance" not in text


def test_every_figure_is_xml_names_its_data_and_has_a_csv_that_reads_back(
    report: Written,
) -> None:
    text, page, drawings = report
    kinds = {drawing.name for drawing in drawings.values()}
    assert kinds == set(judgement_figures.KINDS)
    assert len({drawing.path for drawing in drawings.values()}) == len(drawings)
    for drawing in drawings.values():
        assert ElementTree.fromstring(drawing.svg).tag.endswith("svg")
        assert re.fullmatch(r"figures/[a-z]+-[A-Za-z0-9_-]+\.svg", drawing.path)
        assert len(list(csv.DictReader(io.StringIO(drawing.csv.decode())))) > 1
        assert f"({drawing.path})" in text or drawing.what in page


def figure(judged: Judged, kind: str) -> Figure:
    with style.context():
        if kind == "frontier":
            trainings = judged.groups()["conv", "cpu"]
            return judgement_frontier.draw(
                judgement_frontier.data(trainings), trainings, 0.82, style.looks(judged.run.arms)
            )
        if kind == "band":
            return judgement_band.draw(judgement_band.data(judged, "conv", "cpu"), "conv", "cpu", judged.run.workloads)
        if kind == "rounding":
            return judgement_rounding.draw(judgement_rounding.data(judged), "equivalent")
        if kind == "live":
            return judgement_starts.share(judgement_starts.share_data(judged), "equivalent")
        return judgement_starts.curves(judgement_starts.curve_data(judged), "equivalent")


@pytest.mark.parametrize("kind", ["frontier", "band", "rounding", "live", "curves"])
def test_labels_stay_inside_the_figure_and_apart_from_each_other(run: Path, kind: str) -> None:
    with style.context():
        assert_readable(figure(judged(run), kind))


@pytest.mark.parametrize("others", [1, 3, 6])
def test_labels_stay_inside_the_band_however_many_settings_it_shows(run: Path, others: int) -> None:
    found = judged(run)
    frame, workloads = judgement_band.data(found, "conv", "cpu"), dict(found.run.workloads)
    first = frame[frame["workload"] == "conv"]
    for other in range(others):
        name = f"conv.optimizer-book-{other}"
        workloads[name] = workloads["conv"]
        frame = pd.concat([frame, first.assign(workload=name)])
    with style.context():
        assert_readable(judgement_band.draw(frame, "conv", "cpu", workloads))


def test_the_frontier_shows_every_epoch_of_every_arm_and_the_target(run: Path) -> None:
    found = judged(run)
    frame = judgement_frontier.data(found.groups()["conv", "cpu"])
    axes = figure(found, "frontier").axes[0]
    lines = [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()]  # type: ignore[arg-type]
    for _, mine in frame.groupby("arm"):
        assert (mine["train_s"].tolist(), mine["value"].tolist()) in lines
    assert any(set(y) == {0.82} for _, y in lines if y)
    best = frame[frame["frontier"] == 1].sort_values("train_s")
    assert any(y == [*best["value"], best["value"].iloc[-1]] for _, y in lines)
    assert best["value"].is_monotonic_increasing


def test_the_published_curve_and_the_band_in_the_figure_are_those_of_the_judgement(run: Path) -> None:
    found = judged(run)
    loss, accuracy = figure(found, "band").axes
    for axes, metric, column in ((loss, "loss", "val_loss"), (accuracy, "accuracy", "val_acc")):
        published = published_curve("conv.csv")
        assert published is not None
        drawn = [list(line.get_ydata()) for line in axes.get_lines()]  # type: ignore[arg-type]
        assert published[column].tolist() in drawn
        for workload in ("conv", HEAD):
            (curve,) = (each for each in book.curves(published, found.groups()[workload, "cpu"])
                        if (each.split, each.metric) == ("validation", metric))  # fmt: skip
            assert list(curve.middle) in drawn
            ends = {round(float(y), 9) for band in axes.collections for y in band.get_paths()[0].vertices[:, 1]}  # type: ignore[index]
            bands = {round(y, 9) for y in (*curve.low, *curve.high)}
            assert bands & ends
    assert len(loss.collections) == 2


def test_every_start_is_counted_in_one_bar_and_in_the_table(run: Path, report: Written) -> None:
    found = judged(run)
    for axes in figure(found, "live").axes:
        assert sum(bar.get_height() for bar in axes.patches) == 20  # type: ignore[attr-defined]
    assert "Of 20 seeds of the suite's shared initial weights, **8 are dead before the first step**" in report[0]
    for words in ("8 (19 to 64 %)", "never moved", "died after epoch 5", "2 died on the way"):
        assert words in report[1]


def test_none_and_all_are_said_of_none_and_all_only() -> None:
    shares = [judgement_head.share_of(count, 20_000) for count in (0, 1, 20, 10_000, 19_980, 19_999, 20_000)]
    assert shares == ["0.0 %", "under 0.1 %", "0.1 %", "50.0 %", "99.9 %", "over 99.9 %", "100.0 %"]


def test_every_training_is_a_line_in_the_curves_of_the_heads(run: Path) -> None:
    found = judged(run)
    axes = figure(found, "heads").axes
    published, logits = found.published_head(), found.groups()["conv", "cpu"]
    for each, trainings, metric in ((axes[0], published, "loss"), (axes[1], logits, "loss"),
                                    (axes[2], published, "accuracy"), (axes[3], logits, "accuracy")):  # fmt: skip
        drawn = [list(line.get_ydata()) for line in each.get_lines() if len(line.get_ydata())]  # type: ignore[arg-type]
        expected = [[point.validation[metric] for point in training.points] for training in trainings]
        assert sorted(drawn) == sorted(expected)
    assert axes[0].get_yscale() == "log", "a dead one's loss is twenty times a live one's"


def test_the_share_of_outputs_that_round_to_no_label_is_told_where_it_was_measured(
    tmp_path: Path, report: Written
) -> None:
    for words in ("10.0 % of the validation outputs lie above 1.5", '<td class="figure">10.0 %</td>'):
        assert words in report[1]
    assert "NOT MEASURED: the shares of such outputs" not in report[1]
    path = make_book(tmp_path / "run", workloads=(HEAD,), arms=("torch-eager",), seeds=2)
    for cell in (path / "cells").glob("*"):
        curve = record.read(cell, record.Cell).curve
        bare = ({name: point.validation[name] for name in ("loss", "accuracy")} for point in curve)
        edit(cell, curve=tuple(msgspec.structs.replace(p, validation=v) for p, v in zip(curve, bare, strict=True)))
    page, drawings = written(path)[1:]
    assert "NOT MEASURED: the shares of such outputs" in page
    assert "if outputs are cut at 0.5" not in page
    assert judgement_figures.ROUNDING not in drawings


def test_the_shares_in_the_figure_are_those_of_the_records(run: Path) -> None:
    found = judged(run)
    left, right = figure(found, "rounding").axes
    alive = [training for training in found.published_head() if not training.dead]
    for axes, names in ((left, ("above_1.5", "below_-0.5")), (right, ("accuracy", "accuracy_at_0.5"))):
        drawn = [list(line.get_ydata()) for line in axes.get_lines() if len(line.get_ydata())]  # type: ignore[arg-type]
        expected = [[point.validation[name] for point in training.points] for training in alive for name in names]
        assert sorted(drawn) == sorted(expected)


def test_the_page_needs_nothing_beside_it_and_the_same_records_give_the_same_bytes(run: Path, report: Written) -> None:
    page = report[1]
    assert page.startswith("<!doctype html>")
    assert not re.search(r"(src|href)=\"(?!data:|#)", page), "no file and no network"
    again = written(run)
    assert again[:2] == report[:2]
    assert {key: (each.svg, each.csv) for key, each in again[2].items()} == {
        key: (each.svg, each.csv) for key, each in report[2].items()
    }


def test_hostile_names_reasons_and_records_break_nothing(tmp_path: Path) -> None:
    path = make_book(tmp_path / "run", workloads=("conv", HEAD, "conv_only"), seeds=3, untrained=("torch-compile",),
                     starts=3)  # fmt: skip
    cells = path / "cells"
    stored = record.read(path / "run.json", record.Run)
    arms = {name.replace("torch-compile", HOSTILE): arm for name, arm in stored.arms.items()}
    arms[HOSTILE] = msgspec.structs.replace(arms[HOSTILE], hole=HOSTILE)
    plan = tuple(msgspec.structs.replace(each, arm=each.arm.replace("torch-compile", HOSTILE)) for each in stored.plan)
    unknown = msgspec.structs.replace(stored.workloads["conv_only"], published=record.Published("nothing.csv", HOSTILE))
    edit(path / "run.json", arms=arms, plan=plan, workloads=stored.workloads | {"conv_only": unknown})
    first = cells / "conv.torch-eager.cpu.s0.json"
    edit(first, status="failed", reason=HOSTILE, curve=record.read(first, record.Cell).curve[:2])
    odd = cells / "conv.torch-eager.cpu.s1.json"
    points = list(record.read(odd, record.Cell).curve)
    points[3] = msgspec.structs.replace(points[3], train_s=0.0)
    points[4] = msgspec.structs.replace(points[4], validation={"loss": 0.5})
    edit(odd, curve=tuple(points), starts=(record.Start(1, HOSTILE, 0, 0, 0, 0.0, 0.0, 0.0),
                                           record.Start(1, HOSTILE, 3, 9, 6, 0.0, 0.0, 0.0)))  # fmt: skip
    (cells / "conv.torch-eager.cpu.s2.json").write_text("{")
    text, page, drawings = written(path)
    for shown in (text, page):
        assert "<script>alert" not in shown
        assert "\x1b" not in shown
        assert "\u202e" not in shown
    assert "its record was set aside: not a whole Cell record" in text
    assert ("band", "conv_only", "cpu") not in drawings
    assert "- conv_only: NOT MEASURED" in text
    for drawing in drawings.values():
        ElementTree.fromstring(drawing.svg)
        assert not any(line.startswith("=") for line in drawing.csv.decode().splitlines())


@pytest.mark.parametrize("kind", ["dead", "empty", "one epoch"])
def test_trainings_that_show_next_to_nothing_are_reported_too(tmp_path: Path, kind: str) -> None:
    path = make_book(tmp_path / "run", workloads=("conv", HEAD), arms=("torch-eager",), seeds=3)
    for cell in (path / "cells").glob("*"):
        curve = record.read(cell, record.Cell).curve
        if kind == "dead":
            still = {"loss": 8.08, "accuracy": 0.5}
            edit(cell, curve=tuple(msgspec.structs.replace(p, train=still, validation=still) for p in curve))
        else:
            edit(cell, curve=curve[: int(kind == "one epoch")], status="failed", reason="killed", tested=None,
                 pytest_benchmark={})  # fmt: skip
    text, page, _ = written(path)
    assert headings(text)[0] == "## Claims"
    assert "The broken head" in page
    assert np.isfinite([len(text), len(page)]).all()
