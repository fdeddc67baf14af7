"""`bench image run` against engines that are missing, forbidden, too old or gone: one line and the right exit code."""

import argparse
import gc
import os
import re
import struct
import subprocess
import sys
import threading
from pathlib import Path

import fake_engine
import make_run
import msgspec
import pytest

from bench import cli, record
from bench.containers import owners, settings
from bench.containers.engine import connected
from bench.containers.settings import Order
from bench.errors import MachineError, UsageError

# The SDK forgets the socket of a connection that failed; it is collected here, and in no other file's test.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
CONTAINER = f"/containers/{'c' * 64}"
RUN = ["image", "run", "--data", "synthetic"]


@pytest.fixture(autouse=True)
def collected():
    yield
    gc.collect()


@pytest.fixture
def engine(tmp_path, monkeypatch):
    with fake_engine.running(tmp_path) as engine:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{engine.socket}")
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-settings"))
        monkeypatch.delenv("BENCH_DATA_DIR", raising=False)
        monkeypatch.delenv("BENCH_OFFLINE", raising=False)
        monkeypatch.chdir(tmp_path)
        yield engine


def one_line(capsys) -> str:
    """What `bench` said on standard error, which was one line."""
    printed = capsys.readouterr().err
    assert printed.startswith("bench: ")
    assert printed.count("\n") == 1, printed
    return printed


@pytest.mark.parametrize("words", [["build"], ["run"]])
def test_a_missing_sdk_is_one_line_with_the_cure_and_3(words, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "docker.api", None)  # a checkout's folder docker/ can be imported all the same
    assert cli.main(["image", *words]) == 3
    assert "pip install -e '.[image]'" in one_line(capsys)


@pytest.mark.parametrize(
    ("host", "code", "said"),
    [
        ("unix:///no/such.sock", 3, "no Docker engine answers at unix:///no/such.sock (No such file or directory)"),
        ("tcp://127.0.0.1:1", 3, "no Docker engine answers at tcp://127.0.0.1:1 (Connection refused)"),
        ("smoke://signals", 2, "DOCKER_HOST=smoke://signals"),
    ],
)
def test_an_engine_that_is_not_there_is_named_with_the_cure(host, code, said, monkeypatch, capsys, engine):
    monkeypatch.setenv("DOCKER_HOST", host)
    assert cli.main(RUN) == code
    printed = one_line(capsys)
    assert said in printed
    assert engine.asked == []  # DOCKER_HOST is respected


def test_an_engine_that_lets_this_user_not_in_names_its_group(engine):
    engine.socket.chmod(0)
    before = os.geteuid()
    if before == 0:  # whom no mode keeps out
        os.seteuid(65534)
    try:
        with pytest.raises(MachineError, match=r"no permission .*engine\.sock.* usermod -aG docker"), connected():
            pass
    finally:
        os.seteuid(before)


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ({"ApiVersion": "1.40"}, r"too old: it speaks API 1\.40, 1\.41 is needed; install Docker Engine 20\.10"),
        ({"ApiVersion": "1.12"}, r"too old: it speaks API 1\.12"),
        ({"Greeting": "hello"}, "is no Docker engine"),
        ({"ApiVersion": "new"}, "is no Docker engine"),
        ((200, b"<html>"), "no Docker engine"),
    ],
)
def test_an_engine_that_is_too_old_or_none_at_all_is_3(version, said, engine, capsys):
    engine.answers["GET /version"] = version
    assert cli.main(RUN) == 3
    assert re.search(said, one_line(capsys))
    assert {what for what, _ in engine.asked} == {"GET /version"}


def test_the_oldest_engine_that_is_allowed_and_a_much_newer_one_are_taken(engine):
    for version in ("1.41", "1.109"):
        engine.answers["GET /version"] = {"ApiVersion": version}
        with connected() as found:
            assert found.client.api_version == version
            assert found.socket == engine.socket


