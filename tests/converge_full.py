"""A whole training of `conv` over data of the published size, killed inside its seventh epoch: `tox -e proofs`.

One thread, so that two undisturbed trainings are equal to the bit.
"""

import signal
import sys
from pathlib import Path

import pytest
import training_cells

from bench import catalogue, cell
from bench.data import prepare

ARM = "keras-tensorflow"
EPOCHS, KILLED_IN = 8, 7


@pytest.fixture(scope="module")
def reviews(tmp_path_factory) -> Path:
    """50,000 synthetic reviews, prepared."""
    return prepare(catalogue.load("conv"), "synthetic", cache=tmp_path_factory.mktemp("cache"))


def train(out: Path, reviews: Path, *, dies_in: int | None = None, **fields: object) -> int:
    code = training_cells.train(out, reviews, ARM, workload="conv", epochs=EPOCHS, dies_in=dies_in, **fields)
    print(f"{out.name}: {sum(point.train_s + point.validate_s for point in cell.curve(out)):.0f} s", file=sys.stderr)
    return code


def test_a_training_killed_inside_epoch_seven_goes_on_to_the_same_curve_and_test(reviews, tmp_path):
    checkpoint = str(tmp_path / "checkpoint")
    assert train(tmp_path / "alone", reviews) == 0
    assert train(tmp_path / "killed", reviews, checkpoint=checkpoint, dies_in=KILLED_IN) == -signal.SIGKILL
    assert train(tmp_path / "resumed", reviews, checkpoint=checkpoint) == 0
    alone, killed, resumed = (training_cells.learned(tmp_path / name) for name in ("alone", "killed", "resumed"))
    assert len(alone) == EPOCHS
    assert killed == alone[: KILLED_IN - 1]
    assert resumed == alone
    ends = [training_cells.seen(tmp_path / name).tested for name in ("alone", "resumed")]
    assert ends[0] is not None
    assert ends[1] is not None
    assert (ends[0].epoch, ends[0].metrics) == (ends[1].epoch, ends[1].metrics)
    assert ends[0].shuffled == (), "the words of a review are never shuffled"
    assert training_cells.seen(tmp_path / "resumed").resumed == (KILLED_IN - 1,)
