"""What is asked of the GPU driver, with boards that do not answer everything."""

import os

import pynvml
import pytest
from fake_nvml import board, install, process

from bench import gpu
from bench.energy import Meter
from bench.errors import MachineError
from bench.sentinel import Sentinel

NO = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
DENIED = pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)


def window(root, boards, change, monkeypatch):
    """The window between two readings of the first board, which `change` alters in between."""
    install(monkeypatch, *boards)
    machine = Sentinel((0,), "gpu", lambda: 0.0, root)
    before = machine.read()
    change(boards[0])
    return machine.window(before, machine.read(), before.at_s)


def test_a_calm_board_gives_all_readings_and_no_taint(tmp_path, monkeypatch):
    found = window(tmp_path, [board()], lambda board: None, monkeypatch)
    assert found.taints == ()
    assert found.readings == {
        "gpu_clock_hz": 1.98e9,
        "gpu_power_w": 120.5,
        "gpu_temperature_c": 41.0,
        "gpu_throttle": 1.0,
        "gpu_ecc_errors": 0.0,
        "foreign_gpu_processes": 0.0,
    }


def test_a_foreign_process_that_comes_in_between_taints_and_the_measured_one_does_not(tmp_path, monkeypatch):
    own = process(os.getpid(), 3 * 2**30)

    def arrive(board):
        board["nvmlDeviceGetComputeRunningProcesses"] = [own, process(os.getppid())]

    found = window(tmp_path, [board(ComputeRunningProcesses=[own])], arrive, monkeypatch)
    assert found.readings["foreign_gpu_processes"] == 1
    assert found.readings["gpu_process_bytes"] == 3 * 2**30
    assert found.taints == ("1 other processes had the GPU open",)


def test_a_number_of_the_hosts_is_taken_for_the_measured_process_and_a_second_one_is_foreign(tmp_path):
    (tmp_path / "proc/77").mkdir(parents=True)
    mine, foreign = gpu.divided([process(40_001, 5), process(77)], own=(12,), root=tmp_path)
    assert ([each.pid for each in mine], [each.pid for each in foreign]) == ([40_001], [77])
    mine, foreign = gpu.divided([process(12), process(40_001)], own=(12,), root=tmp_path)
    assert ([each.pid for each in mine], [each.pid for each in foreign]) == ([12], [40_001])


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        (pynvml.nvmlClocksEventReasonHwSlowdown, "HW slowdown"),
        (pynvml.nvmlClocksEventReasonSwThermalSlowdown, "temperature (driver)"),
        (pynvml.nvmlClocksEventReasonHwThermalSlowdown, "temperature (hardware)"),
        (pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown, "power brake"),
        (pynvml.nvmlClocksEventReasonSyncBoost, "sync boost"),
    ],
)
def test_a_clock_that_something_lowers_taints_with_the_reason(tmp_path, monkeypatch, reason, word):
    def slow(board):
        board["nvmlDeviceGetCurrentClocksEventReasons"] = reason

    found = window(tmp_path, [board()], slow, monkeypatch)
    assert len(found.taints) == 1
    assert word in found.taints[0]
    assert int(found.readings["gpu_throttle"]) == reason | pynvml.nvmlClocksEventReasonGpuIdle  # both ends


@pytest.mark.parametrize(
    "reason",
    [
        pynvml.nvmlClocksEventReasonGpuIdle,
        pynvml.nvmlClocksEventReasonApplicationsClocksSetting,
        pynvml.nvmlClocksEventReasonSwPowerCap,
    ],
)
def test_an_idle_clock_a_set_clock_and_the_power_cap_are_no_taint(tmp_path, monkeypatch, reason):
    calm = board(CurrentClocksEventReasons=reason)
    assert window(tmp_path, [calm], lambda board: None, monkeypatch).taints == ()


def test_drivers_that_know_the_reasons_by_their_old_name_are_understood(tmp_path, monkeypatch):
    old = board(CurrentClocksEventReasons=NO, CurrentClocksThrottleReasons=0x40)
    assert "temperature (hardware)" in window(tmp_path, [old], lambda board: None, monkeypatch).taints[0]


def test_new_uncorrected_errors_taint_and_old_ones_do_not(tmp_path, monkeypatch):
    def fail(board):
        board["nvmlDeviceGetTotalEccErrors"] = 9

    assert window(tmp_path, [board(TotalEccErrors=7)], lambda board: None, monkeypatch).taints == ()
    found = window(tmp_path, [board(TotalEccErrors=7)], fail, monkeypatch)
    assert found.taints == ("the GPU's memory had 2 uncorrected errors",)


@pytest.mark.parametrize("error", [NO, DENIED])
@pytest.mark.parametrize(
    "query",
    [
        "ClockInfo",
        "PowerUsage",
        "Temperature",
        "CurrentClocksEventReasons",
        "TotalEccErrors",
        "ComputeRunningProcesses",
    ],
)
def test_a_query_that_is_not_answered_leaves_its_reading_out_and_all_others_in(tmp_path, monkeypatch, query, error):
    found = window(tmp_path, [board(**{query: error})], lambda board: None, monkeypatch)
    assert len(found.readings) == 5
    assert found.taints == ()


