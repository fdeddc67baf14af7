"""Several devices: how they are asked for, who cannot, what a process is told, and what the report says of them."""

from pathlib import Path

import msgspec
import pytest
from harness import FAKES
from make_book import make_book
from make_cell import EXCHANGE
from make_run import edit, make_run
from read_report import rows, section, tables

from bench import catalogue, contest, environment, implementation, launch, parity, plan, record
from bench.cli import main
from bench.compare.differences import differences
from bench.contest import Contest, Options
from bench.errors import UsageError
from bench.implementation import launched
from bench.profiles import PROFILES
from bench.report import build
from impl_torch import launch as torch_launch
from impl_torch import member

DEVICES = (1, 2, 4)


@pytest.fixture(autouse=True)
def fake_arms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FAKES))
    implementation.arms.cache_clear()
    yield
    implementation.arms.cache_clear()


def entered(profile: str = "quick", **options) -> Contest:
    return contest.contest(Options(**options), PROFILES[profile])


def test_devices_enter_every_workload_with_its_batch_shared_out_and_with_a_batch_for_each() -> None:
    assert list(entered(workloads=("conv_only",), devices=DEVICES).workloads) == [
        "conv_only",
        "conv_only.devices-2",
        "conv_only.devices-4",
        "conv_only.batch-256.devices-2",
        "conv_only.batch-512.devices-4",
    ]


def test_whole_trainings_are_the_same_on_any_number_of_devices() -> None:
    found = entered("book", workloads=("conv",), arms=("torch-eager",), devices=(1, 2)).workloads
    assert list(found) == ["conv", "conv.devices-2"]
    assert {spec.batch_size for spec in found.values()} == {128}


@pytest.mark.parametrize(
    ("key", "sizes"),
    [("conv", (128, 40, 32, 8)), ("conv.batch-256", (256, 168, 136, 32)), ("conv_gru", (128,))],
)
def test_a_workload_knows_the_sizes_of_its_batches(key, sizes) -> None:
    assert catalogue.load(key).batch_sizes() == sizes


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("conv_only.devices-3", "--workload conv_only.devices-3: conv_only has batches of 128 samples, which do not"),
        ("conv.devices-16", "conv has batches of 40 samples, which do not divide by 16"),
        ("conv.devices-0", "no setting 'devices-0'"),
    ],
)
def test_batches_that_do_not_divide_are_refused_in_words(key, said) -> None:
    with pytest.raises(UsageError) as refused:
        catalogue.load(key)
    assert said in str(refused.value)


def test_one_device_is_the_spec_and_more_are_another_result() -> None:
    assert catalogue.load("conv.devices-1") == catalogue.load("conv")
    assert catalogue.load("conv.devices-2").digest() != catalogue.load("conv").digest()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--devices", "two"], "is no list of numbers of devices; expected one as in 1,2,4"),
        (["--devices", "1,2,2"], "--devices 2: named twice"),
        (["--devices", "1,2", "--sweep", "batch=64..128"], "--devices and --sweep: one run has room for one"),
        (["--devices", "1,3"], "which do not divide by 3"),
        (["--devices", "2,4"], "--devices 2,4: speedups are over one device; add 1"),
    ],
)
def test_devices_that_cannot_be_are_one_line_and_2(words, said, capsys) -> None:
    assert main(["plan", "--workload", "conv_only", *words]) == 2
    told = capsys.readouterr().err.strip()
    assert said in told
    assert len(told.splitlines()) == 1


