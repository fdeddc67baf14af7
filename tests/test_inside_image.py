"""What an image tells the suite that runs in it: its device, its places for data and caches, what it is made of."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import harness
import msgspec
import numpy as np
import pytest
from data_files import few_reviews, nobody, sha256, write_imdb
from rich.console import Console

from bench import bill, caches, cli, environment, handover, image, implementation, interpreters, record, stream
from bench.data import command, fetch, sources
from bench.errors import MachineError, UsageError
from bench.implementation import Arm

ROOT = Path(__file__).parent.parent
SAID = image.Image("gpu", "0.1.0", "c0ffee" * 6 + "c0ff", False, {"cpu.txt": "ab" * 32}, "debian:bookworm-slim")
REVIEWS = few_reviews()


@pytest.fixture
def inside(tmp_path, monkeypatch) -> Path:
    """As if in a GPU image; the folder of its places."""
    places = tmp_path / "image"
    places.mkdir()
    (places / "image.json").write_bytes(msgspec.json.encode(SAID))
    monkeypatch.setenv("BENCH_IMAGE", str(places / "image.json"))
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.setattr(image, "DATA", (places / "data", places / "baked"))
    for name in ("BENCH_DATA_DIR", "BENCH_IMAGE_ID", "BENCH_IMAGE_DIGESTS"):
        monkeypatch.delenv(name, raising=False)
    fetch._no_answer.cache_clear()
    return places


@pytest.fixture
def disk(tmp_path, request) -> Iterator[Path]:
    """A file system in memory, mounted with the options of the parameter."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", request.param, "bench-test", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"needs the right to mount a file system: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def locate(cache: Path, said: list[str], kind="auto"):
    return sources.locate(
        REVIEWS, kind=kind, data_dir=None, seed=0, cache=cache, say=said.append, remotes=fetch.REMOTES
    ).path


def test_outside_of_an_image_there_is_none_and_nothing_is_invented(monkeypatch):
    for name in ("BENCH_IMAGE", "BENCH_LOCKS"):
        monkeypatch.delenv(name, raising=False)
    assert image.here() is None
    described = environment.describe()
    assert described["image"] is None
    assert described["locks"] is None  # nobody has said what was installed from


def test_the_locks_are_those_that_whoever_installed_from_them_names(monkeypatch):
    monkeypatch.delenv("BENCH_IMAGE", raising=False)
    monkeypatch.setenv("BENCH_LOCKS", "cpu.txt bench.txt")
    folder = ROOT / "requirements"
    expected = {name: sha256((folder / name).read_bytes()) for name in ("cpu.txt", "bench.txt")}
    assert environment.describe()["locks"] == expected
    monkeypatch.setenv("BENCH_LOCKS", "other.txt")
    with pytest.raises(UsageError, match=r"BENCH_LOCKS: no other\.txt in .*requirements"):
        environment.describe()