def test_image_run_has_every_option_of_bench_run(capsys):
    verbs = next(action for action in cli._parser()._actions if isinstance(action, argparse._SubParsersAction))
    image = next(action for action in verbs.choices["image"]._actions if isinstance(action, argparse._SubParsersAction))
    options = {name: {word for action in parser._actions for word in action.option_strings} for name, parser in [
        ("run", verbs.choices["run"]), ("image run", image.choices["run"])
    ]}  # fmt: skip
    assert len(options["run"]) > 15
    assert options["image run"] - options["run"] == {
        "--image",
        "--name",
        "--cpus",
        "--cpuset-cpus",
        "--memory",
        "--shm-size",
    }
    assert options["run"] - options["image run"] == {"--cluster"}, "a container of a run has no network"


def test_the_container_is_asked_for_with_nothing_it_does_not_need(engine, tmp_path, monkeypatch):
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setattr("bench.data.sources.named", lambda folder, *_: folder / "file")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("BENCH_SECRET", "not handed on")
    words = ["--profile", "smoke", "--out=out", "--data-dir", "data", "--cpus", "1.5", "--memory", "4g", "--seed=3"]
    assert cli.main(["image", "run", *words, "--name", "mine", "--data", "real"]) == 1  # the fake starts nothing
    asked, host = engine.created, engine.created["HostConfig"]
    assert asked["Image"] == fake_engine.IMAGE["Id"]  # and not a tag that may have moved meanwhile
    assert asked["Cmd"] == ["run", "--data-dir", "/data", "--profile", "smoke", "--seed=3", "--data", "real"]
    assert asked["User"] == f"{os.getuid()}:{os.getgid()}"
    assert asked["Labels"] == {"io.bench.owner": owners.me()}
    assert {"BENCH_IMAGE_ID=" + fake_engine.IMAGE["Id"], "NO_COLOR=1"} <= set(asked["Env"])
    assert "BENCH_IMAGE_DIGESTS=" + fake_engine.IMAGE["RepoDigests"][0] in asked["Env"]
    assert not [text for text in asked["Env"] if "BENCH_SECRET" in text]
    assert [(mount["Source"], mount["Target"], mount["ReadOnly"]) for mount in host["Mounts"]] == [
        (str(tmp_path / "out"), "/results", False),
        (str(data), "/data", True),
    ]
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"]) == (1_500_000_000, 2**32, 2**32)
    assert (host["NetworkMode"], host["ReadonlyRootfs"], host["CapDrop"]) == ("none", True, ["ALL"])
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert "exec" in host["Tmpfs"]["/tmp"].split(",")
    assert "Binds" not in host
    assert "DeviceRequests" not in host
    assert "Privileged" not in host


def test_a_network_is_given_only_where_the_caller_says_so(engine, monkeypatch):
    monkeypatch.setenv("BENCH_OFFLINE", "0")
    cli.main(RUN)
    assert engine.created["HostConfig"]["NetworkMode"] == "bridge"
    assert "BENCH_OFFLINE=0" in engine.created["Env"]


@pytest.mark.parametrize("words", [["--device", "gpu"], ["--image", "labelled"]])
def test_a_gpu_run_asks_for_all_gpus_and_shared_memory(words, engine):
    there = {**fake_engine.IMAGE, "Config": {"Labels": {"io.bench.device": "gpu"}}}
    engine.answers |= {"GET /images/bench:gpu/json": there, "GET /images/labelled/json": there}
    cli.main([*RUN, *words])
    host = engine.created["HostConfig"]
    assert [(request["Count"], request["Capabilities"]) for request in host["DeviceRequests"]] == [(-1, [["gpu"]])]
    assert host["ShmSize"] == 2**30


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--image", "nobody/has:this"], 2, "image nobody/has:this: .* bench image build"),
        (["--device", "gpu"], 3, "image bench:gpu: .* bench image build"),
        (["--cpus", "0"], 2, "--cpus: '0' is not a number of CPUs"),
        (["--memory", "4 gigs"], 2, "--memory: '4 gigs' is not a size"),
        (["--shm-size", "-1"], 2, "--shm-size"),
        (["--prof", "smoke"], 2, "--prof"),
        (["--out", "engine.sock/below"], 2, "--out .*: cannot be written"),
        (["--out", "."], 2, r"--out .*: holds the Docker engine's socket"),
        (["--data-dir", "nowhere", "--data", "real"], 2, "nowhere: no such folder"),
        (["--resume", "nothing"], 2, "nothing: no run there"),
    ],
)
def test_what_is_named_wrong_is_one_line_and_creates_nothing(words, code, said, engine, capsys):
    assert cli.main([*RUN, *words]) == code
    assert re.search(said, one_line(capsys))
    assert not [what for what, _ in engine.asked if what == "POST /containers/create"]


