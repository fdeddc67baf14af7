"""What `bench reproduce` prints of a run: image, commands, limits and data, and what keeps them from being exact."""

from pathlib import Path

import msgspec
import pytest
from make_book import HEAD, make_book
from make_run import edit, make_run
from reproducing import IMAGE, Bench, commands, in_image

from bench import cli, recipe, record
from bench.errors import UsageError

pytestmark = pytest.mark.usefixtures("a_place_of_its_own")


def test_an_image_run_is_printed_with_all_that_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = in_image(tmp_path, cpu_quota=1.5, memory_limit_bytes=4 * 2**30, memory_bytes=16 * 2**30)
    bench = Bench()
    assert bench.reproduce(run, tmp_path / "results") == 0
    assert bench.words == []
    output = capsys.readouterr().out
    assert f"image: {IMAGE['id']}, digests {IMAGE['digests'][0]}" in output
    assert f"lock: requirements/cpu.txt {'ef' * 32}" in output
    pull, ours, _, plain = commands(output)
    assert pull == ["docker", "pull", IMAGE["digests"][0]]
    asked = [
        "--workload", "conv_only", "--arm", "torch-eager", "--arm", "torch-compile", "--device", "cpu", "--profile",
        "quick", "--data", "synthetic", "--seed", "7", "--budget", "600s", "--margin", "2%",
    ]  # fmt: skip
    held = ["--cpus", "1.5", "--memory", f"{4 * 2**20}k"]
    out, place = str(tmp_path / "results"), ["--data-dir", recipe.PLACE]
    assert ours == ["bench", "image", "run", "--image", IMAGE["id"], *held, *asked, "--out", out, *place]
    assert plain[:3] == ["docker", "run", "--rm"]
    assert plain[plain.index(IMAGE["id"]) :] == [IMAGE["id"], "run", *asked]
    assert set(held) < set(plain)
    assert f"{out}:/results" in plain
    assert "git checkout" not in output


def test_the_printed_image_command_is_one_that_bench_understands(tmp_path, capsys) -> None:
    run = in_image(tmp_path, cpu_quota=2.0, memory_limit_bytes=2**30, memory_bytes=2**34)
    Bench().reproduce(run, tmp_path / "results")
    _, ours, *_ = commands(capsys.readouterr().out)
    given = cli._parser().parse_args(ours[1:])
    assert (given.image, given.seed, given.budget, given.margin) == (IMAGE["id"], [7], 600.0, 0.02)
    assert (given.cpus, given.memory) == (2.0, 2**30)


def test_an_image_is_exact_only_where_it_can_be_had(tmp_path, capsys) -> None:
    run = in_image(tmp_path, image=IMAGE | {"digests": None}, git={"commit": "0" * 40, "dirty": True})
    Bench().reproduce(run, tmp_path / "results")
    output = capsys.readouterr().out
    assert "exact only where the image still is: no registry is known to have it" in output
    assert "not exact without that very image: the code had changes that were not committed" in output


def test_a_container_of_plain_docker_run_has_an_unknown_image_and_that_is_said(tmp_path, capsys) -> None:
    run = in_image(tmp_path, image=IMAGE | {"id": None, "digests": None})
    Bench().reproduce(run, tmp_path / "results")
    output = capsys.readouterr().out
    assert "image: id unknown: the container was started by plain docker run" in output
    assert "not exact: which image it was" in output
    assert f"git checkout {'0' * 40}" in output
    assert ["bench", "image", "build", "--device", "cpu"] in commands(output)


@pytest.mark.parametrize(
    ("budget", "quota", "held"),
    [
        (2, None, ["--cpuset-cpus", "0-1"]),
        (1, None, ["--cpuset-cpus", "0-0"]),
        (2, 1.5, ["--cpus", "1.5"]),
        (2, 6.0, ["--cpus", "6", "--cpuset-cpus", "0-1"]),
        (1, 0.4, ["--cpus", "0.4"]),
        (8, None, []),
    ],
)
def test_a_container_held_to_some_cores_is_printed_held_to_as_many(tmp_path, capsys, budget, quota, held) -> None:
    run = in_image(tmp_path, logical_cores=8, cpu_budget=budget, cpu_quota=quota)
    Bench().reproduce(run, tmp_path / "results")
    output = capsys.readouterr().out
    _, ours, _, plain = commands(output)
    for words in (ours, plain):
        limits = [
            word for name in ("--cpus", "--cpuset-cpus") if name in words for word in words[words.index(name) :][:2]
        ]
        assert limits == held
    assert cli._parser().parse_args(ours[1:]).cpuset_cpus == (held[-1] if "--cpuset-cpus" in held else None)
    assert (f"not exact: the container could use {budget} of 8 cores" in output) == ("--cpuset-cpus" in held)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("plain, with a comma", ["-v", "{}:/results"]),
        ("10:30", ["--mount", "type=bind,src={},dst=/results"]),
        ("10:30, noon", ["--mount", 'type=bind,"src={}",dst=/results']),
    ],
)
def test_the_printed_docker_run_makes_its_folder_and_mounts_it_whatever_its_name(
    tmp_path, capsys, name: str, option: list[str]
) -> None:
    out = tmp_path / name
    Bench().reproduce(in_image(tmp_path), out)
    *_, make, plain = commands(capsys.readouterr().out)
    assert make == ["mkdir", "-p", str(out)]
    wanted = [word.format(out) for word in option]
    assert plain[plain.index(wanted[0]) :][:2] == wanted
    assert f"{recipe.PLACE}:/data:ro" in plain