@pytest.mark.parametrize("content", [None, b"{}", b'{"device": "tpu"}', b"nothing"])
def test_an_image_that_cannot_be_read_is_one_line_whatever_the_verb(tmp_path, monkeypatch, capsys, content):
    named = tmp_path / "image.json"
    if content is not None:
        named.write_bytes(content)
    monkeypatch.setenv("BENCH_IMAGE", str(named))
    assert cli.main(["data"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"bench: BENCH_IMAGE={named}: ")
    assert error.count("\n") == 1


def test_builds_with_other_packages_are_told_apart_and_rebuilt_ones_with_the_same_are_not(tmp_path):
    def bill(folder, serial, **versions):
        listed = [{"name": name, "version": version} for name, version in versions.items()]
        (tmp_path / folder).mkdir()
        content = json.dumps({"serialNumber": serial, "components": listed})
        (tmp_path / folder / "cpu.cdx.json").write_text(content)
        return image.contents(tmp_path / folder)

    first = bill("a", "1", numpy="2.3", jax="0.10")
    assert bill("b", "2", jax="0.10", numpy="2.3") == first
    assert bill("c", "1", numpy="2.4", jax="0.10") != first
    assert image.contents(tmp_path / "none") is None


def test_a_result_holds_what_the_image_is(inside, monkeypatch):
    found = environment.describe()
    assert found["image"] == {"id": None, "digests": None, "contents": None, **msgspec.to_builtins(SAID)}
    assert found["git"] == {"commit": SAID.commit, "dirty": False}
    assert found["locks"] == SAID.locks
    monkeypatch.setenv("BENCH_IMAGE_ID", "sha256:1234")
    monkeypatch.setenv("BENCH_IMAGE_DIGESTS", "bench@sha256:aa bench@sha256:bb")
    found = environment.describe()["image"]
    assert (found["id"], found["digests"]) == ("sha256:1234", ["bench@sha256:aa", "bench@sha256:bb"])


@pytest.mark.parametrize("verb", ["plan", "run", "doctor"])
def test_the_device_of_the_image_is_the_default_and_another_must_be_spelled_out(inside, verb):
    assert cli._parser().parse_args([verb]).device == "gpu"
    assert cli._parser().parse_args([verb, "--device", "cpu"]).device == "cpu"


def test_outside_of_an_image_the_default_device_is_the_cpu(monkeypatch):
    monkeypatch.delenv("BENCH_IMAGE", raising=False)
    assert cli._parser().parse_args(["run"]).device == "cpu"


def test_a_run_that_is_resumed_keeps_its_own_device_whatever_the_default(inside, tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr(cli.runner, "resume", lambda folder, stored, options, *rest: taken.append(options) or 0)
    monkeypatch.setattr(cli.runfolder, "find", lambda run, out: tmp_path)
    for device in ("cpu", "gpu"):
        stored = record.Run(
            record.SCHEMA, "r", "", ("bench", "run", "--seed", "3"), "quick", device, 3, None, {}, {}, (), {}
        )
        record.write(tmp_path / "run.json", stored)
        assert cli.main(["run", "--resume", "r"]) == 0
    assert [(options.device, options.seed) for options in taken] == [("cpu", 3), ("gpu", 3)]


def test_mounted_data_comes_before_the_cache_and_that_before_baked_in_data_file_by_file(inside, tmp_path):
    cache, mounted, baked = tmp_path / "cache", *image.DATA
    for folder in (cache, mounted, baked):
        folder.mkdir()
    baked_file = write_imdb(baked / "imdb.npz")
    (mounted / "jena_climate_2009_2016.csv").write_text("not reviews")
    assert locate(cache, []) == baked_file
    cached = write_imdb(cache / "imdb.npz")
    assert locate(cache, []) == cached
    mounted_file = write_imdb(mounted / "imdb.npz", y_train=np.ones(40, np.int64))
    assert locate(cache, []) == mounted_file


def test_without_data_auto_is_synthetic_and_the_line_says_what_the_mounted_folder_holds(inside, tmp_path):
    image.DATA[0].mkdir()
    for number in range(7):
        (image.DATA[0] / f"file{number}").write_text("")
    said: list[str] = []
    assert locate(tmp_path / "cache", said) is None
    (line,) = said
    mounted = f"{image.DATA[0]} (which holds file0, file1, file2, file3, file4 …)"
    assert f"is not in {mounted}, {tmp_path / 'cache'} or {image.DATA[1]} and was not" in line
    assert f"-v DIR:{image.DATA[0]}:ro" in line
    with pytest.raises(
        MachineError, match=f"^--data real: .*BENCH_OFFLINE is set.*-v DIR:{image.DATA[0]}:ro"
    ) as caught:
        locate(tmp_path / "cache", said, "real")
    assert "\n" not in str(caught.value)


def test_a_mounted_folder_that_this_user_may_not_enter_is_named_in_one_line(inside, tmp_path, monkeypatch, capsys):
    def closed(folder: Path, spec) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("bench.data.jena.find", closed)
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))
    assert cli.main(["data", "--workload", "conv_only"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"bench: {image.DATA[0]}: cannot be read (Permission denied); ")
    assert error.count("\n") == 1


def test_bench_data_lists_the_places_of_the_image_and_a_fetch_says_how_to_allow_it(inside, tmp_path):
    image.DATA[1].mkdir()
    path = write_imdb(image.DATA[1] / "imdb.npz")
    lines = command.describe([REVIEWS], data_dir=None, cache=tmp_path / "cache", remotes=nobody())
    places = [f"{image.DATA[0]}: nothing there", f"then cache {tmp_path / 'cache'}", f"then {path.parent}: imdb.npz"]
    assert lines[:3] == places
    assert lines[3].startswith(f"{path}: ")
    path.unlink()
    with pytest.raises(MachineError, match=r"BENCH_OFFLINE is set; unset it \(in a container: -e BENCH_OFFLINE=0\)"):
        command.download([REVIEWS], cache=tmp_path / "cache", say=print, remotes=nobody())


def test_the_cache_is_the_first_place_that_can_be_written_and_is_made_only_when_used(tmp_path):
    (tmp_path / "file").write_text("no folder")
    places = (tmp_path / "file" / ".cache", tmp_path / "there" / "cache", tmp_path / "other")
    caches.in_image.cache_clear()
    assert caches.in_image(places) == places[1]
    assert not places[1].exists()


@pytest.mark.parametrize("disk", ["noexec"], indirect=True)
def test_on_a_noexec_folder_arms_that_compile_are_holes_and_a_place_that_runs_code_is_preferred(
    disk, tmp_path, monkeypatch
):
    compiled = Arm("compiled", "fake", "tuned", "none:none", (), needs_compiler=True)
    monkeypatch.setenv("BENCH_CACHE_DIR", str(disk / "not" / "there" / "yet"))
    for device in ("cpu", "gpu"):
        reason = interpreters.hole(compiled, device) or ""
        assert reason.startswith(f"{disk}/not/there/yet is mounted noexec")
        assert "--tmpfs /tmp:exec" in reason
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path))
    assert "noexec" not in (interpreters.hole(compiled, "gpu") or "")
    assert caches.in_image((disk / "a", tmp_path / "b")) == tmp_path / "b"
    assert caches.in_image((disk / "a",)) == disk / "a"