@pytest.mark.parametrize("option", ["--out", "--data-dir"])
def test_no_folder_around_the_engines_socket_is_ever_mounted(option, engine, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    folders = {"out": tmp_path / "out"} | {option.removeprefix("--").replace("-", "_"): tmp_path / "link"}
    with connected() as found, pytest.raises(UsageError, match=f"{option} .*: holds the Docker engine's socket"):
        settings.check_mounts(Order("bench:cpu", (), **folders), found)
    with connected() as found:
        settings.check_mounts(Order("bench:cpu", (), out=tmp_path / "out", data_dir=tmp_path / "data"), found)


@pytest.mark.parametrize(
    ("status", "message", "code", "said"),
    [
        (409, 'Conflict. The container name "/mine" is already in use by "c1"', 2, "--name mine: .* docker rm"),
        (400, "invalid mount config: bind source path does not exist: /out", 3, "does not see /out of this machine"),
        (400, "Range of CPUs is from 0.01 to 2.00, as there are only 2", 2, "Range of CPUs is from 0.01 to 2.00"),
    ],
)  # fmt: skip
def test_a_container_that_cannot_be_created_is_one_line(status, message, code, said, engine, capsys):
    engine.answers["POST /containers/create"] = (status, {"message": message})
    assert cli.main([*RUN, "--out", "out", "--name", "mine"]) == code
    assert re.search(said, one_line(capsys))


def play(engine, then=lambda: None) -> None:
    """Has the fake engine's container say `hello` once it is started, and then whatever `then` does."""
    started = threading.Event()

    def attach(handler) -> None:
        handler.wfile.write(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        started.wait(20)
        handler.wfile.write(struct.pack(">BxxxL", 1, 6) + b"hello\n")
        handler.close_connection = True
        then()

    def start(handler) -> None:
        handler.send_response(204)
        handler.end_headers()
        handler.close_connection = True
        started.set()

    engine.answers |= {f"POST {CONTAINER}/attach": attach, f"POST {CONTAINER}/start": start}


def test_an_engine_that_dies_while_the_container_runs_is_one_line_and_1(engine, capfd, tmp_path):
    play(engine, engine.socket.unlink)
    assert cli.main([*RUN, "--out", "out"]) == 1
    printed = capfd.readouterr()
    assert printed.out == "hello\n"
    removal, line = printed.err.splitlines()
    assert "could not be removed" in removal
    assert re.match(rf"bench: the Docker engine at .* stopped answering \(.*\).* is in {tmp_path}/out$", line)


@pytest.mark.parametrize(("out_of_memory", "code"), [(True, 1), (False, 137)])
def test_a_container_killed_for_its_memory_says_so(out_of_memory, code, engine, capfd):
    play(engine)
    state = {"OOMKilled": out_of_memory, "StartedAt": "2026-01-01T00:00:00Z"}
    engine.answers |= {f"POST {CONTAINER}/wait": {"StatusCode": 137}, f"GET {CONTAINER}/json": {"State": state}}
    assert cli.main([*RUN, "--out", "out", "--memory", "512m"]) == code
    printed = capfd.readouterr().err
    assert ("the container was killed, out of memory (--memory is 0.5 GiB)" in printed) == out_of_memory
    assert printed.count("\n") == out_of_memory


def test_a_container_that_somebody_removes_is_one_line_and_1(engine, capfd):
    play(engine)
    assert cli.main([*RUN, "--out", "out"]) == 1  # the fake knows nothing of the container any more
    assert re.match(r"bench: container c{12} was removed by somebody else; .*/out\n$", capfd.readouterr().err)


def test_a_container_is_abandoned_only_when_its_process_is_known_to_be_gone():
    boot, namespace, user, pid, start = owners.me().split()
    gone = subprocess.Popen(["true"])
    gone.wait()

    def judge(*parts, running=True, local=True):
        return owners.abandoned(" ".join(map(str, parts)), running=running, local=local)

    assert not judge(boot, namespace, user, pid, start)
    assert judge(boot, namespace, user, gone.pid, start)
    assert judge(boot, namespace, user, pid, int(start) - 1)  # the number belongs to another process by now
    assert not judge(boot, namespace, user, gone.pid, start, local=False)
    assert not judge(boot, namespace, int(user) + 1, gone.pid, start)
    assert not judge(boot, "pid:[1]", user, gone.pid, start)
    assert not judge("another-boot", namespace, user, pid, start)
    assert judge("another-boot", namespace, user, pid, start, running=False)
    assert not judge("a", "label", "of", "something")


def test_what_a_killed_bench_left_behind_is_removed_and_nothing_else(engine, capfd):
    boot, namespace, user, pid, start = owners.me().split()
    dead = f"{boot} {namespace} {user} {pid} {int(start) - 1}"
    engine.answers["GET /containers/json"] = [
        {"Id": "d" * 64, "State": "running", "Labels": {owners.LABEL: dead}},
        {"Id": "e" * 64, "State": "running", "Labels": {owners.LABEL: owners.me()}},
    ]
    with connected() as found:
        owners.sweep(found, lambda line: print(line, file=sys.stderr))
    assert [what for what, _ in engine.asked if what.startswith("DELETE")] == [f"DELETE /containers/{'d' * 64}"]
    assert "removing container dddddddddddd" in capfd.readouterr().err


def stored(folder, image) -> Path:
    """A run that was measured in this image."""
    run = make_run.make_run(folder / "20260101T000000Z-abcd", workloads=("conv_only",), blocks=1)
    made = record.read(run / "run.json", record.Run)
    changed = msgspec.structs.replace(made, environment={**made.environment, "image": image})
    record.write(run / "run.json", changed)
    return run


@pytest.mark.parametrize("named", [[], ["--image", "bench:cpu"]])
def test_a_resume_goes_on_in_the_image_and_the_folder_of_the_run(named, engine, tmp_path):
    run = stored(tmp_path / "elsewhere", {"id": fake_engine.IMAGE["Id"], "digests": None})
    there = engine.answers["GET /images/bench:cpu/json"]
    engine.answers[f"GET /images/{fake_engine.IMAGE['Id']}/json"] = there
    cli.main(["image", "run", "--resume", str(run), *named])
    assert engine.created["Cmd"] == ["run", "--resume", run.name]
    assert engine.created["HostConfig"]["Mounts"][0]["Source"] == str(run.parent)


@pytest.mark.parametrize(
    ("image", "words", "code", "said"),
    [
        (None, [], 2, "was not measured in a container; use bench run --resume"),
        ({"id": None, "digests": None}, [], 2, "does not know the image it was measured in"),
        ({"id": "sha256:other", "digests": None}, ["--image", "bench:cpu"], 2, "the run was measured in sha256:other"),
        ({"id": "sha256:other", "digests": None}, [], 3, "image sha256:other: the Docker engine .* does not have it"),
    ],
)
def test_a_resume_in_another_image_is_refused(image, words, code, said, engine, tmp_path, capsys):
    run = stored(tmp_path / "results", image)
    assert cli.main(["image", "run", "--resume", run.name, *words]) == code
    assert re.search(said, one_line(capsys))
    assert not [what for what, _ in engine.asked if what == "POST /containers/create"]


def test_an_image_of_something_else_is_not_run(engine, tmp_path, capsys):
    engine.answers["GET /images/theirs/json"] = {**fake_engine.IMAGE, "Config": {"Labels": None}}
    assert (
        cli.main(["image", "run", "--image", "theirs", "--data", "synthetic", "--out", str(tmp_path / "results")]) == 2
    )
    assert "image theirs: is no image of bench" in one_line(capsys)
    assert not [what for what, _ in engine.asked if what.startswith("POST")]


def test_under_root_the_container_runs_as_the_owner_of_the_results(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 0)
    owner = tmp_path.stat()
    assert settings._who(tmp_path) == (owner.st_uid, owner.st_gid, [])
    if os.geteuid() == 0:
        os.chown(tmp_path, 4321, 8765)
        assert settings._who(tmp_path) == (4321, 8765, [])
