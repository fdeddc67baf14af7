"""`bench reproduce`: what a run was obtained with is printed whole, run again exactly, compared, or refused."""

import os
import re
import shlex
import shutil
import signal
from pathlib import Path

import harness
import msgspec
import pytest
from data_files import jena_lines, write_jena
from make_run import edit
from reproducing import commands

from bench import cli, reproduce

pytestmark = pytest.mark.usefixtures("a_place_of_its_own")


JENA = "jena_climate_2009_2016.csv"
CONTROLLED = ("fake-10ms (a2)", "fake-10ms")
"""The A/A control's second entry, against its first."""
QUICK = ["--workload", "conv_only", "--arm", "fake-1ms", "--arm", "fake-10ms", "--profile", "quick", "--seed", "5"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of three blocks on a data file, which lies elsewhere by now."""
    folder = tmp_path_factory.mktemp("reproduce")
    (folder / "first").mkdir()
    write_jena(folder / "first" / JENA)
    words = [*QUICK, "--data-dir", "first", "--margin", "90%", "--control", "fake-10ms"]
    code, output = harness.bench(folder, "run", *words, FAKE_BLOCKS="3-3")
    assert code == 0, output
    (folder / "first").rename(folder / "moved")
    return folder


@pytest.fixture
def folder(measured: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    return Path(shutil.copytree(measured, tmp_path / "copy"))


def only(folder: Path) -> Path:
    return harness.only_run(folder)


def intervals(page: str, name: str, against: str) -> tuple[tuple[float, float], tuple[float, float], str]:
    """Of a pair of arms, the interval of its ratio in both runs as printed, and what the page says of the two."""
    ratio = r"[\d.]+ \[([\d.]+), ([\d.]+)\], 3 blocks"
    row = rf"\| {re.escape(name)} +\| {re.escape(against)} +\| +{ratio} +\| +{ratio} +\| +([a-z ]*overlap) +\|"
    found = re.search(row, page)
    assert found, page
    low, high, low_again, high_again = map(float, found.groups()[:4])
    return (low, high), (low_again, high_again), found[5]


def appeared(folder: Path, old: Path) -> list[Path]:
    return [path for path in (folder / "results").iterdir() if path.name != old.name]


def test_a_run_is_measured_again_compared_and_the_comparison_is_kept(folder: Path) -> None:
    old = only(folder)
    words = ["reproduce", old.name, "--yes", "--data-dir", "moved"]
    code, output = harness.bench(folder, *words, FAKE_BLOCKS="3-3")
    assert code == 0, output
    (new,) = appeared(folder, old)
    one, other = harness.stored(old), harness.stored(new)
    assert (other.seed, other.margin, other.control, other.budget_s) == (5, 0.9, "fake-10ms", 600)
    assert (other.profile, other.device, list(other.arms), list(other.workloads)) == (
        one.profile, one.device, list(one.arms), list(one.workloads),
    )  # fmt: skip
    assert [(cell.id, cell.phases) for cell in other.plan] == [(cell.id, cell.phases) for cell in one.plan]  # same draw
    assert other.workloads["conv_only"].data.files == one.workloads["conv_only"].data.files
    page = (new / reproduce.PAGE).read_text()
    assert page in output
    for name in ("fake-1ms", "fake-10ms", "fake-10ms (a2)"):
        assert re.search(rf"\| {re.escape(name)} +\| +[\d.]+ \[[\d.]+, [\d.]+\], 3 blocks \|", page), page
    pairs = {name: intervals(page, name, against) for name, against in (("fake-10ms", "fake-1ms"), CONTROLLED)}
    for (low, high), (low_again, high_again), said in pairs.values():  # of two 95 % intervals some do not overlap
        assert said == ("overlap" if low <= high_again and low_again <= high else "do not overlap"), page
    apart = [name for name, (_, _, said) in pairs.items() if said != "overlap"]
    sentence = (
        f"Of 2 pairs of arms the intervals of {len(apart)} do not" if apart else "All intervals overlap: of 2 pairs"
    )
    assert output.strip().splitlines()[-1].startswith(sentence), output
    assert not any(entry.name.startswith(".") for entry in new.iterdir())

    code, output = harness.bench(folder, "reproduce", new.name)  # what came of it is a run like any other
    assert code == 0, output


def test_without_yes_everything_is_printed_and_nothing_is_measured(folder: Path) -> None:
    old = only(folder)
    before = sorted(path for path in folder.rglob("*"))
    code, output = harness.bench(folder, "reproduce", str(old), "--data-dir", "moved")
    assert code == 0, output
    assert sorted(path for path in folder.rglob("*")) == before
    stored = harness.stored(old)
    (file,) = stored.workloads["conv_only"].data.files
    for said in (
        shlex.join(stored.command), stored.environment["code_digest"], file.sha256, f"here, {folder / 'moved' / JENA}",
        "image: not run in an image", "seed 5", "margin 90 %", "interpreter for fake: python", "conv_only: other",
    ):  # fmt: skip
        assert said in output, said
    for words in commands(output):
        if words[:2] == ["bench", "run"]:
            options = vars(cli._parser().parse_args(words[1:]))
            assert (options["seed"], options["budget"], options["margin"]) == ([5], 600.0, 0.9)
            assert (options["data"], options["data_dir"]) == ("real", folder / "moved")
            break
    else:
        pytest.fail(output)


def test_other_data_is_refused_with_both_hashes_before_anything_is_measured(folder: Path) -> None:
    old = only(folder)
    write_jena(folder / "moved" / JENA, jena_lines(seed=1))
    (file,) = harness.stored(old).workloads["conv_only"].data.files
    code, output = harness.bench(folder, "reproduce", old.name, "--yes", BENCH_DATA_DIR="moved")
    assert code == 2, output
    error = output.strip().splitlines()[-1]
    assert error.startswith(f"bench: reproduce {old.name}: the data of conv_only here is {JENA} ")
    assert len(set(re.findall(r"[0-9a-f]{64}", error))) == 2
    assert file.sha256 in error
    assert f"NOT here: {folder / 'moved' / JENA} is another file" in output
    assert appeared(folder, old) == []


def test_data_that_is_not_there_is_refused(folder: Path) -> None:
    old = only(folder)
    code, output = harness.bench(folder, "reproduce", old.name, "--yes", "--data-dir", "first")
    assert code == 2, output
    assert "first: no such folder" in output.strip().splitlines()[-1]
    assert appeared(folder, old) == []


@pytest.mark.parametrize(("dirty", "said"), [(False, ""), (True, ", which lacks what was changed in it")])
def test_other_code_is_refused_and_the_cure_names_the_commit(folder: Path, dirty: bool, said: str) -> None:
    old = only(folder)
    known = harness.stored(old).environment
    git = {"commit": "12" * 20, "dirty": dirty}
    edit(old / "run.json", environment=known | {"code_digest": "0123456789abcdef", "git": git})
    code, output = harness.bench(folder, "reproduce", old.name, "--yes", "--data-dir", "moved")
    assert code == 3, output
    error = output.strip().splitlines()[-1]
    assert error.startswith(
        f"bench: reproduce {old.name}: the code here has digest {known['code_digest']}, the run's 0123"
    )
    assert f"git checkout {'12' * 20}{said}" in error
    assert ("with changes that were not committed" in output) == dirty
    assert appeared(folder, old) == []


def shortened(run: Path) -> None:
    """Makes the record say that one block was asked for."""
    edit(run / "run.json", profile="smoke", budget_s=None)


def with_arm(run: Path, arm: str) -> None:
    """Makes the record say that `arm` was asked for too."""
    shortened(run)
    stored = harness.stored(run)
    known = msgspec.structs.replace(stored.arms["fake-1ms"], settings={})
    edit(run / "run.json", arms=stored.arms | {arm: known})


def test_other_hardware_is_said_before_measuring_and_in_the_comparison(folder: Path) -> None:
    old = only(folder)
    edit(old / "run.json", environment=harness.stored(old).environment | {"cpu": "abacus"})
    shortened(old)
    code, output = harness.bench(folder, "reproduce", old.name, "--yes", "--data-dir", "moved")
    assert code == 0, output
    said = output.index("not comparable: processor is ")
    assert said < output.index("cells planned")
    assert "Not comparable: processor: abacus in A" in output.strip().splitlines()[-1]


def test_cells_that_fail_this_time_are_exit_code_1_and_stand_in_the_comparison(folder: Path) -> None:
    old = only(folder)
    with_arm(old, "fake-raises")
    code, output = harness.bench(folder, "reproduce", old.name, "--yes", "--data-dir", "moved")
    assert code == 1, output
    (new,) = appeared(folder, old)
    page = (new / reproduce.PAGE).read_text()
    assert re.search(r"\| conv_only \| fake-raises .+no model today.+\| +0 \| +\d \|", page), page


def test_an_interrupted_reproduction_says_so_and_can_be_completed(folder: Path) -> None:
    old = only(folder)
    with_arm(old, "fake-hangs")
    os.mkfifo(folder / "fake-hangs.fifo")
    process = harness.start(folder, "reproduce", old.name, "--yes", "--data-dir", "moved")
    (folder / "fake-hangs.fifo").read_text()  # waits for the cell
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    (new,) = appeared(folder, old)
    assert f"complete the new run with: bench run --resume results/{new.name}" in output
    assert not (new / reproduce.PAGE).exists()
    assert harness.stored(new).ended_because == "interrupted"
