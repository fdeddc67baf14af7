"""`--stream`: one tar on standard output and nothing else there, whatever becomes of the run and of its reader."""

import io
import os
import pty
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import harness
import pytest

from bench.stream import send


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, bytes, str]:
    """The folder of a finished run, and what `run --stream` wrote to standard output and standard error."""
    folder = tmp_path_factory.mktemp("stream")
    done = stream(folder, "run", *harness.grid("fake-1ms", "fake-raises"))
    assert done.returncode == 1, done.stderr  # one arm fails, and the tar comes all the same
    return harness.only_run(folder), done.stdout, done.stderr.decode()


def stream(folder: Path, *words: str, stdout: int = subprocess.PIPE) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, str(harness.FAKES / "drive.py"), *words, "--stream"]
    return subprocess.run(
        command, cwd=folder, env=harness.environment(folder), stdout=stdout, stderr=subprocess.PIPE, check=False
    )


def unpacked(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]


def on_disk(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run.parent)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_the_tar_is_the_run_folder_and_all_else_is_on_standard_error(made):
    run, content, told = made
    assert unpacked(content) == on_disk(run)
    assert f"{run.name}/report.md" in unpacked(content)
    assert "cells planned" in told
    assert "step ms" in told


def test_whatever_prints_on_standard_output_meanwhile_is_not_in_the_tar(tmp_path):
    code = (
        "import os; from bench import stream\n"
        "with stream.claimed() as tar: print('by Python'); os.system('echo by a child'); os.write(tar, b'the tar')\n"
        "print('after')"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=harness.environment(tmp_path), capture_output=True, text=True, check=True)
    assert done.stdout == "the tarafter\n"
    assert sorted(done.stderr.splitlines()) == ["by Python", "by a child"]


def test_members_are_in_order_below_the_runs_name_and_tell_no_user(made):
    run, content, _ = made
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        members = tar.getmembers()
    names = [member.name for member in members]
    assert names == [run.name, *sorted(names[1:], key=lambda name: Path(name))]
    assert all(name == run.name or name.startswith(f"{run.name}/") for name in names)
    assert {(member.uid, member.gid, member.uname, member.gname) for member in members} == {(0, 0, "", "")}


def test_a_report_can_be_streamed_later_and_half_written_files_are_left_out(made):
    run, content, _ = made
    half = run / "cells" / ".half.json.x1"
    half.write_text("what a killed runner may leave")
    done = stream(run.parent.parent, "report", run.name)
    half.unlink()
    assert done.returncode == 0, done.stderr
    assert unpacked(done.stdout) == on_disk(run) == unpacked(content)


def test_a_run_whose_own_name_begins_with_a_dot_is_streamed_whole(tmp_path):
    run = tmp_path / ".hid"
    run.mkdir()
    (run / "run.json").write_text("of a run")
    (run / ".half.json").write_text("half")
    with (tmp_path / "run.tar").open("wb") as tar:
        assert send(run, tar.fileno(), 0) == 0
    assert unpacked((tmp_path / "run.tar").read_bytes()) == {".hid/run.json": b"of a run"}


def test_an_interrupted_run_is_streamed_as_it_is_and_keeps_its_exit_code(tmp_path):
    fifo = tmp_path / "fake-hangs.fifo"
    os.mkfifo(fifo)
    command = [sys.executable, str(harness.FAKES / "drive.py"), "run", *harness.grid("fake-1ms", "fake-hangs")]
    process = subprocess.Popen(
        [*command, "--stream"],
        cwd=tmp_path,
        env=harness.environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    fifo.read_text()
    process.send_signal(signal.SIGTERM)
    content, told = process.communicate(timeout=10)
    assert process.returncode == 130, told
    run = harness.only_run(tmp_path)
    assert unpacked(content) == on_disk(run)
    assert f"{run.name}/run.json" in unpacked(content)


def test_a_reader_that_goes_away_ends_in_one_line_and_the_run_is_kept(made):
    run, _, _ = made
    read, write = os.pipe()
    os.close(read)
    done = stream(run.parent.parent, "report", run.name, stdout=write)
    os.close(write)
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert line.startswith("bench: --stream: the tar was not written whole (its reader is gone); the run is kept")


def test_a_full_disk_under_the_tar_ends_in_one_line(made):
    run, _, _ = made
    with Path("/dev/full").open("wb") as full:
        done = stream(run.parent.parent, "report", run.name, stdout=full.fileno())
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert "(No space left on device)" in line


def test_a_reader_that_does_not_read_can_be_interrupted(made):
    run, content, _ = made
    assert len(content) > 2**17  # more than a pipe holds
    command = [sys.executable, str(harness.FAKES / "drive.py"), "report", run.name, "--stream"]
    process = subprocess.Popen(
        command,
        cwd=run.parent.parent,
        env=harness.environment(run.parent.parent),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.read(1)  # it is writing now
    process.send_signal(signal.SIGTERM)
    assert harness.ended_within(process.pid, 10)
    _, told = process.communicate()
    assert process.returncode == 130
    assert b"not written whole (interrupted)" in told


def test_a_terminal_and_a_closed_output_are_refused_before_anything_is_measured(tmp_path):
    ours, theirs = pty.openpty()
    done = stream(tmp_path, "run", *harness.grid("fake-1ms"), stdout=theirs)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 2
    assert b"standard output is a terminal; send it to a file, as in `bench run --stream > run.tar`" in done.stderr
    command = f"{sys.executable} -m bench run --stream >&-"
    closed = subprocess.run(
        command, shell=True, cwd=tmp_path, env=harness.environment(tmp_path), capture_output=True, check=False
    )
    assert closed.returncode == 2
    assert closed.stderr.startswith(b"bench: --stream: standard output is closed")
    assert closed.stderr.count(b"\n") == 1
    assert not list(tmp_path.iterdir())
