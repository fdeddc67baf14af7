"""`bench image build` against an engine that says what it is told: progress, and failures in one line."""

import io
import json
import re
import tarfile

import fake_engine
import pytest
from rich.console import Console

from bench import cli
from bench.containers import build

STEPS = (
    {"stream": "Step 1/2 : FROM debian:bookworm-slim AS cpu\n"},
    {"stream": " ---> b499be34fda9\n"},
    {"stream": "error: of a step that went on all the same\n"},
    {"stream": "Step 2/2 : RUN make   all\n"},
    {"stream": "compiling\n"},
)
BUILD = ["image", "build", "--device", "cpu"]


@pytest.fixture
def engine(tmp_path, monkeypatch):
    with fake_engine.running(tmp_path) as engine:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{engine.socket}")
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-settings"))
        yield engine


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    folder = tmp_path / "checkout"
    (folder / "docker").mkdir(parents=True)
    (folder / "docker/Dockerfile").write_text("FROM scratch AS cpu\n")
    (folder / "secret").write_text("of nobody's business")
    (folder / "data").mkdir()
    (folder / "data/file").write_text("x")
    (folder / ".dockerignore").write_text("# comment\n*\n!data\n!docker\n")
    monkeypatch.setattr(build, "ROOT", folder)
    return folder


def failure(capsys) -> str:
    """What `bench` said on standard error, which was one line."""
    printed = capsys.readouterr().err
    assert printed.startswith("bench: ")
    assert printed.count("\n") == 1, printed
    return printed


def test_in_a_pipe_every_step_is_a_plain_line_and_the_end_names_id_and_size(engine, checkout, capsys):
    engine.builds(*STEPS, {"aux": {"ID": "sha256:1"}}, {"stream": "Successfully tagged bench:cpu\n"})
    assert cli.main(BUILD) == 0
    first, second, last = capsys.readouterr().out.splitlines()
    assert (first, second) == ("step 1/2, FROM debian:bookworm-slim AS cpu", "step 2/2, RUN make all")
    assert re.fullmatch(rf"bench:cpu is {fake_engine.IMAGE['Id']}, 4\.00 GB, built in \d+ s", last)


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_sees_how_many_steps_are_done_in_colour_unless_told_otherwise(no_color, engine, checkout):
    engine.builds(*STEPS)
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, no_color=no_color, width=100, color_system="standard")
    build.build(build.Recipe("cpu", "bench:cpu"), console, checkout)
    assert "1/2" in shown.getvalue()
    assert ("\x1b[3" in re.sub(r"\x1b\[3m", "", shown.getvalue())) is not no_color


def test_the_engine_gets_the_files_that_dockerignore_leaves_and_the_arguments(engine, checkout, monkeypatch):
    engine.builds(*STEPS)
    engine.answers["GET /images/mine:1/json"] = fake_engine.IMAGE
    words = ["--tag", "mine:1", "--base", "debian:other", "--data", str(checkout / "data")]
    assert cli.main(["image", "build", "--device", "gpu", *words]) == 0
    (body,) = [body for what, body in engine.asked if what == "POST /build"]
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        assert set(tar.getnames()) == {".dockerignore", "docker", "docker/Dockerfile", "data", "data/file"}
    (query,) = [query for what, query in engine.queries if what == "POST /build"]
    assert {name: query[name] for name in ("target", "t", "dockerfile")} == {
        "target": "gpu",
        "t": "mine:1",
        "dockerfile": "docker/Dockerfile",
    }
    assert json.loads(query["buildargs"]) == {"BASE": "debian:other", "DATA": "data"}  # COMMIT: it is no repository


