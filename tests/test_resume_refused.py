"""What must be the same for a run to be completed: its image, its limits, its locks."""

import msgspec
import pytest
from make_run import make_run

from bench import record, runfolder
from bench.errors import UsageError

IMAGE = {"id": "sha256:1", "digests": None, "device": "cpu", "commit": "a" * 40}


@pytest.mark.parametrize(
    ("then", "now", "same"),
    [
        ({"image": IMAGE}, {"image": IMAGE}, True),
        ({"image": IMAGE}, {"image": IMAGE | {"id": None}}, True),  # docker run does not tell the id
        ({"image": IMAGE}, {"image": IMAGE | {"id": "sha256:2"}}, False),
        ({"image": IMAGE}, {"image": IMAGE | {"id": None, "commit": "b" * 40}}, False),
        ({"image": IMAGE}, {"image": None}, False),
        ({"memory_limit_bytes": 2**32}, {"memory_limit_bytes": 2**30}, False),
        ({"locks": {"cpu.txt": "1"}}, {"locks": {"cpu.txt": "2"}}, False),
    ],
)
def test_a_run_is_completed_only_in_the_image_and_under_the_limits_it_was_begun_with(tmp_path, then, now, same):
    folder = make_run(tmp_path / "run", workloads=["conv_only"], blocks=1)
    run = msgspec.structs.replace(record.read(folder / "run.json", record.Run), environment=then)
    if same:
        runfolder.check_same(run, run.workloads, now)
    else:
        with pytest.raises(UsageError, match=f"{next(iter(then))} is .*start a new run"):
            runfolder.check_same(run, run.workloads, now)