def test_the_seeds_that_were_asked_for_are_asked_for_again_without_those_that_a_study_added(tmp_path) -> None:
    arms = ("keras-tensorflow", "torch-eager")
    folder = make_book(tmp_path / "old", workloads=("conv", HEAD), arms=arms, untrained=("keras-jax",), seeds=3)
    run = record.read(folder / "run.json", record.Run)
    without = [cell for cell in run.plan if cell.arm != "keras-jax" or cell.block == 1]  # as a plan has an absent arm
    added = record.PlannedCell("s10", HEAD, arms[0], "cpu", 4, ("converge",), 60.0, "", 10)
    assert recipe.seeds(msgspec.structs.replace(run, plan=(*without, added))) == [0, 1, 2]
    assert recipe.seeds(msgspec.structs.replace(run, plan=())) == [run.seed]


def test_no_place_and_no_resume_of_the_stored_command_is_used_again(tmp_path, capsys) -> None:
    run = in_image(tmp_path, image=None)
    stored = ["bench", "run", "--out", "/somewhere", "--data-dir", "/mine", "--head", "logits", "--gate", "sigmoid"]
    edit(run / "run.json", command=tuple(stored))
    Bench().reproduce(run, Path("results"))
    for words in commands(capsys.readouterr().out):
        assert not {"/somewhere", "/mine", "--resume"} & set(words)
        if "--seed" in words:
            assert words[words.index("--head") + 1] == "logits"
            assert words[words.index("--gate") + 1] == "sigmoid"
            assert words[words.index("--out") + 1] == "results"


@pytest.mark.parametrize(
    "command",
    [
        ("rm", "-rf", "/"),
        ("bench", "image", "run"),
        ("bench", "run", "--frobnicate"),
        ("bench", "run", "--help"),
        ("bench", "run", "--seed", "\x1b[31m\nred"),
        ("bench", "run", "--\x1b[31m\nred"),
        (),
    ],
)
def test_a_command_line_that_is_none_of_a_run_is_refused_in_one_line(tmp_path, command: tuple[str, ...]) -> None:
    run = in_image(tmp_path)
    edit(run / "run.json", command=command)
    with pytest.raises(UsageError, match="its command line") as refused:
        Bench().reproduce(run, tmp_path / "results")
    assert str(refused.value).isprintable()


def test_hostile_words_of_a_record_stay_quoted_and_visible(tmp_path, capsys) -> None:
    hostile = "x; rm -rf $HOME `id` '\" \x1b[31m"
    folder = tmp_path / "results" / "old"
    run = make_run(folder, workloads=("conv_only",), arms=("torch-eager",), rename={"torch-eager": hostile}, rounds=9)
    edit(run / "run.json", environment={"image": IMAGE | {"id": hostile}, "locks": {"a\nb": hostile}})
    Bench().reproduce(run, tmp_path / "results")
    output = capsys.readouterr().out
    assert "\x1b" not in output
    for words in commands(output):
        if "--arm" in words:
            assert words[words.index("--arm") + 1] == hostile.replace("\x1b", "\\u001b")  # one word to a shell
            assert "rm" not in words


def test_a_run_that_was_cut_short_or_limited_is_told_from_an_exact_one(tmp_path, capsys) -> None:
    run = in_image(tmp_path, image=None, logical_cores=8, cpu_budget=2, git=None)
    next((run / "cells").iterdir()).unlink()
    edit(run / "run.json", finished=None)
    Bench().reproduce(run, tmp_path / "results")
    output = capsys.readouterr().out
    assert "not exact: the run is not finished, 1 of 12 planned cells are not there" in output
    assert "the run could use 2 of 8 cores; taskset" in output
    assert "not exact: the commit is unknown" in output
    assert "a run holds as many as its budget has time for" in output
    assert "git checkout" not in output
