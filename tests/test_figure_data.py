"""The CSV file beside every figure holds what the figure shows."""

from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from drawing import HOLE, Made, draw, make_drawn
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bench.report import curves, dots, figures, phase_bars, quality, strip, style


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_drawn(tmp_path_factory.mktemp("runs") / "run")


def table(made: Made, name: str) -> pd.DataFrame:
    return pd.read_csv(made[0] / "figures" / f"{name}-conv-cpu.csv", keep_default_na=False, na_values=[""])


def drawn(figure: Figure, look: style.Look, panel: int = 0) -> list[tuple[list[float], list[float]]]:
    """x and y of everything in an arm's marker and colour, but for the key to the figure, which has no points."""
    found = [
        (list(np.asarray(line.get_xdata())), list(np.asarray(line.get_ydata())))
        for line in figure.axes[panel].get_lines()
        if line.get_marker() == look.marker and look.colour in (line.get_markeredgecolor(), line.get_markerfacecolor())
    ]
    return [(x, y) for x, y in found if x]


def test_every_figure_has_its_data_beside_it_and_no_other_file_is_there(made: Made) -> None:
    names = {f"{kind.name}-conv-cpu{suffix}" for kind in figures.KINDS for suffix in (".svg", ".csv")}
    assert {path.name for path in (made[0] / "figures").iterdir()} == names


@pytest.mark.parametrize(
    ("name", "function", "column"),
    [("throughput", dots.throughput, "samples_per_s"), ("epoch_time", dots.epoch_time, "epoch_s")],
)
def test_the_blocks_ratios_and_reasons_of_a_ranking_are_in_its_data(
    made: Made, name: str, function: Callable[..., Figure | None], column: str
) -> None:
    figure, rows = draw(function, made), table(made, name)
    assert list(dict.fromkeys(rows["arm"])) == [entry.get_text() for entry in figure.axes[0].get_yticklabels()]
    texts = [entry.get_text() for entry in figure.axes[0].texts]
    for arm, mine in rows[rows["arm"] != "torch-compile"].groupby("arm"):
        ((x, _),) = drawn(figure, made[2][str(arm)])
        assert list(mine[column]) == x
        assert mine["median"].nunique() == 1
        if mine["time_ratio"].notna().all():
            near = (text for text in texts if "[" in text and float(text.split()[0]) == pytest.approx(
                mine["time_ratio"].iloc[0], abs=0.00501))  # fmt: skip
            ratio = next(near)
            low, high = (float(end) for end in ratio.partition("[")[2].rstrip("]").split(","))
            # Shown with 2 digits behind the point at least: half of the last one.
            assert [low, high] == pytest.approx([mine["low"].iloc[0], mine["high"].iloc[0]], abs=0.00501)
    hole = rows[rows["arm"] == "torch-compile"]
    assert list(hole["unmeasured"]) == [f"hole: {HOLE}"]


def test_learning_curves_are_in_their_data_with_the_published_one(made: Made) -> None:
    figure, rows = draw(curves.learning, made), table(made, "learning")
    for panel, metric in enumerate(("loss", "accuracy")):
        for who, look in [*made[2].items(), ("published", curves.BOOK)]:
            mine = rows[(rows["who"] == who) & (rows["metric"] == metric) & (rows["split"] == "train")]
            points = drawn(figure, look, panel)
            assert points == ([(list(mine["epoch"]), list(mine["value"]))] if len(mine) else [])
    assert set(rows["who"]) == {*made[2], "published"} - {"torch-compile"}


def test_speed_against_quality_is_training_time_so_far_without_evaluation(made: Made) -> None:
    figure, rows = draw(quality.quality, made), table(made, "quality")
    points = pd.read_csv(made[0] / "curves.csv", keep_default_na=False)
    points = points[(points["label"] == "") & (points["split"] == "validation") & (points["metric"] == "loss")]
    for arm, mine in rows.groupby("arm"):
        ((x, y),) = drawn(figure, made[2][str(arm)])
        assert (list(mine["train_s"]), list(mine["loss"])) == (x, y)
        seconds = points[points["arm"] == arm].pivot_table(index="epoch", columns="block", values="train_s")
        # The sums of the same few numbers, in another order.
        assert list(seconds.cumsum().median(axis=1)) == pytest.approx(x, rel=1e-12)
    assert set(rows["arm"]) == set(made[2]) - {"torch-compile"}


def test_a_difference_that_one_seed_decides_does_not_fill_the_axis() -> None:
    low, high = quality._limits(pd.Series([0.692180, 0.692187]))
    assert high - low > 0.05


def test_the_bars_of_phases_are_the_parts_in_their_data(made: Made) -> None:
    figure, rows = draw(phase_bars.phase_bars, made), table(made, "phases")
    bars = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    widths = [bar.get_width() for bar in bars]
    # A width is the difference of two ends.
    assert widths == pytest.approx([value for part in phase_bars.PARTS for value in rows[part]], abs=1e-12)
    assert set(rows["caches"]) == {"cold", "warm"}
    assert (rows[list(phase_bars.PARTS)].sum(axis=1) > 0).all()


def test_every_round_of_the_strip_is_in_its_data(made: Made) -> None:
    figure, rows = draw(strip.rounds, made), table(made, "rounds")
    shown = [value for axes in figure.axes for line in axes.get_lines() if line.get_marker() not in (None, "None", 6)
             for value in np.asarray(line.get_ydata())]  # fmt: skip
    assert sorted(rows["step_ms"]) == sorted(shown)
    assert set(rows["label"].dropna()) == {"a2"}


def test_every_svg_has_a_dark_form_in_which_nothing_dark_stays_on_dark(made: Made) -> None:
    """Every grey that a figure draws with is turned; the arms' colours are seen on both."""
    for path in (made[0] / "figures").glob("*.svg"):
        content = path.read_text()
        css = next(
            element.text or "" for element in ElementTree.fromstring(content).iter() if element.tag.endswith("style")
        )
        assert "prefers-color-scheme: dark" in css
        body = content.partition("</style>")[2]
        used = {part[:7] for key in ("fill: #", "stroke: #") for part in ("#" + rest for rest in body.split(key)[1:])}
        greys = {colour for colour in used if len({colour[1:3], colour[3:5], colour[5:7]}) == 1}
        assert greys - {curves.BOOK.colour.lower()} <= set(style.DARK)
