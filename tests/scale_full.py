"""Ten thousand cells, two minutes: `tox -e proofs`. Keep the machine to them."""

from pathlib import Path

import pytest
import scale
from make_many import make_many

CELLS = 10_005


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_many(tmp_path_factory.mktemp("runs") / "many")


def test_ten_thousand_cells_load_in_less_than_three_seconds(many: Path) -> None:
    took_s = scale.load_s(many, CELLS)
    print(f"{CELLS} cells loaded in {took_s:.2f} s")
    assert took_s < 3


def test_ten_thousand_cells_are_reported_in_a_minute_and_two_gibibytes(many: Path) -> None:
    built = scale.build(many)
    print(f"{CELLS} cells reported in {built.seconds:.1f} s and {built.peak_bytes / scale.GIB:.2f} GiB")
    assert built.seconds < 60
    assert built.peak_bytes < 2 * scale.GIB
