"""The CPU image: built from a clean clone by the README's command, and run in every way the README promises."""

import json
import os
import re
import shlex
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import harness
import pytest

from bench import record
from bench.fleet.record import FILE, Fleet

pytestmark = pytest.mark.docker

IMAGE = "bench:cpu"
USER = "4321:8765"  # in no passwd file
SMALL = ["run", "--workload", "conv_only", "--arm", "torch-eager", "--profile", "smoke", "--data", "synthetic"]
SIZE_LIMIT_BYTES = 4.3e9  # what the image may take on a base of 0.37 GB; see the README
REBUILD_LIMIT_S = 20.0  # a promise to whoever changes the source: only the wheel is made and installed again
GIB = 2**30


@pytest.fixture(scope="session")
def clone(tmp_path_factory) -> Path:
    """A clean clone of this checkout's last commit."""
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip("no Docker engine answers here; start one, or leave these tests out with -m 'not docker'")
    folder = tmp_path_factory.mktemp("clone") / "bench"
    subprocess.run(["git", "clone", "--quiet", str(harness.ROOT), str(folder)], check=True)
    return folder


@pytest.fixture(scope="session")
def built(clone) -> str:
    """The name of the image that the README's build command makes in the clone."""
    subprocess.run(["sh", "-c", command_of_readme("docker build")], cwd=clone, check=True)
    return IMAGE


@pytest.fixture
def results(tmp_path) -> Path:
    """A folder that belongs to USER."""
    folder = tmp_path / "results"
    folder.mkdir()
    os.chown(folder, *map(int, USER.split(":")))
    return folder


@pytest.fixture
def home_of_user(tmp_path_factory) -> Iterator[Path]:
    """A folder every user may enter, that belongs to USER where this process may give it away."""
    with tempfile.TemporaryDirectory() as folder:
        if os.geteuid() == 0:
            os.chown(folder, *map(int, USER.split(":")))
        yield Path(folder)


def command_of_readme(start: str) -> str:
    """The first command of the README that begins so."""
    return next(line for line in (harness.ROOT / "README.md").read_text().splitlines() if line.startswith(start))


