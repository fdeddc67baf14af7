"""`bench reproduce`: what a run was obtained with is printed whole, run again exactly, compared, or refused."""

import os
import re
import shlex
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import harness
import msgspec
import pytest
from data_files import jena_lines, write_jena
from make_run import edit, make_run
from rich.console import Console

from bench import cli, environment, image, interpreters, means, recipe, record, reproduce
from bench.errors import MachineError, UsageError

JENA = "jena_climate_2009_2016.csv"
IMAGE = {
    "id": "sha256:" + "ab" * 32, "digests": ["example.org/bench@sha256:" + "cd" * 32], "device": "cpu", "version": "1",
    "commit": "0" * 40, "locks": {}, "base": "debian",
}  # fmt: skip
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


def appeared(folder: Path, old: Path) -> list[Path]:
    return [path for path in (folder / "results").iterdir() if path.name != old.name]


def commands(output: str) -> list[list[str]]:
    """The command lines that were printed, as a shell would read them."""
    lines = output[output.index("again:") :].splitlines()[1:]
    return [shlex.split(line) for line in lines if line.startswith("  ")]


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
    # Whether they overlap is the machine's affair: of 95 % intervals over three blocks some do not.
    assert re.search(r"\| fake-10ms +\| fake-1ms .+\| +(do not )?overlap +\|", page), page
    last = output.strip().splitlines()[-1]
    assert re.match(r"All intervals overlap: of 2 pairs|Of 2 pairs of arms the intervals of 1 do not", last), last
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
            assert (options["seed"], options["budget"], options["margin"]) == (5, 600.0, 0.9)
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
    assert re.search(
        r"\| conv_only \| fake-raises .+no model today.+\| +0 \| +\d \|", (new / reproduce.PAGE).read_text()
    )


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


class Bench:
    """What `bench reproduce` is given of the program around it: the real parser, and a `bench` that only listens."""

    def __init__(self, then: Callable[[], int] = lambda: 0) -> None:
        self.then, self.words = then, list[list[str]]()

    def invoke(self, words: Sequence[str]) -> int:
        self.words.append(list(words))
        return self.then()

    def reproduce(self, folder: Path, out: Path, *, again: bool = False, data_dir: Path | None = None) -> int:
        def parse(words: Sequence[str]) -> Any:
            return cli._options(cli._parser().parse_args(words), words)

        return reproduce.reproduce(
            folder, out, data_dir, again=again, parse=parse, invoke=self.invoke, console=Console(width=200)
        )


def in_image(folder: Path, **changes: Any) -> Path:
    """A simulated run that says it was measured in a container."""
    run = make_run(
        folder / "results" / "old", workloads=("conv_only",), arms=("torch-eager", "torch-compile"), rounds=9
    )
    known = {"image": IMAGE, "git": {"commit": "0" * 40, "dirty": False}, "code_digest": "c0de"}
    known |= {"locks": {"requirements/cpu.txt": "ef" * 32}}
    edit(run / "run.json", environment=known | changes)
    return run


