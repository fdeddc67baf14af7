"""SIGTERM and SIGINT end `bench` within seconds, with 130 and one line, at whatever moment they come."""

import os
import signal
import subprocess
from pathlib import Path
from typing import IO

import harness
import msgspec
import pytest

from bench import record
from bench.interrupt import SIGNALS, Deferral, interruptible

LIMIT_S = 10.0
"""What `docker stop` waits before it kills."""
NOTHING = "bench: interrupted; nothing was measured"


def ended(
    process: "subprocess.Popen[str]", sent: signal.Signals = signal.SIGTERM, read: IO[bytes] | None = None
) -> str:
    """Sends the signal; the last line of what the process said until its end, which is checked.

    `read` is the pipe the process reads as if it were a file, closed once the signal is on its way: a signal between
    Python's last look and read(2) is seen when the read returns, and of a file, other than of a pipe, it returns.
    """
    process.send_signal(sent)
    if read is not None:
        read.close()
    output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    return output.strip().splitlines()[-1]


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_while_an_interpreter_is_asked_what_it_has(tmp_path, sent):
    fifo, slow = pipe(tmp_path / "asked"), tmp_path / "python"
    slow.write_text(f"#!/bin/sh\necho $$ > {fifo}\nexec sleep 60\n")
    slow.chmod(0o755)
    process = harness.start(tmp_path, "run", *harness.grid("fake-1ms"), BENCH_PYTHON_FAKE=str(slow))
    child = int(fifo.read_text())  # waits for it
    assert ended(process, sent) == NOTHING
    assert harness.has_ended(child)
    assert not list(tmp_path.glob("results/*"))


def test_while_the_data_is_read(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    fifo = pipe(folder / "imdb.npz")
    words = ["--workload", "conv", "--arm", "fake-1ms", "--profile", "smoke", "--data-dir", str(folder)]
    process = harness.start(tmp_path, "run", *words)
    assert ended(process, read=fifo.open("wb")) == NOTHING  # open() waits for the reader
    assert not list(tmp_path.glob("results/*"))


def test_while_parity_is_checked(tmp_path):
    fifo = pipe(tmp_path / "fake-parity.fifo")
    process = harness.start(tmp_path, "run", *harness.grid("fake-1ms"))
    child = int(fifo.read_text())
    assert ended(process).startswith("interrupted; everything measured is kept. Resume with: ")
    assert harness.has_ended(child)
    fifo.unlink()
    code, output = harness.bench(tmp_path, "run", "--resume", harness.only_run(tmp_path).name)
    assert code == 0, output


def test_while_the_report_is_written_and_what_ended_the_run_stays_known(tmp_path):
    code, output = harness.bench(tmp_path, "run", *harness.grid("fake-absent"))
    assert code == 0, output
    run = harness.only_run(tmp_path)
    record.write(run / "run.json", msgspec.structs.replace(harness.stored(run), finished=None, ended_because=None))
    fifo = pipe(run / "cells" / "zz.json")
    process = harness.start(tmp_path, "run", "--resume", run.name)
    reports = fifo.open("wb")  # which read every file there
    assert ended(process, read=reports).startswith("interrupted; everything measured is kept. Resume with: ")
    assert harness.stored(run).ended_because == "all planned cells measured"
    process = harness.start(tmp_path, "report", run.name)
    assert ended(process, read=fifo.open("wb")) == NOTHING


def test_while_the_suite_itself_is_imported(tmp_path):
    fifo = pipe(tmp_path / "imported")
    (tmp_path / "rich.py").write_text(f"open({str(fifo)!r}).read()\n")
    process = subprocess.Popen(
        [harness.sys.executable, "-m", "bench", "data"],
        cwd=harness.ROOT,
        env=harness.environment(tmp_path) | {"PYTHONPATH": f"{tmp_path}:{harness.ROOT}"},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    with fifo.open("wb"):
        process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, error.strip()) == (130, NOTHING)


def test_the_first_signal_waits_for_its_moment_and_the_second_does_not() -> None:
    deferral = Deferral()
    for _ in range(2):  # as often as a driver waits
        with deferral.holding():
            with deferral.holding():
                signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                deferral.raise_what_came()
            deferral.raise_what_came()
    with deferral.holding():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt), deferral.holding():
            signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_signal_that_waited_is_not_followed_by_another_while_everything_is_tidied_up() -> None:
    deferral = Deferral()
    with interruptible():
        with pytest.raises(KeyboardInterrupt):
            wait_for_it(deferral)
        assert {signal.getsignal(number) for number in SIGNALS} == {signal.SIG_IGN}
    assert signal.SIG_IGN not in {signal.getsignal(number) for number in SIGNALS}


def wait_for_it(deferral: Deferral) -> None:
    """A signal comes, and then the moment for it."""
    with deferral.holding():
        signal.raise_signal(signal.SIGTERM)
        deferral.raise_what_came()