def docker(*words: str) -> tuple[int, str]:
    """Exit code, and standard output and error together, of one docker command."""
    done = subprocess.run(["docker", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def container(*words: str, options: tuple[str, ...] = ()) -> tuple[int, str]:
    """Exit code and output of a container that is removed after its end."""
    return docker("run", "--rm", *options, IMAGE, *words)


def mounted(results: Path, *more: str) -> tuple[str, ...]:
    """Options of a container that writes into `results` as USER."""
    return ("--user", USER, "--volume", f"{results}:/results", *more)


def last_line(output: str) -> str:
    return output.strip().splitlines()[-1]


def test_the_image_says_where_it_comes_from_and_runs_as_nobody_special(built, clone):
    config = json.loads(docker("image", "inspect", built)[1])[0]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=clone, capture_output=True, text=True).stdout.strip()
    labels = {name.rpartition(".")[2]: value for name, value in config["Config"]["Labels"].items()}
    version = re.search(r'^version = "(.+)"$', (clone / "pyproject.toml").read_text(), re.MULTILINE)
    assert labels["licenses"] == "Apache-2.0"
    assert labels["version"] == version[1]
    assert {"revision", "source", "title"} <= set(labels)
    assert config["Config"]["User"] not in ("", "root", "0")
    described = json.loads(docker("run", "--rm", "--entrypoint", "cat", built, "/opt/bench/image.json")[1])
    assert described["commit"] == commit
    assert described["dirty"] is False
    assert set(described["locks"]) == {"cluster.txt", "cpu.txt", "torch-cpu-image.txt"}


def test_the_image_is_as_small_as_promised(built):
    size = json.loads(docker("image", "inspect", built)[1])[0]["Size"]
    assert size < SIZE_LIMIT_BYTES


def test_a_change_of_the_source_rebuilds_the_image_in_seconds(built, clone):
    changed = clone / "bench/__init__.py"
    before = changed.read_text()
    changed.write_text(before + "# a change\n")
    try:
        started_s = time.monotonic()
        command = shlex.split(command_of_readme("docker build").replace(IMAGE, "bench-changed:cpu"))
        subprocess.run(command, cwd=clone, check=True)
        took_s = time.monotonic() - started_s
        shown = docker("run", "--rm", "--entrypoint", "cat", "bench-changed:cpu", "/opt/bench/image.json")[1]
    finally:
        changed.write_text(before)
        docker("image", "rm", "--force", "bench-changed:cpu")
    assert json.loads(shown)["dirty"] is True
    assert took_s < REBUILD_LIMIT_S


def test_every_arm_runs_for_a_stranger_in_a_read_only_container_of_one_core_and_four_gibibytes(built, results):
    limits = ("--read-only", "--tmpfs", "/tmp", "--network", "none", "--cpus", "1", "--memory", "4g")
    words = ("run", "--workload", "conv_only", "--profile", "smoke", "--data", "synthetic", "--budget", "20m")
    code, output = container(*words, options=mounted(results, *limits))
    assert code == 0, output
    run = harness.only_run(results.parent)
    stored, cells = harness.stored(run), harness.cells(run)
    assert {cell.arm for cell in cells.values()} == set(stored.arms)
    assert {cell.status for cell in cells.values()} == {"ok"}  # torch-compile too: its kernels lie in /results/.cache
    assert {cell.threads for cell in cells.values()} == {1}
    told = {cell.arm: cell.versions for cell in cells.values() if cell.block}
    for arm, versions in told.items():  # what the frameworks themselves say
        threads = {name: value for name, value in versions.items() if "threads" in name}
        assert threads, arm
        assert set(threads.values()) == {"1"}, arm
    assert stored.environment["cpu_budget"] == 1
    assert stored.environment["cpu_quota"] == 1.0
    assert stored.environment["memory_limit_bytes"] == 4 * GIB
    assert stored.environment["image"]["locks"]
    assert stored.environment["image"]["id"] is None  # nobody has told it
    assert {f"{path.stat().st_uid}:{path.stat().st_gid}" for path in [run, *run.rglob("*")]} == {USER}
    report = (run / "report.md").read_text()
    assert "bench report" not in last_line(output)
    assert stored.environment["git"]["commit"] in report


@pytest.mark.proof  # ten minutes, as whoever types it waits
def test_the_readmes_run_command_measures_every_arm_and_its_files_belong_to_who_ran_it(built, home_of_user):
    (home_of_user / "results").mkdir()
    who = {}
    if os.geteuid() == 0:  # somebody else, who may talk to the engine
        user, group = map(int, USER.split(":"))
        os.chown(home_of_user / "results", user, group)
        who = {"user": user, "group": group, "extra_groups": [Path("/var/run/docker.sock").stat().st_gid]}
    done = subprocess.run(
        ["sh", "-c", command_of_readme("docker run")],
        cwd=home_of_user,
        env={"PATH": os.environ["PATH"], "HOME": str(home_of_user)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **who,
    )
    assert done.returncode == 0, done.stdout
    run = harness.only_run(home_of_user)
    stored = harness.stored(run)
    assert stored.command == ("bench", "run", "--profile", "quick", "--budget", "10m")
    assert {arm.hole for arm in stored.arms.values()} == {None}
    cells = harness.cells(run).values()
    assert {cell.arm for cell in cells if cell.status == "ok"} == set(stored.arms)
    # On a slow machine the ten minutes end within the first block; nothing else may be missing from it.
    assert all(cell.status == "ok" or (cell.reason or "").startswith("budget spent") for cell in cells)
    owner = home_of_user.stat().st_uid
    assert {path.stat().st_uid for path in run.rglob("*")} == {owner}
    assert f"results/{run.name}/report.md" in done.stdout  # the path as it is outside


def compose() -> list[str]:
    """The program that reads compose files: the engine's plugin, or the one of before."""
    for program in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(program[0]) and not subprocess.run([*program, "version"], capture_output=True).returncode:
            return program
    raise AssertionError("neither docker compose nor docker-compose is here; install docker-compose")


@pytest.mark.proof  # it needs a program that not every engine brings along
def test_the_compose_file_brings_up_a_fleet_that_measures_and_reports(built, clone, results, tmp_path):
    program = [*compose(), "--project-name", "bench-fleet", "--file", "docker/fleet.compose.yaml"]
    chosen = {"BENCH_IMAGE": IMAGE, "BENCH_USER": USER, "RESULTS": str(results), "WORKER_CPUS": "1"}

    def asked(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*program, *words],
            cwd=clone,
            env=os.environ | chosen,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )

    try:
        up = asked("up", "--detach", "--scale", "worker=2", "worker")
        assert up.returncode == 0, up.stdout
        done = asked("run", "--rm", "driver", "run", "--cluster", "ray://head:10001", *SMALL[1:])
        assert done.returncode == 0, done.stdout
    finally:
        asked("down")
    fleet = harness.only_run(tmp_path)
    stored = record.read(fleet / FILE, Fleet)
    assert {machine.state for machine in stored.machines.values()} == {"took part"}
    assert len(stored.machines) == 2
    (name,) = stored.classes
    assert {cell.status for cell in harness.cells(fleet / name).values()} == {"ok"}
    assert (fleet / "report.html").exists()
    assert {f"{path.stat().st_uid}:{path.stat().st_gid}" for path in fleet.rglob("*")} == {USER}


def test_a_set_of_cores_bounds_the_threads(built):
    code, output = container("doctor", options=("--cpuset-cpus", "0"))
    assert code == 0, output
    assert re.search(r"cpu_budget\W+1\b", output), output


def test_results_that_cannot_be_written_are_one_line_with_the_cure(built, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o755)
    for options in (mounted(theirs), ("--read-only", "--tmpfs", "/tmp")):
        code, output = container(*SMALL, options=options)
        assert code == 2, output
        (line,) = output.strip().splitlines()
        assert "/results" in line
        assert '--user "$(id -u):$(id -g)"' in line


def test_without_a_folder_that_allows_execution_the_compiled_arm_is_a_hole_with_the_cure(built):
    places = ("--read-only", "--tmpfs", "/tmp", "--tmpfs", "/results:mode=1777")
    words = ("plan", "--profile", "smoke", "--workload", "conv_only")
    code, output = container(*words, options=places)
    assert code == 0, output
    (hole,) = (line for line in output.splitlines() if line.startswith("hole: "))
    assert hole.startswith("hole: torch-compile")
    assert "noexec" in hole
    assert "--tmpfs /tmp:exec" in hole
    allowed = ("--read-only", "--tmpfs", "/tmp:exec", "--tmpfs", "/results:mode=1777")
    code, output = container(*words, options=allowed)
    assert code == 0, output
    assert "hole: " not in output


def test_without_a_mount_the_report_is_on_screen_with_the_way_to_the_files(built):
    code, output = container(*SMALL)
    assert code == 0, output
    assert "SYNTHETIC" in output
    assert "torch-eager" in output
    assert re.search(r"docker cp [0-9a-f]{12}:/results/\S+", output), output


def test_a_run_comes_out_as_a_tar_stream(built, tmp_path):
    with (tmp_path / "run.tar").open("wb") as stream:
        done = subprocess.run(
            ["docker", "run", "--rm", IMAGE, *SMALL, "--stream"], stdout=stream, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / "run.tar") as archive:
        archive.extractall(tmp_path / "out", filter="data")
    (run,) = (tmp_path / "out").iterdir()
    assert harness.stored(run).finished is not None
    assert {cell.status for cell in harness.cells(run).values()} == {"ok"}
    assert (run / "report.md").is_file()


def test_real_data_is_found_at_data_without_a_network(built, real_data, results):
    words = ("run", "--workload", "conv_only", "--arm", "torch-eager", "--profile", "smoke")
    offline = ("--network", "none", "--volume", f"{real_data}:/data:ro")
    code, output = container(*words, options=mounted(results, *offline))
    assert code == 0, output
    run = harness.only_run(results.parent)
    source = harness.stored(run).workloads["conv_only"].data
    assert source.identity != "synthetic"
    assert all(len(file.sha256) == 64 for file in source.files)


def test_without_data_or_network_it_is_synthetic_and_says_so_and_real_data_is_refused(built, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "holiday.jpg").touch()
    code, output = container("data", options=("--network", "none", "--volume", f"{other}:/data:ro"))
    assert code == 0, output
    assert "/data" in output
    code, output = container(*SMALL[:-1], "real", options=("--network", "none"))
    assert code == 3, output
    assert "/data" in last_line(output)


def test_data_is_baked_in_at_build_time(built, clone, real_data):
    (clone / "data").mkdir(exist_ok=True)
    shutil.copy(real_data / "jena_climate_2020.csv.xz", clone / "data")
    command = [*shlex.split(command_of_readme("docker build").replace(IMAGE, "bench-baked:cpu"))]
    command[2:2] = ["--build-arg", "DATA=data"]
    try:
        subprocess.run(command, cwd=clone, check=True)
        _, output = docker("run", "--rm", "--network", "none", "bench-baked:cpu", "data", "--workload", "conv_only")
    finally:
        docker("image", "rm", "--force", "bench-baked:cpu")
        shutil.rmtree(clone / "data")
    assert "/opt/bench/data/jena_climate_2020.csv.xz" in output


def test_a_gpu_that_is_not_there_is_refused_in_one_line(built, tmp_path):
    code, output = container("run", "--device", "gpu")
    assert code == 3, output
    assert "--gpus all" in output
    assert len(output.strip().splitlines()) == 1
    # What the GPU image says of itself makes the GPU the default; nothing falls back to the CPU.
    described = json.loads(docker("run", "--rm", "--entrypoint", "cat", built, "/opt/bench/image.json")[1])
    (tmp_path / "image.json").write_text(json.dumps(described | {"device": "gpu"}))
    for words in ((), ("run", "--profile", "book"), ("doctor",)):
        options = ("--volume", f"{tmp_path / 'image.json'}:/opt/bench/image.json:ro")
        code, output = container(*words, options=options)
        assert code == 3, output
        assert "--gpus all" in output


def test_doctor_prints_the_bill_of_materials(built):
    code, output = container("doctor", options=("--network", "none"))
    assert code == 0, output
    for name in ("tensorflow", "torch", "jax", "keras", "libc6", "tini"):
        assert name in output
    assert "/opt/bench/sbom" in output


def test_docker_stop_ends_a_run_within_ten_seconds_with_everything_on_disk(built, results):
    words = ("run", "--workload", "conv_only", "--arm", "torch-eager", "--data", "synthetic", "--budget", "10m")
    name = f"bench-test-stop-{os.getpid()}"
    process = subprocess.Popen(
        ["docker", "run", "--name", name, *mounted(results), IMAGE, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        seen = []
        for line in process.stdout:  # until a cell is on disk and the next one has begun
            seen.append(line)
            if re.search(r"conv_only\.torch-eager\.cpu\.b0\d.*ok", line) or "b01.a2" in line:
                break
        stopped_s = time.monotonic()
        assert docker("stop", "--time", "10", name)[0] == 0
        took_s = time.monotonic() - stopped_s
        rest, _ = process.communicate(timeout=60)
        left = json.loads(docker("inspect", name)[1])[0]["State"]
    finally:
        process.kill()
        docker("rm", "--force", name)
    assert left["ExitCode"] == 130, "".join(seen) + rest
    assert took_s < 10
    run = harness.only_run(results.parent)
    stored = harness.stored(run)
    assert stored.ended_because == "interrupted"
    assert [cell.status for cell in harness.cells(run).values()].count("ok") >= 1
    assert f"run --resume {run.name}" in rest
    assert not list(run.rglob(".*"))  # nothing half written


def test_bench_image_run_knows_its_image_and_its_run_is_reported_and_reproduced_on_the_host(built, tmp_path):
    engine_id = json.loads(docker("image", "inspect", built)[1])[0]["Id"]
    process = harness.start_real(tmp_path, "image", "run", *SMALL[1:])
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    first = harness.only_run(tmp_path)
    stored = harness.stored(first)
    assert stored.environment["image"]["id"] == engine_id
    assert {path.stat().st_uid for path in first.rglob("*")} == {os.geteuid()}
    before = {path.name: path.read_bytes() for path in first.glob("*.md")}
    for words in (("report", str(first)), ("reproduce", str(first), "--yes")):
        process = harness.start_real(tmp_path, *words)
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 0, output
    assert {path.name: path.read_bytes() for path in first.glob("*.md")} == before  # whoever builds the report
    assert engine_id in output  # where it came from
    (second,) = (path for path in first.parent.iterdir() if path.name[0] != "." and path != first)
    assert harness.stored(second).environment["image"]["id"] == engine_id
    assert (second / "reproduction.md").is_file()
    assert not docker("ps", "--all", "--quiet", "--filter", "label=io.bench.owner")[1].strip()


ORPHAN = """
import os, pathlib, select, time
reading, writing = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.write(writing, str(os.getpid()).encode())
        select.select([], [], [], 0.2)
    os._exit(0)
os.wait()
orphan = int(os.read(reading, 20))
descriptor = os.pidfd_open(orphan)
select.select([descriptor], [], [])  # it has ended; its number goes when somebody has asked how
until = time.monotonic() + 20
while pathlib.Path(f"/proc/{orphan}").exists() and time.monotonic() < until:
    os.sched_yield()
print(pathlib.Path("/proc/1/comm").read_text().strip(), pathlib.Path(f"/proc/{orphan}").exists())
"""


def test_process_one_reaps_what_is_left_behind(built):
    assert json.loads(docker("image", "inspect", built)[1])[0]["Config"]["Entrypoint"] == ["tini", "--", "bench"]
    command = ("--entrypoint", "tini", built, "--", "/opt/cpu/bin/python", "-c", ORPHAN)
    assert docker("run", "--rm", *command) == (0, "tini False\n")