def test_the_devices_are_described_with_what_they_are_set_to(monkeypatch):
    install(monkeypatch, board(), board(MigMode=[1, 1], EccMode=NO, EnforcedPowerLimit=DENIED, PersistenceMode=0))
    found, problem = gpu.devices()
    assert problem is None
    assert found[0] == {
        "name": "Board",
        "driver": "580.1",
        "memory_bytes": 80 * 2**30,
        "ecc": True,
        "mig": False,
        "power_cap_w": 700.0,
        "persistence": True,
    }
    assert (found[1]["ecc"], found[1]["mig"], found[1]["power_cap_w"], found[1]["persistence"]) == (
        None,
        True,
        None,
        False,
    )


@pytest.mark.parametrize(
    ("visible", "chosen"),
    [
        (None, "GPU-aa11"),
        ("0", "GPU-aa11"),
        ("1,0", "GPU-bb22"),
        ("GPU-bb", "GPU-bb22"),
        ("MIG-7", "GPU-bb22"),
        ("MIG-8", None),
        ("", None),
        ("-1", None),
        ("5", None),
    ],
)
def test_the_gpu_is_the_first_that_cuda_visible_devices_names(monkeypatch, visible, chosen):
    second = board(UUID="GPU-bb22") | {"mig": ("MIG-7",)}
    install(monkeypatch, board(UUID="GPU-aa11"), type(board())(second))
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    handle = gpu.selected()
    assert (None if handle is None else handle["nvmlDeviceGetUUID"]) == chosen


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        (None, ["GPU-aa11", "GPU-bb22", "GPU-cc33"]),
        ("2,0", ["GPU-cc33", "GPU-aa11"]),
        ("1,GPU-aa", ["GPU-bb22", "GPU-aa11"]),
        ("1,7,0", ["GPU-bb22"]),  # as with CUDA, what comes after a name that there is not is hidden
        ("0,0", ["GPU-aa11"]),
        ("1,MIG-8", ["GPU-bb22"]),
        ("", []),
    ],
)
def test_the_visible_gpus_are_those_that_cuda_visible_devices_names_in_its_order(monkeypatch, visible, seen):
    install(monkeypatch, *(board(UUID=uuid) for uuid in ("GPU-aa11", "GPU-bb22", "GPU-cc33")))
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [handle["nvmlDeviceGetUUID"] for handle in gpu.visible()] == seen


def test_of_several_gpus_the_worst_is_watched_and_those_that_are_not_used_are_not(tmp_path, monkeypatch):
    boards = [board(), board(UUID="GPU-bb", ClockInfo=1200, Temperature=80), board(UUID="GPU-cc", ClockInfo=300)]
    boards[1]["nvmlDeviceGetComputeRunningProcesses"] = [process(os.getppid())]
    install(monkeypatch, *boards)
    machine = Sentinel((0,), "gpu", lambda: 0.0, tmp_path, gpus=2)
    before = machine.read()
    boards[1]["nvmlDeviceGetCurrentClocksEventReasons"] = pynvml.nvmlClocksThrottleReasonHwSlowdown
    found = machine.window(before, machine.read(), before.at_s)
    assert found.readings["gpu_clock_hz"] == 1.2e9
    assert found.readings["gpu_temperature_c"] == 80
    assert found.readings["gpu_power_w"] == 241
    assert found.taints == (
        "1 other processes had the GPU open",
        "the GPU slowed down: power or heat of the board (HW slowdown)",
    )


def test_the_energy_of_several_gpus_is_that_of_all_of_them(monkeypatch):
    boards = [board(), board(UUID="GPU-bb")]
    install(monkeypatch, *boards)
    now_s = iter((0.0, 2.0))
    meter = Meter("gpu", clock_s=lambda: next(now_s), count=2)
    meter.start()
    for place, each in enumerate(boards):
        each["nvmlDeviceGetTotalEnergyConsumption"] += 1000 * (place + 1)
    assert meter.stop(10).joules == 3
    assert Meter("gpu", count=3).problem


def test_the_library_is_started_once_in_a_process(monkeypatch):
    library = install(monkeypatch, board())
    gpu.devices()
    gpu.selected()
    gpu.require()
    assert library.started == 1


def test_without_a_driver_nothing_is_read_and_the_error_is_one_line_with_the_cure(tmp_path, monkeypatch):
    install(monkeypatch, problem=pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
    assert gpu.selected() is None
    assert Sentinel((0,), "gpu", lambda: 0.0, tmp_path).read().states == {}
    with pytest.raises(MachineError, match="load the NVIDIA driver") as caught:
        gpu.require()
    assert "\n" not in str(caught.value)
