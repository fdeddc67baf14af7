import colorsys
import statistics
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pandas as pd
import pytest
from drawing import Made, draw, made, make_drawn
from make_run import ARMS, edit, make_run
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from read_figure import assert_readable

from bench import record, wording
from bench.report import build, curves, dots, figures, strip, style, verdicts

DRAWN = [kind.draw for kind in figures.KINDS]


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_drawn(tmp_path_factory.mktemp("runs") / "genuine")


def in_colour(axes: Axes, look: style.Look, marker: str | None = None) -> list[Line2D]:
    return [
        line
        for line in axes.get_lines()
        if look.colour in (line.get_markerfacecolor(), line.get_markeredgecolor(), line.get_color())
        and (marker is None or line.get_marker() == marker)
    ]


def measurements(made: Made) -> pd.DataFrame:
    table = pd.read_csv(made[0] / "measurements.csv", keep_default_na=False, na_values={"round": "", "seconds": ""})
    return table.assign(contestant=list(map(record.contestant, table["arm"], table["label"])))


@pytest.mark.parametrize(
    ("function", "phase", "column"),
    [(dots.throughput, "train_step", "throughput_samples_per_s"), (dots.epoch_time, "epoch", "seconds")],
)
def test_every_block_in_the_figure_is_the_median_of_its_rounds_in_the_csv(
    genuine: Made, function: Callable[..., Figure | None], phase: str, column: str
) -> None:
    axes = draw(function, genuine).axes[0]
    table = measurements(genuine)
    table = table[(table["phase"] == phase) & (table["counted"] == 1) & (table["label"] == "")]
    for arm in set(table["arm"]):
        expected = table[table["arm"] == arm].groupby("block")[column].median()
        look = genuine[2][arm]
        (drawn,) = in_colour(axes, look, look.marker)
        assert list(np.asarray(drawn.get_xdata())) == list(expected)
        bars = [line for line in axes.get_lines() if line.get_color() == "#222222"]
        assert statistics.median(expected) in [line.get_xdata()[0] for line in bars]  # type: ignore[index]


def test_the_fastest_arm_stands_on_top_and_a_hole_below_with_its_reason(genuine: Made) -> None:
    by_step = ["keras-jax", "keras-tensorflow", "torch-eager", "keras-torch", "torch-compile"]
    by_epoch = [arm.arm for arm in genuine[1].trained] + ["torch-compile"]
    assert by_epoch[-2:] == ["keras-torch", "torch-compile"]
    for function, ranked in ((dots.throughput, by_step), (dots.epoch_time, by_epoch)):
        axes = draw(function, genuine).axes[0]
        names = [entry.get_text() for entry in axes.get_yticklabels()]
        assert names == ranked, "the second entry of the A/A control is no arm"
        assert any(entry.get_text().startswith("hole: no C++ compiler was found") for entry in axes.texts)


def test_every_ratio_in_a_figure_has_its_interval_and_its_blocks(genuine: Made) -> None:
    for function, phase, count in ((dots.throughput, "train_step", "3"), (dots.epoch_time, "epoch", "2")):
        texts = [entry.get_text() for entry in draw(function, genuine).axes[0].texts]
        for comparison in verdicts.beside_fastest(genuine[1], phase).values():
            place = texts.index(wording.ratio(comparison.effect))
            assert "[" in texts[place]
            assert texts[place + 1] == count


def test_the_strip_shows_every_raw_round_warm_up_rounds_hollow_and_disturbed_ones_crossed(genuine: Made) -> None:
    table = measurements(genuine)
    table = table[table["phase"] == "train_step"]
    figure = draw(strip.rounds, genuine)
    assert (table["tainted"] == 1).any(), "or nothing is shown of disturbed rounds"
    shown = ["keras-jax", "keras-tensorflow", "torch-eager", "torch-eager (a2)", "keras-torch"]
    for name, axes in zip(shown, figure.axes, strict=True):
        look, mine = genuine[2][name.removesuffix(" (a2)")], table[table["contestant"] == name]
        for tainted, warmup, face, marker in (
            (0, 0, look.colour, look.marker),
            (0, 1, "white", look.marker),
            (1, 0, look.colour, "x"),
            (1, 1, look.colour, "x"),
        ):
            drawn = [line for line in in_colour(axes, look, marker) if line.get_markerfacecolor() == face]
            values = {value for line in drawn for value in np.asarray(line.get_ydata())}
            rows = mine[(mine["tainted"] == tainted) & (mine["warmup"] == warmup)]
            assert set(rows["step_time_s"] * 1e3) <= values
            assert values <= set(mine[mine["tainted"] == tainted]["step_time_s"] * 1e3)
        top = axes.get_ylim()[1]
        carets = sum(len(np.asarray(line.get_xdata())) for line in axes.get_lines() if line.get_marker() == 6)
        assert carets == (mine["step_time_s"] * 1e3 > top).sum(), "none above the axis is lost"
        counted_ms = mine[mine["counted"] == 1]["step_time_s"] * 1e3
        assert (counted_ms[counted_ms <= strip.FAR * counted_ms.median()] <= top).all()


def test_learning_curves_are_dots_for_training_and_lines_for_validation_with_the_csvs_values(genuine: Made) -> None:
    table = pd.read_csv(genuine[0] / "curves.csv")
    table = table[table["label"].isna()]
    figure = draw(curves.learning, genuine)
    for metric, axes in zip(("loss", "accuracy"), figure.axes, strict=True):
        for arm in set(table["arm"]):
            look = genuine[2][arm]
            rows = table[(table["arm"] == arm) & (table["metric"] == metric)]
            for split, marker in (("train", look.marker), ("validation", "None")):
                (drawn,) = in_colour(axes, look, marker)
                expected = rows[rows["split"] == split].groupby("epoch")["value"].median()
                assert list(np.asarray(drawn.get_ydata())) == list(expected)
                assert (drawn.get_linestyle() == "-") == (split == "validation")


