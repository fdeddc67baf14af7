"""Disks that are full, become full, or cannot be written: one line, and nothing that was there is lost."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import harness
import pytest

ROOM_KB = 60_000
"""A little more than a run asks for before it begins."""


@pytest.fixture
def disk(tmp_path, request) -> Iterator[Path]:
    """A file system of its own; the parameter gives the options it is mounted with."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", request.param, "bench-test", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"needs the right to mount a file system: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    """Writes into `path` until the disk is full."""
    with path.open("wb", buffering=0) as stream:
        while True:
            stream.write(b"x" * 4096)


@pytest.mark.parametrize(
    ("disk", "reason"),
    [
        ("size=10m", r"--out .*/disk/results: 10 MB of disk are free, 50 MB needed; free some or name another folder"),
        ("ro", r"--out .*/disk/results: cannot be written (Read-only file system); name a folder that can"),
    ],
    indirect=["disk"],
)
def test_a_disk_that_cannot_hold_a_run_is_named_before_anything_is_measured(tmp_path, disk, reason):
    out = disk / "results"
    code, output = harness.bench(tmp_path, "run", *harness.grid("fake-1ms"), "--out", str(out))
    assert code == 2
    assert reason.replace(".*/disk", str(disk)) in output.replace("\n", " ")
    assert "Traceback" not in output
    assert not list(disk.rglob("*.json"))


@pytest.mark.parametrize("disk", [f"size={ROOM_KB}k"], indirect=True)
def test_a_disk_that_becomes_full_ends_the_run_in_one_line_and_resume_completes_it(tmp_path, disk):
    process, _, _ = harness.hanging(tmp_path, *harness.grid("fake-1ms", "fake-hangs"), "--out", str(disk))
    (run,) = disk.iterdir()
    before = {path: path.read_bytes() for path in run.rglob("*.json")}
    filler = disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        fill(filler)
    output, _ = process.communicate(timeout=120)  # the hanging cell is timed out, its record finds no room
    assert process.returncode == 130, output
    last = output.strip().splitlines()[-1]
    assert last.startswith(f"interrupted: {run}: results cannot be written any more (No space left on device)")
    assert f"bench run --resume {run}" in last
    assert "Traceback" not in output
    assert {path: path.read_bytes() for path in before} == before
    assert not [path for path in run.rglob("*") if path.name.startswith(".")]
    filler.unlink()
    code, output = harness.bench(tmp_path, "run", "--resume", str(run))
    assert code == 1, output  # fake-hangs fails
    assert set(harness.by_arm(run)) == {"fake-1ms", "fake-hangs"}
    assert (run / "report.md").is_file()