def test_more_devices_than_cores_are_one_line_and_3_with_nothing_written(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(environment, "cpu_budget", lambda: 3)
    words = ["--workload", "conv_only", "--devices", "1,4", "--arm", "fake-1ms", "--data", "synthetic"]
    assert main(["run", *words, "--out", str(tmp_path / "out")]) == 3
    told = capsys.readouterr().err.strip()
    assert "4 devices asked for: only 3 CPU thread(s) allowed" in told
    assert len(told.splitlines()) == 1
    assert not list((tmp_path / "out").glob("*"))


def test_an_arm_without_an_engine_is_a_hole_where_there_are_several_devices() -> None:
    found = entered(workloads=("conv_only",), devices=(1, 2))
    assert found.hole("conv_only", "keras-torch") is None
    assert "Keras has no distribution for its PyTorch backend" in (
        found.hole("conv_only.devices-2", "keras-torch") or ""
    )
    able = [arm for arm in found.arms if found.hole("conv_only.devices-2", arm) is None]
    assert {"keras-tensorflow", "keras-jax", "torch-eager", "torch-compile"} <= set(able)


def test_every_device_has_the_same_share_of_the_threads(tmp_path) -> None:
    shared = launch.Launch(PROFILES["quick"], tmp_path, threads=9, seed=0, device="cpu", most_devices=4)
    assert [shared.threads_on(devices) for devices in DEVICES] == [2, 4, 8]
    one_process, each = implementation.arm("keras-jax"), implementation.arm("torch-eager")
    assert shared.environment(one_process, tmp_path / "a", 4)[0]["NPROC"] == "8"
    assert shared.environment(each, tmp_path / "b", 4)[0]["OMP_NUM_THREADS"] == "2"
    alone = launch.Launch(PROFILES["quick"], tmp_path, threads=9, seed=0, device="cpu")
    assert alone.threads_on(1) == 9


def test_the_gates_batches_divide_by_the_devices() -> None:
    sizes = {devices: parity.batch_size(catalogue.load(f"conv_only.devices-{devices}")) for devices in (1, 2, 4, 8, 16)}
    assert sizes == {1: 8, 2: 8, 4: 8, 8: 16, 16: 32}
    halves = [parity.batch_size(catalogue.load(f"conv_only.devices-{devices}"), 0.5) for devices in (1, 2, 4, 8)]
    assert halves == [4, 4, 4, 8]


def test_a_process_for_each_device_is_started_by_the_arms_launcher_and_only_the_first_reports() -> None:
    command = ["python", "-P", "-m", "pytest", "a.py", "--out=here", "--parent=7", "--benchmark-json=here/b.json"]
    arm = implementation.arm("torch-eager")
    assert launched(command, arm, 1) == command
    assert launched(command, arm, 2) == [*command[:3], "impl_torch.launch", "2", *command[3:]]
    assert launched(command, implementation.arm("keras-jax"), 2) == command
    assert torch_launch.parent_in(command) == 7
    assert torch_launch.parent_in(["bench.parity", "--parent", "8"]) == 8
    assert torch_launch.parent_in(["pytest"]) is None
    assert member.arguments_of(0, command[4:], 99) == [
        "a.py", "--out=here", "--parent=99", "--benchmark-json=here/b.json", "--place=0",
    ]  # fmt: skip
    assert member.arguments_of(1, command[4:], 99) == ["a.py", "--parent=99", "--place=1"]


HOLE = "Keras has no distribution for its PyTorch backend"


@pytest.fixture(scope="module")
def scaled(tmp_path_factory) -> Path:
    """One, two and four devices; an arm that cannot have several."""
    keys = list(entered(workloads=("conv_only",), arms=("torch-eager",), devices=DEVICES).workloads)
    arms = ("keras-jax", "keras-torch", "torch-eager")
    folder = make_run(tmp_path_factory.mktemp("runs") / "run", workloads=keys, arms=arms, blocks=4)
    for path in (folder / "cells").glob("*devices*keras-torch*.json"):
        edit(path, status="hole", reason=HOLE, pytest_benchmark={}, wall_s=0.0)
    build(folder)
    return folder


def test_the_report_shows_speedup_efficiency_and_communication_with_intervals(scaled: Path) -> None:
    text = section((scaled / "report.md").read_text(), "### conv_only on cpu")
    (table, *_) = tables(text)
    header, *found = table
    assert header == ["arm", "devices", "batch", "step ms", "speedup", "efficiency", "communication", "gradient"]
    of_arm = {(row[0], row[1], row[2].partition(",")[0]): row for row in found}
    assert ("torch-eager", "4", "512") in of_arm
    for (arm, devices, batch), row in of_arm.items():
        if devices == "1" or row[3].startswith("-"):
            continue
        # What was simulated: a step of the same work is EXCHANGE times as long on several devices.
        efficiency, low, high = (float(word.strip("[],")) for word in row[5].split())
        assert low < efficiency < high, (arm, devices, batch)
        assert efficiency == pytest.approx(1 / EXCHANGE, rel=0.04)  # blocks scatter by 1 %, a median of four by less
        share, low, high = (float(word.strip("[],%")) for word in row[6].replace(" %", "").split())
        assert low <= share <= high
        assert share == pytest.approx(100 * (1 - 1 / EXCHANGE), abs=3)
    for batch in (("2", "128"), ("4", "512")):
        assert HOLE in of_arm["keras-torch", *batch][3]


def test_the_figure_has_every_speedup_in_its_csv(scaled: Path) -> None:
    found = rows(scaled / "figures" / "devices-conv_only-cpu.csv")
    assert {(row["arm"], row["scaling"], row["devices"]) for row in found} == {
        (arm, scaling, devices)
        for arm in ("keras-jax", "torch-eager")
        for scaling in ("each batch shared out", "a whole batch for each device")
        for devices in ("2", "4")
    }
    assert (scaled / "figures" / "devices-conv_only-cpu.svg").exists()
    assert "## Scaling" not in (scaled / "report.md").read_text(), "larger batches on more devices are no sweep"


def test_a_workload_that_has_batches_of_its_own_is_compared_with_itself(tmp_path) -> None:
    keys = list(entered(workloads=("conv_only.batch-256",), devices=(1, 2)).workloads)
    assert keys == ["conv_only.batch-256", "conv_only.batch-256.devices-2", "conv_only.batch-512.devices-2"]
    folder = make_run(tmp_path / "run", workloads=keys, arms=("torch-eager",), blocks=2)
    build(folder)
    (table,) = tables(section((folder / "report.md").read_text(), "### conv_only.batch-256 on cpu"))
    assert [(row[1], row[2].partition(",")[0]) for row in table[1:]] == [("1", "256"), ("2", "256"), ("2", "512")]


def test_numbers_of_devices_come_in_another_order_in_every_block() -> None:
    found = entered(workloads=("conv_only", "conv_gru"), devices=(1, 2))
    orders = {tuple(plan.shuffled(found, number)) for number in range(1, 9)}
    assert len(orders) > 4
    for order in orders:
        assert sorted(order) == sorted(found.workloads)
        assert {name.partition(".")[0] for name in order[:3]} == {"conv_only"}, "what is paired stays together"


def test_whole_trainings_on_two_devices_are_judged_against_those_on_one_seed_by_seed(tmp_path) -> None:
    folder = make_book(tmp_path / "run", workloads=("conv", "conv.devices-2"), untrained=("keras-torch",), seeds=8)
    training = record.read(folder / "cells" / "conv.torch-eager.cpu.s1.devices-2.json", record.Cell)
    edit(folder / "cells" / f"{training.id}.json", curve=tuple(map(spoilt, training.curve)))
    build(folder)
    holes, judged = tables(section((folder / "report.md").read_text(), "### conv on cpu"))
    assert [(row[0], row[3]) for row in holes[1:]] == [("keras-torch", "- (hole: simulated hole)")]
    assert [(row[0], row[1], row[4], row[6]) for row in judged[1:]] == [
        (arm, "2", "0.01", "8") for arm in ("keras-tensorflow", "torch-eager")
    ]
    assert judged[1][2] == "EQUIVALENT"
    assert judged[2][2] != "EQUIVALENT", "one of its trainings on two devices is a tenth worse"


def spoilt(point: record.CurvePoint) -> record.CurvePoint:
    worse = point.validation | {"accuracy": point.validation["accuracy"] - 0.1}
    return msgspec.structs.replace(point, validation=worse)


def test_a_workload_on_several_devices_knows_what_it_is_compared_with() -> None:
    assert catalogue.on_one_device("conv_only.devices-2") == ("conv_only", "conv_only.batch-64")
    assert catalogue.on_one_device("conv_only.batch-256.devices-2") == ("conv_only.batch-256", "conv_only")
    assert catalogue.on_one_device("conv_only") == ()
    assert catalogue.family("conv.head-as_published.batch-256.devices-2") == "conv.head-as_published"


def test_runs_whose_devices_have_other_shares_of_the_threads_are_not_compared(tmp_path) -> None:
    folders = [make_run(tmp_path / name, workloads=["conv_only"], blocks=2) for name in ("a", "b")]
    a, b = (record.read(folder / "run.json", record.Run) for folder in folders)
    assert not [each for each in differences(a, b) if each.prevents]
    a, b = (msgspec.structs.replace(run, environment=run.environment | {"cpu_budget": 4}) for run in (a, b))
    b = msgspec.structs.replace(b, environment=b.environment | {"threads_per_device": 2})
    assert [each.what for each in differences(a, b) if each.prevents] == ["CPU threads of each device"]


def test_a_run_on_one_device_says_nothing_of_several(tmp_path) -> None:
    folder = make_run(tmp_path / "run", workloads=["conv_only", "conv_only.batch-256"], blocks=2)
    build(folder)
    text = (folder / "report.md").read_text()
    assert "## Several devices" not in text
    assert "## Scaling" in text


def test_a_record_without_devices_is_of_one(tmp_path) -> None:
    folder = make_run(tmp_path / "run", workloads=["conv_only"], blocks=2)
    assert record.read(folder / "run.json", record.Run).workloads["conv_only"].devices == 1
