"""Where `bench reproduce --yes` measures: in the very image, else with the same code and packages, else not at all."""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from make_run import edit, make_run
from reproducing import IMAGE, Bench, commands, in_image, inside, packages, with_files

from bench import environment, interpreters, means, record, reproduce
from bench.errors import MachineError, UsageError

pytestmark = pytest.mark.usefixtures("a_place_of_its_own")


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
