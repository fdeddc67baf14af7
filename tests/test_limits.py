"""The floor of a training step counted by hand, and the report that holds steps against it."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest
from make_cell import CHAIN_S, STREAM_BYTES
from make_run import edit, make_run
from odd_shapes import SHAPES, gru, reviews, series
from read_report import section, tables

from bench import catalogue, cost, limits, record
from bench.layers import LSTM, CausalConv1D, Conv1D, Embedding, GlobalMaxPool1D, LastStep, MaxPool1D
from bench.report import build
from bench.report.limits import Reached, floors_s
from bench.workload import Workload

BATCH = 128
JENA = 14
"""Features of the series."""


def test_of_a_convolution_behind_a_maximum_only_its_maxima_have_a_gradient() -> None:
    spec = series("x", 17, Conv1D("c1", 33, 3), MaxPool1D("p1", 4), Conv1D("c2", 5, 2), GlobalMaxPool1D("p2"))
    multiplied = 2 * BATCH * 3 * JENA * 33
    first = 12 * multiplied + 3 * multiplied  # 3 maxima of 4 time steps each: forward at all, the gradient at one
    multiplied = 2 * BATCH * 2 * 33 * 5
    second = 2 * multiplied + (1 + 1) * multiplied  # at 2 time steps; gradients of kernel and input at the one maximum
    dense = 3 * 2 * BATCH * 5
    weights = (3 * JENA * 33 + 33) + (2 * 33 * 5 + 5) + (5 + 1)
    apart = BATCH * 17  # rows, of windows that share none
    expected = record.Floor(first + second + dense, 4 * (apart * JENA + BATCH + 4 * weights), 0, apart)
    assert limits.floor(spec, apart) == expected


def test_windows_that_share_rows_are_convolved_and_read_once() -> None:
    spec = series("x", 17, Conv1D("c1", 33, 3), GlobalMaxPool1D("p1"))
    weights = (3 * JENA * 33 + 33) + (33 + 1)
    # One series of so many rows would have two windows less; that each sample has its own end leaves the floor below.
    windows = 300 - BATCH * 2
    expected = (windows + min(BATCH, windows)) * 2 * 3 * JENA * 33 + 3 * 2 * BATCH * 33
    assert limits.floor(spec, 300) == record.Floor(expected, 4 * (300 * JENA + BATCH + 4 * weights), 0, 300)


@pytest.mark.parametrize(("distinct", "by_token"), [(3.0, True), (200.0, False)])
def test_a_convolution_of_an_embedding_costs_a_product_for_each_token_or_for_each_place(
    distinct: float, by_token: bool
) -> None:
    spec = reviews("x", 2, Embedding("e", 60, 7), Conv1D("c1", 33, 2), GlobalMaxPool1D("p"))
    multiplied = 2 * 2 * 7 * 33
    first = 3 * multiplied * (3 if by_token else BATCH)  # one place in each sample
    weights = int(distinct) * 7 + (2 * 7 * 33 + 33) + (33 + 1)
    expected = record.Floor(first + 3 * 2 * BATCH * 33, 4 * (BATCH * 3 + 4 * weights), 0, distinct)
    assert limits.floor(spec, distinct) == expected


def test_each_pass_of_a_convolution_of_an_embedding_is_counted_the_cheaper_way() -> None:
    spec = reviews("x", 11, Embedding("e", 60, 7), Conv1D("c1", 33, 2), GlobalMaxPool1D("p"))
    found = limits.floor(spec, 200.0)  # 1280 places forward, 128 maxima back
    assert found.product_flops == (200 + 2 * BATCH) * 2 * 2 * 7 * 33 + 3 * 2 * BATCH * 33


def test_a_recurrence_takes_the_product_of_an_input_once_unless_every_sample_masks_its_own() -> None:
    lstm = reviews("x", 11, Embedding("e", 60, 7), LSTM("lstm", 5))
    states = 3 * BATCH * 10 * 5  # the first state is zero
    assert limits.floor(lstm, 50.0).product_flops == 2 * 4 * 5 * (3 * 50 * 7 + states) + 3 * 2 * BATCH * 5
    masked = reviews("x", 11, Embedding("e", 60, 7), gru(5))
    assert limits.floor(masked, 50.0).product_flops == 2 * 3 * 5 * (3 * BATCH * 11 * 7 + states) + 3 * 2 * BATCH * 5


def test_the_chain_of_a_recurrence_is_its_operations_in_a_row_forward_and_back() -> None:
    product = 1 + 3  # a multiplication, and a tree of additions over five values
    assert limits.floor(series("x", 11, gru(5)), 500).chain == 11 * ((2 * product + 4) + (2 * product + 3))
    assert limits.floor(series("x", 11, LSTM("lstm", 5)), 500).chain == 11 * ((product + 4) + (product + 2))


def test_of_causal_convolutions_only_what_the_last_time_step_sees_counts() -> None:
    stack = [CausalConv1D(f"c{n}", filters=2, width=2, dilation=2**n) for n in range(3)]
    found = limits.floor(series("x", 20, *stack, LastStep("last")), BATCH * 20)
    taps = 8, 4, 2  # two for each of 4, 2 and 1 time steps
    assert found.product_flops == BATCH * (2 * taps[0] * 2 * JENA * 2 + 3 * (taps[1] + taps[2]) * 2 * 2 * 2 + 3 * 2 * 2)
    # Two time steps: what lies before them is zero, and neither computed nor multiplied.
    short = limits.floor(series("x", 2, *stack, LastStep("last")), BATCH * 2)
    assert short.product_flops == BATCH * (2 * 2 * 2 * JENA * 2 + 3 * (1 + 1) * 2 * 2 * 2 + 3 * 2 * 2)


@pytest.mark.parametrize("spec", [*map(catalogue.load, catalogue.names()), *(spec for _, spec in SHAPES.values())])
@pytest.mark.parametrize("distinct", [1.0, 1000.0, 1e9])
def test_a_floor_is_never_above_what_the_layers_cost_as_they_are_written(spec: Workload, distinct: float) -> None:
    found = limits.floor(spec, min(distinct, spec.batch_size * spec.input_shape[0]))
    assert 0 < found.product_flops <= sum(row.product_flops for row in cost.costs(spec))
    assert found.bytes > 0
    assert (found.chain > 0) == any(layer.kind in ("gru", "lstm") for layer in spec.layers)


def test_distinct_tokens_and_rows_are_counted_batch_by_batch() -> None:
    tokens = np.array([[1, 1, 2], [2, 3, 3], [4, 4, 4], [5, 6, 7]], np.int32)
    batches = [np.array([0, 1]), np.array([2, 3])]
    assert limits.distinct_inputs(Batches(tokens, None, batches), 7) == (3 + 4) / 2
    offsets = np.array([-4, -2])
    assert limits.distinct_inputs(Batches(np.zeros((9, 2), np.float32), offsets, [np.array([4, 6, 7])]), 7) == 5


@dataclass
class Batches:
    """As much of a data set as is looked at."""

    inputs: np.ndarray
    offsets: np.ndarray | None
    batches: list[np.ndarray]

    def train_batches(self, seed: int, epoch: int) -> list[np.ndarray]:
        assert (seed, epoch) == (7, 1)
        return self.batches


def test_a_floor_is_the_work_at_the_best_speed_that_was_measured() -> None:
    most = Reached(1e9, {1000: 4e6, 8000: 2e6, 64000: 1e6}, 1e-9, "torch-eager")
    found = floors_s(record.Floor(product_flops=5_000_000, bytes=10_000, chain=3000, distinct_inputs=1), most)
    assert found == {"arithmetic": 5e-3, "memory": 10_000 / 4e6, "chain": pytest.approx(3e-6)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_run(tmp_path_factory.mktemp("runs") / "run", workloads=("conv", "conv_gru"), ceilings=True)
    build(made)
    return made


def distance(run: Path, workload: str) -> str:
    return section(
        section((run / "report.md").read_text(), f"## {workload} on cpu: {catalogue.load(workload).title}"),
        "### Distance to the limit",
    )


def test_the_report_holds_every_step_against_the_longest_floor_of_the_best_ceilings(run: Path) -> None:
    told = distance(run, "conv")
    ((_, *rows),) = tables(told)
    cells = [record.read(path, record.Cell) for path in (run / "cells").glob("ceiling.*.json")]
    extras = [(cell, cell.pytest_benchmark["benchmarks"][0]) for cell in cells]
    rate = max(entry["extra_info"]["flops"] / min(entry["stats"]["data"]) for _, entry in extras)
    streams = [entry["extra_info"]["stream_s"] for _, entry in extras]
    speed, moved = max((moved / min(stream[str(moved)]), moved) for moved in STREAM_BYTES for stream in streams)
    longest_ms = 1e3 * max(100_000_000 / rate, 6_000_000 / speed)
    assert len(rows) == 5
    for _, step_ms, times, share in rows:
        # Both figures are printed with three digits, or two.
        assert float(times) == pytest.approx(float(step_ms) / longest_ms, rel=0.02)
        assert float(share.removesuffix(" %")) == pytest.approx(100 * longest_ms / float(step_ms), rel=0.06)
    assert "a batch holds 3,457 different tokens" in told
    assert f"at which {moved:,} bytes are moved" in told


def test_a_chain_is_told_where_there_is_one_and_not_where_there_is_none(run: Path) -> None:
    assert "in a row" not in distance(run, "conv")
    told = distance(run, "conv_gru")
    assert "20,000 operations in a row" in told
    assert f"{1e3 * 20_000 * CHAIN_S:.3g}"[:3] in told


@pytest.mark.parametrize("what", ["floor", "ceilings", "memory"])
def test_a_run_that_does_not_know_the_floor_or_the_ceilings_has_no_such_section(tmp_path: Path, what: str) -> None:
    made = make_run(tmp_path / "run", workloads=("conv",), blocks=2, ceilings=what != "ceilings")
    if what == "floor":
        spec = record.read(made / "run.json", record.Run).workloads["conv"]
        edit(made / "run.json", workloads={"conv": msgspec.structs.replace(spec, floor=None)})
    if what == "memory":  # a ceiling cell of schema 3
        for path in (made / "cells").glob("ceiling.*.json"):
            raw = msgspec.to_builtins(record.read(path, record.Cell).pytest_benchmark)
            for entry, name in itertools.product(raw["benchmarks"], ("stream_s", "chain_s", "chain_operations")):
                del entry["extra_info"][name]
            edit(path, pytest_benchmark=raw)
    build(made)
    assert "Distance to the limit" not in (made / "report.md").read_text()


def test_a_chain_that_could_not_be_measured_is_no_floor(tmp_path: Path) -> None:
    made = make_run(tmp_path / "run", workloads=("conv_gru",), blocks=2, ceilings=True)
    for path in (made / "cells").glob("ceiling.*.json"):
        raw = msgspec.to_builtins(record.read(path, record.Cell).pytest_benchmark)
        for entry in raw["benchmarks"]:
            entry["extra_info"]["chain_s"] = []
        edit(path, pytest_benchmark=raw)
    build(made)
    assert "20,000 operations in a row, not measured here: no floor known" in distance(made, "conv_gru")
