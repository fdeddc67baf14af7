"""A slice of what tests/scale_full.py proves of ten thousand cells, small enough for every change."""

import statistics
from pathlib import Path

import pytest
import scale
from make_many import make_many

BLOCKS = 160
CELLS = 5 * BLOCKS


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_many(tmp_path_factory.mktemp("runs") / "many", BLOCKS, ("conv",))


def test_cells_are_as_large_as_real_ones(many: Path) -> None:
    """Real ones, of block 3 of a quick run of conv_only on two cores: 9.6 to 13.1 kB, 35 rounds, 7 to 13 windows."""
    sizes = [path.stat().st_size for path in (many / "cells").iterdir()]
    assert 9_600 < statistics.mean(sizes) < 13_100


def test_a_slice_of_ten_thousand_cells_loads_in_its_share_of_three_seconds(many: Path) -> None:
    # Twice its share: the machines that test every change share their cores with others. What made one wait before,
    # every row a dict and every phase looked for three times, took five times its share.
    assert scale.load_s(many, CELLS) < 2 * 3 * CELLS / 10_000


def test_a_slice_of_ten_thousand_cells_is_reported_in_little_time_and_memory(many: Path) -> None:
    built = scale.build(many)
    # Its share of 60 s, and 8 s for six figures, which cost as much of few cells; a quiet machine took a third of it.
    assert built.seconds < 8 + 60 * CELLS / 10_000
    assert built.peak_bytes < scale.GIB / 2