def published_lines(made: Made) -> list[list[float]]:
    figure = draw(curves.learning, made)
    return [list(np.asarray(line.get_ydata())) for axes in figure.axes for line in in_colour(axes, curves.BOOK)]


def test_the_published_curve_stands_behind_genuine_data_as_far_as_was_trained(genuine: Made) -> None:
    loss_train, loss_validation, accuracy_train, accuracy_validation = published_lines(genuine)
    assert loss_validation == [0.6818, 0.6582, 0.5987]
    assert loss_train[0] == 0.7713
    assert accuracy_validation == [0.5970, 0.6646, 0.7118]
    assert accuracy_train[0] == 0.5287


@pytest.mark.parametrize("identity", ["synthetic", "other"])
@pytest.mark.parametrize("epochs", [1, 2])
def test_no_figure_of_other_or_synthetic_data_has_a_published_curve(tmp_path: Path, identity: str, epochs: int) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv_only",), blocks=1, rounds=1, epochs=epochs, identity=identity)
    assert published_lines(made(folder)) == []


def test_the_naive_loss_is_a_line_of_its_own_where_the_workload_has_one(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv_gru",), blocks=1, rounds=1)
    axes = draw(curves.learning, made(folder)).axes[0]
    naive = [line for line in axes.get_lines() if line.get_color() == "black"]
    assert [list(np.asarray(line.get_ydata())) for line in naive] == [[0.2938, 0.2938]]


def test_every_figure_names_workload_device_and_data_identity(genuine: Made) -> None:
    for function in DRAWN:
        words = " ".join(entry.get_text() for entry in draw(function, genuine).texts)
        assert "conv on cpu" in words
        assert "genuine data" in words


def test_every_svg_is_xml_without_a_date_and_with_its_letters_as_paths(genuine: Made) -> None:
    paths = sorted((genuine[0] / "figures").glob("*.svg"))
    assert {path.stem for path in paths} == {f"{kind.name}-conv-cpu" for kind in figures.KINDS}
    for path in paths:
        root = ElementTree.fromstring(path.read_bytes())
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert not {"date", "text", "script", "image"} & tags


def test_hostile_names_are_drawn_as_text_and_stay_xml(tmp_path: Path) -> None:
    hostile = "$\\frac{</svg>--><script>\x00\x1b\u202e\u4e2d\ufffe " + "long " * 90
    folder = make_run(
        tmp_path / "run",
        workloads=("conv",),
        blocks=1,
        rounds=2,
        rename={"torch-eager": hostile},
        holes={"keras-jax": hostile},
    )
    build(folder)
    for path in (folder / "figures").glob("*.svg"):
        tags = [element.tag for element in ElementTree.fromstring(path.read_bytes()).iter()]
        assert not [tag for tag in tags if "script" in tag]


def test_figures_do_not_depend_on_the_users_matplotlib_settings(genuine: Made) -> None:
    before = {path: path.read_bytes() for path in (genuine[0] / "figures").iterdir()}
    with matplotlib.rc_context(
        {"font.size": 30, "svg.fonttype": "none", "axes.facecolor": "red", "text.color": "blue"}
    ):
        build(genuine[0])
    assert {path: path.read_bytes() for path in before} == before


def test_labels_stay_inside_the_figure_and_apart_from_each_other(genuine: Made) -> None:
    for function in DRAWN:
        with style.context():
            figure = function(genuine[1], genuine[2])
            assert figure is not None
            assert_readable(figure)


def test_an_arm_looks_the_same_in_every_workload_and_no_two_arms_look_alike() -> None:
    looks = style.looks([*ARMS, *(f"arm {number}" for number in range(20))])
    assert looks["keras-tensorflow"] == style.looks(ARMS)["keras-tensorflow"]
    assert len(set(looks.values())) == len(looks)
    lightness = [colorsys.rgb_to_hls(*to_rgb(look.colour))[1] for look in looks.values()]
    assert max(lightness) < 0.7, "every colour must stand out from white paper"


def test_a_few_stalls_do_not_flatten_all_other_rounds(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=("torch-eager",), blocks=1, rounds=20)
    path = folder / "cells" / "conv.torch-eager.cpu.b1.json"
    stored = record.read(path, record.Cell).pytest_benchmark
    for entry in stored["benchmarks"]:
        if entry["extra_info"]["phase"] == "train_step":
            entry["stats"]["data"][-1] *= 100
    edit(path, pytest_benchmark=stored)
    found = made(folder)
    axes = draw(strip.rounds, found).axes[0]
    drawn = in_colour(axes, found[2]["torch-eager"], found[2]["torch-eager"].marker)
    times_ms = [value for line in drawn for value in np.asarray(line.get_ydata())]
    assert axes.get_ylim()[1] < 4 * statistics.median(times_ms)
    assert [len(np.asarray(line.get_xdata())) for line in axes.get_lines() if line.get_marker() == 6] == [1], (
        "and it is marked"
    )


def test_a_stock_arm_looks_the_same_in_every_report_and_others_differ_from_all_of_them() -> None:
    alone, among = style.looks(["torch-eager"]), style.looks(["mine", "keras-jax", "torch-eager", "yours"])
    assert alone["torch-eager"] == among["torch-eager"] == style.looks(style.STOCK)["torch-eager"]
    every = style.looks([*style.STOCK, "mine", "yours"])
    assert len(set(every.values())) == len(every)
