"""Every arm goes on in another process, bit for bit; a checkpoint is whole and of this training, or is not used."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench import checkpoint
from bench.checkpoint import About, Progress
from bench.data.windows import Source
from bench.implementation import arms
from bench.record import CurvePoint

TESTS = Path(__file__).parent
GROUPS = {
    "tensorflow": ("keras-tensorflow", "keras-published", "keras-tuned"),
    "jax": ("keras-jax",),
    "torch": ("keras-torch", "torch-eager", "torch-compile", "torch-tuned"),
}
"""Arms that one process can hold, by framework: starting one costs more than what is trained in it."""


def drive(mode: str, folder: Path, *names: str) -> dict[str, dict[str, float]]:
    """What `drive_state.py` saw, with one thread."""
    own = {
        key: value.format(cache=folder, threads=1) for name in names for key, value in arms()[name].environment.items()
    }
    paths = os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    ended = subprocess.run(
        [sys.executable, str(TESTS / "drive_state.py"), mode, str(folder), *names],
        env=os.environ | own | threads | {"PYTHONPATH": paths},
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return json.loads(ended.stdout.splitlines()[-1])


def test_every_declared_arm_is_in_a_group_below():
    here = {name for name, arm in arms().items() if arm.session.startswith(("impl_keras.", "impl_torch."))}
    assert here == {name for group in GROUPS.values() for name in group}


# 70 s for PyTorch's, two of which are compiled.
@pytest.fixture(
    scope="module", params=[pytest.param(each, marks=[pytest.mark.proof] * (each == "torch")) for each in GROUPS]
)
def trained(request, tmp_path_factory) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """What one process saw that trained, and another one that went on from its state."""
    folder, names = tmp_path_factory.mktemp(request.param), GROUPS[request.param]
    return drive("begin", folder, *names), drive("resume", folder, *names)


def test_two_epochs_and_one_epoch_and_one_more_in_another_process_end_in_the_same_bits(trained):
    begun, resumed = trained
    for name in begun:
        assert resumed[name]["same state"], name
        assert resumed[name]["resumed"] == 0, name
        # Four updates of 1e-3 move a weight by some 1e-3; what is drawn or averaged otherwise shows far above rounding.
        assert begun[name]["moved"] > 1e-3, name
        assert resumed[name]["other masks"] > 1e-5, f"{name}: the masks would not have mattered"
        assert resumed[name]["other slots"] > 1e-5, f"{name}: the optimiser's state would not have mattered"


def test_a_session_on_shuffled_windows_sees_the_windows_that_are_gathered(trained):
    for name, seen in trained[1].items():
        if name == "torch-compile":
            continue  # it gathers with the code of torch-eager, and would compile evaluation
        # float32 sums in another order
        assert seen["loss"] == pytest.approx(seen["by hand"], rel=1e-5), name
        assert seen["shuffled loss"] == pytest.approx(seen["shuffled by hand"], rel=1e-5), name
        assert seen["shuffled loss"] != pytest.approx(seen["loss"], rel=1e-4), f"{name}: the order was not another one"


def test_the_published_programs_windows_are_those_of_the_gather(trained):
    for name, seen in trained[1].items():
        assert seen.get("windows", True), name
    if "keras-published" in trained[1]:
        assert trained[1]["keras-published"]["windows"]


ABOUT = About(
    workload="conv",
    digest="95595a019678a941",
    arm="fake-1ms",
    device="cpu",
    seed=3,
    threads=1,
    weights="0123456789abcdef",
    data=Source("synthetic", "made by a test", ()),
    versions={"msgspec": "1"},
)
STATE = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "steps": np.int64(7), "random": np.zeros(5, np.uint8)}
POINTS = [CurvePoint(n, {"loss": 1 / n}, {"loss": 2 / n}, 1.5, 0.5) for n in (1, 2)]


@pytest.fixture
def written(tmp_path) -> Iterator[Path]:
    """A checkpoint after two epochs of a training that was taken up once before, after the first."""
    path = tmp_path / "training"
    checkpoint.save(path, ABOUT, Progress(POINTS, {"kernel": np.ones((2, 2), np.float32)}, [1]), STATE)
    return path


def test_a_training_comes_back_as_it_was(written):
    found = checkpoint.load(written, ABOUT, epochs=3)
    assert found is not None
    progress, state = found
    assert progress.curve == POINTS
    assert progress.resumed == [1, 2]
    assert progress.best.keys() == {"kernel"}
    assert np.array_equal(progress.best["kernel"], np.ones((2, 2)))
    assert state.keys() == STATE.keys()
    for name, values in STATE.items():
        assert (state[name].dtype, state[name].shape) == (np.asarray(values).dtype, np.shape(values))
        assert np.array_equal(state[name], values)


def test_without_a_file_there_is_nothing_to_go_on_from(tmp_path):
    assert checkpoint.load(tmp_path / "none", ABOUT, epochs=3) is None


def test_a_file_that_lost_a_byte_or_changed_one_or_is_something_else_is_not_used(written):
    whole = written.read_bytes()
    changed = whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:]
    for content in (whole[:-1], whole[: len(whole) // 2], changed):
        written.write_bytes(content)
        with pytest.raises(checkpoint.UnusableError, match="is damaged, its bytes are not those that were written"):
            checkpoint.load(written, ABOUT, epochs=3)
    for content in (b"", b"\x80\x04}.", whole[20:]):
        written.write_bytes(content)
        with pytest.raises(checkpoint.UnusableError, match="is no checkpoint of a training"):
            checkpoint.load(written, ABOUT, epochs=3)
    written.write_bytes(whole.replace(b"bench checkpoint 1 ", b"bench checkpoint 99 ", 1))
    with pytest.raises(checkpoint.UnusableError, match="of format 99, expected 1; the training begins afresh"):
        checkpoint.load(written, ABOUT, epochs=3)


OTHERS = {
    "workload": "conv_gru",
    "digest": "other",
    "arm": "fake-10ms",
    "device": "gpu",
    "seed": 4,
    "threads": 2,
    "weights": "other",
    "data": Source("synthetic", "made by another test", ()),
    "versions": {"msgspec": "2"},
}


@pytest.mark.parametrize("field", About.__struct_fields__)
def test_a_checkpoint_of_another_training_is_not_used_and_the_message_names_what_differs(written, field):
    import msgspec

    other = msgspec.structs.replace(ABOUT, **{field: OTHERS[field]})
    with pytest.raises(checkpoint.UnusableError, match=rf"is of another training \({field} .+, not .+\); the training"):
        checkpoint.load(written, other, epochs=3)


def test_a_checkpoint_after_the_last_epoch_of_a_shorter_training_is_not_used(written):
    with pytest.raises(checkpoint.UnusableError, match="was written after epoch 2 of more than 2"):
        checkpoint.load(written, ABOUT, epochs=2)


def test_an_object_is_never_written_and_a_failed_write_leaves_the_checkpoint_of_before(written):
    before = written.read_bytes()
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        checkpoint.save(written, ABOUT, Progress(POINTS), {"state": np.array([{}], dtype=object)})
    assert written.read_bytes() == before
    assert list(written.parent.iterdir()) == [written]


def test_the_hash_of_weights_follows_names_shapes_and_values():
    one = {"a": np.ones((2, 3)), "b": np.zeros(2)}
    same = {"b": np.zeros(2), "a": np.ones((2, 3))}
    others = [
        {"a": np.ones((3, 2)), "b": np.zeros(2)},
        {"c": np.ones((2, 3)), "b": np.zeros(2)},
        {"a": np.ones((2, 3))},
    ]
    assert checkpoint.hash_of(one) == checkpoint.hash_of(same)
    assert len({checkpoint.hash_of(each) for each in (one, *others)}) == 4