def test_results_that_cannot_be_written_have_the_cure_of_a_container_before_anything_is_asked(
    inside, monkeypatch, capsys
):
    monkeypatch.setattr(interpreters, "probe", lambda framework: pytest.fail("asked"))
    assert cli.main(["run", "--device", "cpu", "--out", "/proc/results"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("bench: --out /proc/results: cannot be written (")
    assert 'mkdir -p results && docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/results:/results"' in line
    assert line.count("\n") == 1


def test_without_any_folder_for_temporary_files_every_verb_ends_in_one_line(monkeypatch, capsys):
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", none)
    for verb in ("plan", "run", "doctor", "data"):
        assert cli.main([verb]) == 3
        error = capsys.readouterr().err
        assert "--tmpfs /tmp:exec" in error
        assert error.count("\n") == 1


MOUNTS = """\
1 0 0:30 / / rw - overlay overlay rw
2 1 0:31 / /proc rw - proc proc rw
3 1 8:1 /home/me/results /results rw - ext4 /dev/sda1 rw
4 1 0:40 / /scratch rw - tmpfs tmpfs rw
5 1 8:1 / /with\\040space rw shared:5 master:1 - ext4 /dev/sda1 rw
6 1 0:41 /me/results /in/memory rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("folder", "lost"),
    [
        ("/results/run", False),
        ("/resultsother/run", True),
        ("/elsewhere/run", True),
        ("/scratch/run", True),
        ("/with space/run", False),
        ("/in/memory/run", False),  # of the host
    ],
)
def test_a_folder_goes_with_the_container_unless_a_file_system_of_the_host_is_mounted_there(tmp_path, folder, lost):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(MOUNTS)
    assert handover.goes_with_container(Path(folder), tmp_path) is lost


@pytest.mark.parametrize("disk", ["size=200m"], indirect=True)
def test_a_run_whose_folder_would_be_lost_ends_with_its_report_on_screen_and_how_to_save_it(inside, disk):
    words = [*harness.grid("fake-absent"), "--device", "cpu", "--out", str(disk)]
    code, output = harness.bench(disk.parent, "run", *words, BENCH_IMAGE=str(inside / "image.json"))
    assert code == 0, output
    (run,) = disk.iterdir()
    assert (run / "report.md").read_text() in output
    assert f":{run} . gets them out" in output
    code, output = harness.bench(disk.parent, "run", *words, BENCH_IMAGE="")
    assert code == 0, output
    assert "docker cp" not in output


def test_an_interrupted_run_without_a_report_still_says_how_to_save_its_files(inside, tmp_path, monkeypatch):
    monkeypatch.setattr(handover, "goes_with_container", lambda folder: True)
    monkeypatch.setattr("platform.node", lambda: "0123456789ab")
    console = Console(record=True, width=80)
    handover.show(tmp_path, console)
    (line,) = console.export_text().splitlines()
    assert f"docker cp 0123456789ab:{tmp_path.resolve()} . " in line


@pytest.mark.parametrize("lost", [True, False])
def test_a_run_whose_folder_the_next_container_will_not_have_is_copied_out_before_it_is_resumed(
    inside, tmp_path, monkeypatch, lost
):
    monkeypatch.setattr(handover, "goes_with_container", lambda folder: lost)
    monkeypatch.setattr("platform.node", lambda: "0123456789ab")
    told = handover.resume(tmp_path / "a run")
    assert told.endswith("behind the image's name: run --resume 'a run'")
    source = f"'0123456789ab:{tmp_path.resolve()}/a run'"
    assert (f"docker cp {source} results (if the container is still there), " in told) is lost
    assert ('-v "$PWD/results:/results"' in told) is lost


@pytest.mark.parametrize("lost", [True, False])
def test_a_tar_that_was_not_written_whole_says_where_the_run_still_is(inside, tmp_path, monkeypatch, capsys, lost):
    monkeypatch.setattr(handover, "goes_with_container", lambda folder: lost)
    monkeypatch.setattr("platform.node", lambda: "0123456789ab")
    run = tmp_path / "a run"
    run.mkdir()
    with Path("/dev/full").open("wb") as full:
        assert stream.send(run, full.fileno(), 0) == 1
    (line,) = capsys.readouterr().err.splitlines()
    kept = f"the run is kept; once more: bench report '{run}' --stream > run.tar"
    only = f"the run is only in the container: docker cp '0123456789ab:{run.resolve()}' . gets it out"
    assert ((kept in line), (only in line)) == (not lost, lost)


def write_bill(folder: Path) -> Path:
    parts = [
        {"name": "zlib1g", "version": "1:1.2.13", "licenses": [{"license": {"id": "Zlib"}}]},
        {"name": "zlib1g", "version": "1:1.2.13"},
        {"name": "adduser", "version": "3.134"},
        {"name": "adduser", "version": "3.134", "licenses": [{"expression": "GPL-2.0-only OR MIT"}]},
        {
            "name": "[red]odd",
            "licenses": [{"license": {"name": "License :: OSI Approved :: its own"}}, {"license": {}}],
        },
    ]
    path = folder / "debian.cdx.json"
    path.write_text(json.dumps({"bomFormat": "CycloneDX", "components": parts}))
    return path


def test_doctor_tells_who_the_image_is_and_every_component_with_version_and_licence(inside):
    path = write_bill(inside)
    (inside / "torch.cdx.json").write_text("{")
    console = Console(record=True, width=400)
    bill.show(console, inside)
    printed = console.export_text()
    assert f"image of unknown id: bench 0.1.0, commit {SAID.commit}, on debian:bookworm-slim" in printed
    assert f"{path}: 3 components" in printed
    assert "[red]odd (its own), adduser 3.134 (GPL-2.0-only OR MIT), zlib1g 1:1.2.13 (Zlib)" in printed
    assert f"{inside / 'torch.cdx.json'}: not a CycloneDX file" in printed


def test_doctor_outside_of_an_image_says_that_there_is_no_bill(monkeypatch):
    monkeypatch.delenv("BENCH_IMAGE", raising=False)
    console = Console(record=True)
    bill.show(console)
    assert console.export_text() == "no image, no SBOM\n"


def test_every_interpreter_is_told_with_a_hash_of_all_it_has_installed(monkeypatch):
    monkeypatch.syspath_prepend(str(harness.FAKES))
    monkeypatch.setenv("PYTHONPATH", str(harness.FAKES))
    implementation.arms.cache_clear()
    interpreters.probe.cache_clear()
    told = interpreters.summary("fake")["installed"]
    interpreters.probe.cache_clear()
    implementation.arms.cache_clear()
    assert len(told) == 16
    from bench.probe import installed_digest

    assert told == installed_digest()


def test_the_record_of_a_run_holds_all_that_is_needed_to_tell_what_was_measured(inside, tmp_path):
    words = [*harness.grid("fake-1ms"), "--device", "cpu"]
    more = {"BENCH_IMAGE": str(inside / "image.json"), "BENCH_IMAGE_ID": "sha256:1234"}
    code, output = harness.bench(tmp_path, "run", *words, **more)
    assert code == 0, output
    run = harness.only_run(tmp_path)
    stored = harness.stored(run)
    assert stored.environment["image"]["id"] == "sha256:1234"
    assert stored.environment["locks"] == SAID.locks
    assert stored.environment["git"]["commit"] == SAID.commit
    assert len(stored.environment["interpreters"]["fake"]["installed"]) == 16
    assert "cpu_quota" in stored.environment
    assert stored.command[:2] == ("bench", "run")
    assert all(cell.environment["OMP_NUM_THREADS"] for cell in harness.cells(run).values())
    report = (run / "report.md").read_text()
    for shown in ("sha256:1234", SAID.commit, SAID.locks["cpu.txt"], SAID.base):
        assert str(shown) in report