@pytest.fixture(autouse=True)
def a_place_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("BENCH_DATA_DIR", "BENCH_IMAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))


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
    assert (given.image, given.seed, given.budget, given.margin) == (IMAGE["id"], 7, 600.0, 0.02)
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


def test_yes_runs_the_very_image_where_the_engine_has_it(tmp_path, capsys, monkeypatch) -> None:
    run = in_image(tmp_path)
    new = tmp_path / "results" / "new"

    def measure() -> int:
        shutil.copytree(run, new)
        edit(new / "run.json", id="new")
        return 1

    bench = Bench(measure)
    monkeypatch.setattr(means, "engine_has", lambda name: name == IMAGE["id"])
    files = record.read(run / "run.json", record.Run).workloads["conv_only"].data.files
    edit(run / "run.json", workloads=with_files(run, ()))  # synthetic data is of no file
    assert bench.reproduce(run, tmp_path / "results", again=True) == 1  # some of its cells failed
    assert len(files) == 1
    (words,) = bench.words
    assert words[:4] == ["image", "run", "--image", IMAGE["id"]]
    assert words[-2:] == ["--out", str(tmp_path / "results")]
    page = (new / reproduce.PAGE).read_text()
    assert page.startswith("# Run new (B) against run old (A)\n")
    assert page in capsys.readouterr().out


def with_files(run: Path, files: tuple[Any, ...]) -> dict[str, record.Workload]:
    workload = record.read(run / "run.json", record.Run).workloads["conv_only"]
    return {"conv_only": msgspec.structs.replace(workload, data=msgspec.structs.replace(workload.data, files=files))}


def test_data_for_a_container_is_checked_on_this_side(tmp_path, monkeypatch) -> None:
    run = in_image(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "simulated.npz").write_text("other")
    monkeypatch.setattr(means, "engine_has", lambda name: True)
    bench = Bench()
    with pytest.raises(UsageError, match="ab" * 32):
        bench.reproduce(run, tmp_path / "results", again=True, data_dir=tmp_path / "data")
    assert bench.words == []


def test_without_its_image_and_without_its_code_it_is_refused_and_both_are_named(tmp_path, monkeypatch) -> None:
    run = in_image(tmp_path)
    monkeypatch.setattr(means, "engine_has", lambda name: False)
    bench = Bench()
    with pytest.raises(MachineError, match=f"no image {IMAGE['id']}.+the code here has digest .+git checkout 000"):
        bench.reproduce(run, tmp_path / "results", again=True)
    assert bench.words == []


def test_without_its_image_the_same_code_measures_instead_and_says_so(tmp_path, capsys, monkeypatch) -> None:
    run = in_image(tmp_path, code_digest=interpreters.probe_self(), interpreters=packages())

    def refuse(name: str) -> bool:
        raise MachineError("no Docker engine answers")

    monkeypatch.setattr(means, "engine_has", refuse)
    edit(run / "run.json", workloads=with_files(run, ()))
    bench = Bench(lambda: 130)
    assert bench.reproduce(run, tmp_path / "results", again=True) == 130
    assert bench.words[0][0] == "run"
    output = capsys.readouterr().out
    assert "not in the image: no Docker engine answers; the code here is the same and measures instead" in output
    assert "Nothing was measured" in output


def test_inside_a_container_no_engine_is_asked(tmp_path, monkeypatch) -> None:
    run = in_image(tmp_path, code_digest=interpreters.probe_self(), interpreters=packages())
    edit(run / "run.json", workloads=with_files(run, ()))
    inside(tmp_path, monkeypatch, commit=None, dirty=None)
    monkeypatch.setattr(means, "engine_has", lambda name: pytest.fail("asked"))
    bench = Bench(lambda: 130)
    bench.reproduce(run, tmp_path / "results", again=True)
    assert bench.words[0][0] == "run"


def inside(folder: Path, monkeypatch: pytest.MonkeyPatch, **says: Any) -> None:
    """Makes this process believe that it runs in an image that says so of itself."""
    known = image.Image(**({"device": "cpu", "version": "1", "locks": {"cpu.txt": "ef"}, "base": "debian"} | says))
    path = folder / f"image-{len(list(folder.iterdir()))}.json"
    path.write_bytes(msgspec.json.encode(known))
    monkeypatch.setenv("BENCH_IMAGE", str(path))


def packages(installed: str | None = None) -> dict[str, Any]:
    """What a record holds of the interpreter for the simulated arms' framework: the one here, or another."""
    found = interpreters.summary("torch")
    return {"torch": found | {"installed": installed or found["installed"]}}


@pytest.mark.parametrize("known", [{}, None])
def test_without_its_image_the_same_code_over_other_packages_does_not_measure_instead(tmp_path, monkeypatch, known):
    then = packages("0123") if known is None else known
    run = in_image(tmp_path, code_digest=interpreters.probe_self(), interpreters=then)
    edit(run / "run.json", workloads=with_files(run, ()))
    monkeypatch.setattr(means, "engine_has", lambda name: False)
    bench = Bench()
    words = "the packages for torch here have hash .+ the run's 0123" if then else "does not know its Python packages"
    with pytest.raises(MachineError, match=f"no image {IMAGE['id']}.+{words}"):
        bench.reproduce(run, tmp_path / "results", again=True)
    assert bench.words == []


def test_the_same_code_does_not_stand_in_for_an_image_of_unknown_id(tmp_path, capsys) -> None:
    run = in_image(
        tmp_path,
        image=IMAGE | {"id": None, "digests": None},
        code_digest=interpreters.probe_self(),
        interpreters=packages(),
    )
    edit(run / "run.json", workloads=with_files(run, ()))
    bench = Bench()
    with pytest.raises(
        MachineError, match=r"image .+ unknown.+bench image build --device cpu.+bench image run"
    ) as told:
        bench.reproduce(run, tmp_path / "results", again=True)
    assert told.value.exit_code == 3
    assert bench.words == []
    assert ["bench", "image", "build", "--device", "cpu"] in commands(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("other", "same"), [({}, True), ({"commit": "1" * 40}, False), ({"locks": {"cpu.txt": "00"}}, False),
                        ({"dirty": True}, False), ({"dirty": None}, False), ({"commit": None}, False)],
)  # fmt: skip
def test_in_an_image_of_the_same_commit_and_locks_a_run_of_unknown_image_is_measured_again(
    tmp_path, monkeypatch, other: dict[str, Any], same: bool
) -> None:
    built = {"commit": "0" * 40, "dirty": False, "locks": {"cpu.txt": "ef"}}
    then = IMAGE | {"id": None, "digests": None} | built
    run = in_image(tmp_path, image=then, code_digest=interpreters.probe_self())
    edit(run / "run.json", workloads=with_files(run, ()))
    inside(tmp_path, monkeypatch, **(built | other))
    bench = Bench(lambda: 130)
    if same:
        assert bench.reproduce(run, tmp_path / "results", again=True) == 130
        assert bench.words[0][0] == "run"
    else:
        with pytest.raises(MachineError, match="unknown"):
            bench.reproduce(run, tmp_path / "results", again=True)
        assert bench.words == []


def test_only_the_image_of_the_very_id_is_the_runs_and_a_tag_is_not_followed(monkeypatch) -> None:
    class Engine:
        """Has one image under two names, as the real one."""

        def image(self, name: str) -> Mapping[str, Any] | None:
            return {"Id": IMAGE["id"]} if name in (IMAGE["id"], "sha256:" + "ab" * 31 + "aa", "bench:cpu") else None

    @contextmanager
    def connected() -> Iterator[Engine]:
        yield Engine()

    monkeypatch.setattr("bench.containers.engine.connected", connected)
    assert means.engine_has(str(IMAGE["id"]))
    assert not means.engine_has("bench:cpu")
    assert not means.engine_has("sha256:" + "ab" * 31 + "aa")
    assert not means.engine_has("sha256:" + "cd" * 32)


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


def test_before_an_image_measures_again_other_hardware_is_said_and_what_a_container_sets_is_not(
    tmp_path, capsys, monkeypatch
) -> None:
    here = {"cpu": "abacus", "logical_cores": 8, "cpu_budget": 8, "memory_bytes": 2**34, "gpus": [{"name": "H"}]}
    there = {"cpu": "one", "logical_cores": 4, "cpu_budget": 2, "memory_bytes": 2**33, "gpus": []}
    run = in_image(tmp_path, **there)
    edit(run / "run.json", workloads=with_files(run, ()))
    monkeypatch.setattr(environment, "describe", lambda: here)
    monkeypatch.setattr(means, "engine_has", lambda name: True)
    Bench(lambda: 130).reproduce(run, tmp_path / "results", again=True)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("not comparable: ")]
    assert [line.split(" is ")[0].removeprefix("not comparable: ") for line in said] == [
        "processor",
        "cores",
        "memory in bytes",
    ]
    edit(run / "run.json", device="gpu")
    Bench(lambda: 130).reproduce(run, tmp_path / "results", again=True)
    assert "not comparable: GPU is " in capsys.readouterr().out


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


def test_names_that_look_like_an_emoji_are_shown_as_they_are(tmp_path, capsys, monkeypatch) -> None:
    folder = tmp_path / "results" / "old"
    run = make_run(folder, workloads=("conv_only",), arms=("torch-eager",), rename={"torch-eager": ":x:"}, rounds=9)
    edit(run / "run.json", workloads=with_files(run, ()), environment={"image": IMAGE})
    monkeypatch.setattr(means, "engine_has", lambda name: True)

    def measure() -> int:
        shutil.copytree(run, folder.parent / "new")
        return 0

    assert Bench(measure).reproduce(run, folder.parent, again=True) == 0
    output = capsys.readouterr().out
    assert "--arm :x: " in output
    assert re.search(r"^\| :x: ", output, re.MULTILINE), output


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
