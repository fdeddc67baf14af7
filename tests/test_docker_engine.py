"""`bench image` with a real Docker engine, and an image whose `bench` is a small script."""

import fcntl
import io
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import uuid

import harness
import pytest
from rich.console import Console

from bench import cli
from bench.containers import build, owners
from bench.containers.engine import connected
from bench.errors import BenchError

pytestmark = pytest.mark.docker

SCRIPT = r"""#!/bin/sh
# Stands in for bench: says what it was given and where it is, then does what --seed tells.
case "$*" in *--stream*) printf 'tar\000\377\r\n'; echo aside >&2; exit 0 ;; esac
echo "words: $*"
echo "user: $(id -u):$(id -g)"
echo "network: $(ls /sys/class/net)"
echo "capabilities: $(grep CapEff /proc/self/status | tr -d '\t')"
env | grep '^BENCH_'
touch /results/made && echo "results: writable"
touch /root-is-writable 2>/dev/null && echo "root: writable"
touch /data/made 2>/dev/null && echo "data: writable"
[ -e /data/file ] && echo "data: $(cat /data/file)"
printf '#!/bin/sh\necho "tmp: executable"\n' > /tmp/program && chmod +x /tmp/program && /tmp/program
find / -xdev -name 'docker.sock' 2>/dev/null
if [ -t 1 ]; then
  while [ "$(stty size)" = "0 0" ]; do :; done
  echo "terminal: $(stty size)"
fi
case "$*" in
  *"--seed 90"*) trap 'echo told to end; exit 130' TERM; echo waiting; sleep infinity & wait ;;
  *"--seed 94"*) mkdir /results/begun && echo '{}' > /results/begun/run.json
                 trap 'exit 130' TERM; echo waiting; sleep infinity & wait ;;
  *"--seed 91"*) trap '' TERM; echo waiting; sleep infinity ;;
  *"--seed 92"*) exec tail /dev/zero ;;
  *"--seed 93"*) trap "exit 0" TERM; yes & wait ;;
  *"--seed "*) exit "$(echo "$*" | sed 's/.*--seed \([0-9]*\).*/\1/')" ;;
esac
"""
DOCKERFILE = """ARG BASE=debian:bookworm-slim
FROM ${BASE} AS cpu
LABEL io.bench.test=engine io.bench.device=cpu
COPY docker/bench /usr/local/bin/bench
RUN mkdir --mode 1777 /results
ENV HOME=/tmp BENCH_OFFLINE=1
ENTRYPOINT ["bench"]
FROM cpu AS broken
RUN echo going well && echo "fatal: it went wrong" >&2 && exit 3
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "docker").mkdir()
    (folder / "docker/bench").write_text(SCRIPT)
    (folder / "docker/bench").chmod(0o755)
    (folder / "docker/Dockerfile").write_text(DOCKERFILE)
    yield folder
    with connected() as engine:
        for image in engine.client.images(filters={"label": "io.bench.test=engine"}):  # and what is left of failed ones
            engine.client.remove_image(image["Id"], force=True)


@pytest.fixture(scope="module")
def image(checkout):
    tag = f"bench-test-{uuid.uuid4().hex[:12]}:cpu"
    build.build(build.Recipe("cpu", tag), Console(file=io.StringIO()), checkout)
    return tag


@pytest.fixture
def name():
    """A name for a container, which is removed whatever became of it."""
    name = f"bench-test-{uuid.uuid4().hex[:12]}"
    yield name
    with connected() as engine:
        for container in engine.client.containers(all=True, filters={"name": name}):
            engine.client.remove_container(container["Id"], force=True)


def found(name):
    """The container of this name as the engine inspects it; None where there is none."""
    with connected() as engine:
        listed = engine.client.containers(all=True, filters={"name": name})
        return engine.client.inspect_container(listed[0]["Id"]) if listed else None


def words(image, name, *more):
    return ["image", "run", "--image", image, "--name", name, "--data", "synthetic", *more]


def wait_for(process, line) -> str:
    """What a process has printed up to this line."""
    printed = ""
    for printed_line in process.stdout:
        printed += printed_line
        if printed_line.strip() == line:
            return printed
    raise AssertionError(f"ended without {line!r}: {printed}")


def test_the_built_image_is_there_and_every_step_was_a_line(checkout, capsys):
    tag, shown = f"bench-test-{uuid.uuid4().hex[:12]}:cpu", io.StringIO()
    made = build.build(build.Recipe("cpu", tag), Console(file=shown, width=300), checkout)
    with connected() as engine:
        assert engine.image(tag)["Id"] == made
        engine.client.remove_image(tag)
    lines = shown.getvalue().splitlines()
    assert [line.split(",")[0] for line in lines[:-1]] == [f"step {number}/7" for number in range(1, 8)]
    assert re.fullmatch(rf"{tag} is {made}, \d\.\d\d GB, built in .*", lines[-1])


def test_a_step_that_fails_is_named_with_what_it_printed(checkout, monkeypatch):
    monkeypatch.setitem(build.SPACE_BYTES, "broken", 0)
    recipe = build.Recipe("broken", "bench-test-broken:cpu")
    with pytest.raises(BenchError) as raised:
        build.build(recipe, Console(file=io.StringIO()), checkout)
    assert raised.value.exit_code == 1
    assert re.search(r"step 9/9, RUN echo going well .*: fatal: it went wrong \| .*code: 3$", str(raised.value))


def test_words_user_mounts_and_exit_code_go_through(image, name, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(os, "getuid", lambda: 12345)  # no user of that number in the image
    monkeypatch.setattr(os, "getgid", lambda: 23456)
    monkeypatch.setattr("bench.data.sources.named", lambda folder, *_: folder / "file")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_text("real data")
    (tmp_path / "data").chmod(0o777)
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o777)
    tmp_path.chmod(0o755)
    places = ["--out", str(tmp_path / "out"), "--data-dir", str(tmp_path / "data")]
    assert cli.main(["image", "run", "--image", image, "--name", name, *places, "--seed", "7"]) == 7
    lines = capfd.readouterr().out.splitlines()
    with connected() as engine:
        known = engine.image(image)["Id"]
    assert lines == [
        "words: run --data-dir /data --seed 7",
        "user: 12345:23456",
        "network: lo",
        "capabilities: CapEff:0000000000000000",
        *sorted([f"BENCH_IMAGE_ID={known}", "BENCH_IMAGE_DIGESTS=", "BENCH_OFFLINE=1"], key=lines.index),
        "results: writable",
        "data: real data",
        "tmp: executable",
    ]
    made = (tmp_path / "out/made").stat()
    assert (made.st_uid, made.st_gid) == (12345, 23456)
    assert found(name) is None


def test_a_running_container_is_held_to_its_limits_and_sees_no_socket(image, name, tmp_path):
    process = harness.start_real(tmp_path, *words(image, name, "--seed", "90", "--cpus", "0.5", "--memory", "64m"))
    printed = wait_for(process, "waiting")
    state = found(name)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    host = state["HostConfig"]
    assert (host["NanoCpus"], host["Memory"], host["ReadonlyRootfs"]) == (500_000_000, 64 * 2**20, True)
    assert host["NetworkMode"] == "none"
    assert [mount["Destination"] for mount in state["Mounts"]] == ["/results"]
    assert "docker.sock" not in str(state["HostConfig"]) + str(state["Mounts"]) + printed
    assert not host["Privileged"]
    assert (process.returncode, rest) == (130, "told to end\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_ends_the_container_cleanly_and_removes_it(number, image, name, tmp_path):
    process = harness.start_real(tmp_path, *words(image, name, "--seed", "90"))
    wait_for(process, "waiting")
    process.send_signal(number)
    rest, _ = process.communicate(timeout=60)
    assert (process.returncode, rest) == (130, "told to end\n")
    assert found(name) is None


def test_an_interrupted_run_says_how_to_go_on_with_it_here(image, name, tmp_path):
    process = harness.start_real(tmp_path, *words(image, name, "--seed", "94", "--cpus", "1", "--memory=64m"))
    wait_for(process, "waiting")
    process.terminate()
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    resumption = f"bench image run --resume {tmp_path}/results/begun --cpus 1 --memory 64m"
    assert rest == f"bench: go on with: {resumption}\n"


def test_a_container_that_does_not_end_when_told_is_killed(image, name, tmp_path):
    process = harness.start_real(tmp_path, *words(image, name, "--seed", "91"))
    wait_for(process, "waiting")
    process.terminate()
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.fullmatch(r"bench: the container did not end within 10 s and was killed; .*/results\n", rest)
    assert found(name) is None


def test_what_a_killed_bench_leaves_behind_is_removed_by_the_next(image, name, tmp_path):
    process = harness.start_real(tmp_path, *words(image, name, "--seed", "90"))
    wait_for(process, "waiting")
    process.kill()
    process.communicate()
    left = found(name)
    assert left["State"]["Running"]
    # Its name is free again by the time the next one is created.
    following = harness.start_real(tmp_path, *words(image, name, "--seed", "0"))
    printed, _ = following.communicate(timeout=60)
    assert following.returncode == 0
    assert f"removing container {left['Id'][:12]}, left behind by a bench that was killed" in printed
    assert found(name) is None


def test_a_name_in_use_is_2_and_leaves_its_container_alone(image, name, tmp_path, capfd):
    process = harness.start_real(tmp_path, *words(image, name, "--seed", "90"))
    wait_for(process, "waiting")
    assert cli.main([*words(image, name), "--out", str(tmp_path / "other")]) == 2
    assert capfd.readouterr().err.startswith(f"bench: --name {name}: a container of this name is there; name another")
    assert found(name)["State"]["Running"]
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_a_stream_goes_through_byte_for_byte_with_the_rest_aside(image, name, tmp_path):
    command = [sys.executable, "-m", "bench", *words(image, name, "--stream")]
    environment = harness.environment(tmp_path) | {"PYTHONPATH": str(harness.ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"tar\0\xff\r\n", b"aside\n")


def test_a_terminal_is_one_of_the_same_size_inside(image, name, tmp_path):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 41, 123, 0, 0))
    environment = harness.environment(tmp_path) | {"PYTHONPATH": str(harness.ROOT)}
    del environment["COLUMNS"]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", *words(image, name, "--seed", "0")],
        cwd=tmp_path, env=environment, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the terminal has no other end any more
            break
    os.close(ours)
    assert process.wait() == 0
    assert b"terminal: 41 123" in shown


def test_a_container_out_of_memory_is_one_line_and_1(image, name, tmp_path, capfd):
    assert cli.main([*words(image, name, "--seed", "92", "--memory", "32m"), "--out", str(tmp_path)]) == 1
    assert "bench: the container was killed, out of memory (--memory is 0.031 GiB)" in capfd.readouterr().err


def test_a_reader_that_goes_away_ends_the_container(image, name, tmp_path):
    process = harness.start_real(tmp_path, *words(image, name, "--seed", "93"))
    wait_for(process, "y")
    process.stdout.close()
    assert process.wait(timeout=60) == 1
    assert found(name) is None


def test_a_gpu_that_the_engine_cannot_give_is_3_with_the_cure(image, name, tmp_path, capfd):
    with connected() as engine:
        if "nvidia" in engine.client.info()["Runtimes"]:
            pytest.skip("this engine can give a GPU to a container")
    assert cli.main([*words(image, name, "--device", "gpu"), "--out", str(tmp_path)]) == 3
    printed = capfd.readouterr().err
    assert re.match(r"bench: --device gpu: the Docker engine cannot give a GPU .* NVIDIA Container Toolkit", printed)
    assert printed.count("\n") == 1
    assert found(name) is None


def test_an_image_of_something_else_is_2(name, tmp_path, capfd):
    assert cli.main([*words("debian:bookworm-slim", name), "--out", str(tmp_path)]) == 2
    assert "image debian:bookworm-slim: is no image of bench" in capfd.readouterr().err
    assert found(name) is None


def test_no_container_of_these_tests_is_left():
    with connected() as engine:
        assert not engine.client.containers(all=True, filters={"label": f"{owners.LABEL}={owners.me()}"})