@pytest.mark.parametrize(
    ("output", "error", "code", "said"),
    [
        (
            ["\x1b[91mERROR: No matching distribution found for torch==9\n\x1b[0m", "\n"],  # as the engine paints it
            "The command '/bin/sh -c make' returned a non-zero code: 2",
            1,
            "bench:cpu was not built: step 2/2, RUN make all: ERROR: No matching distribution found for torch==9 | The "
            "command '/bin/sh -c make' returned a non-zero code: 2",
        ),
        (["all of it\n"], "exit 3", 1, "bench:cpu was not built: step 2/2, RUN make all: all of it | exit 3"),
        ([], "write /x: no space left on device", 3, "bench:cpu: no space left on the disk of the Docker engine"),
        (["OSError: [Errno 28] No space left on device\n"], "exit 1", 3, "at step 2/2, RUN make all; free some"),
    ],
)
def test_a_step_that_fails_is_named_with_the_reason_in_one_line(output, error, code, said, engine, checkout, capsys):
    engine.builds(*STEPS, *({"stream": line} for line in output), {"errorDetail": {"message": error}, "error": error})
    assert cli.main(BUILD) == code
    assert said in failure(capsys)


def test_only_the_last_lines_that_say_why_are_told(engine, checkout, capsys):
    noise = [{"stream": f"error: {number}\n"} for number in range(50)]
    engine.builds(*STEPS, *noise, {"error": "exit 1"})
    assert cli.main(BUILD) == 1
    assert "RUN make all: error: 47 | error: 48 | error: 49 | exit 1" in failure(capsys)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--base", "no/such"], 2, "--base no/such: pull access denied"),
        ([], 1, "bench:cpu was not built: before its first step: pull access denied"),
    ],
)
def test_a_base_image_that_cannot_be_had_is_the_fault_of_who_named_it(words, code, said, engine, checkout, capsys):
    engine.builds({"error": "pull access denied for no/such, repository does not exist"})
    assert cli.main([*BUILD, *words]) == code
    assert said in failure(capsys)


def test_a_build_that_the_engine_refuses_is_one_line(engine, checkout, capsys):
    engine.answers["POST /build"] = (400, {"message": "failed to reach build target cpu in Dockerfile"})
    assert cli.main(BUILD) == 1
    assert "before its first step: failed to reach build target cpu in Dockerfile" in failure(capsys)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tag", "Bench"], "--tag Bench: invalid tag"),
        (["--data", "/etc"], "--data /etc: lies outside of the checkout"),
    ],
)
def test_what_is_named_wrong_is_2_before_anything_is_built(words, said, engine, checkout, capsys):
    assert cli.main([*BUILD, *words]) == 2
    assert said in failure(capsys)
    assert not [what for what, _ in engine.asked if what == "POST /build"]


def test_data_that_is_not_in_the_checkout_is_2(engine, checkout, capsys):
    assert cli.main([*BUILD, "--data", str(checkout / "data/nowhere")]) == 2
    assert "--data data/nowhere: no folder in" in failure(capsys)


def test_data_that_dockerignore_leaves_out_is_2_before_anything_is_built(engine, checkout, capsys):
    (checkout / "mine").mkdir()
    for folder in (checkout / "mine", checkout):
        assert cli.main([*BUILD, "--data", str(folder)]) == 2
        assert "expected data or docker/data in" in failure(capsys)
    assert not [what for what, _ in engine.asked if what == "POST /build"]


def test_outside_of_a_checkout_the_cure_is_a_checkout(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(build, "ROOT", tmp_path)
    assert cli.main(BUILD) == 3
    assert "no docker/Dockerfile" in failure(capsys)


def test_too_little_disk_is_said_before_the_build_and_a_rebuild_needs_less(
    engine, checkout, tmp_path, capsys, monkeypatch
):
    engine.builds(*STEPS)
    engine.answers["GET /info"] = {"DockerRootDir": str(tmp_path)}
    monkeypatch.setitem(build.SPACE_BYTES, "cpu", 10**18)
    assert cli.main(BUILD) == 3
    assert re.search(r"GB of disk are free .* 1000000000 GB needed; free some", failure(capsys))
    assert not [what for what, _ in engine.asked if what == "POST /build"]
    engine.answers["GET /images/json"] = [{"Id": "sha256:1"}]
    assert cli.main(BUILD) == 0
