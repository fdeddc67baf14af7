"""What is wrong with a machine is found before a measurement, by the same thresholds, each with its cure."""

import os
from types import SimpleNamespace

import harness
import psutil
import pynvml
import pytest
from fake_nvml import board, install, process
from rich.console import Console

from bench import checkup, doctor, environment, gpu, sentinel
from bench.checkup import Busy
from bench.cli import main
from bench.energy import Meter
from bench.record import Window
from bench.sentinel import Reading, Sentinel

CALM = {"busy_s": 0.05, "idle_s": 1.95, "steal_s": 0.0, "own_s": 0.02, "throttled_s": 0.0}
CALM |= {"swapped_pages": 0.0, "memory_stall_s": 0.0, "thermal_throttles": 0.0}
AT_REST = {"memory_available_bytes": 2.0**34, "frequency_hz": 3e9, "frequency_min_hz": 3e9, "frequency_max_hz": 3e9}


def watched(states=AT_REST, **counts) -> Window:
    """A second of two calm cores, but for what is given."""
    nothing = Reading(10.0, dict.fromkeys(CALM, 0.0), states)
    return Sentinel((0, 1), "cpu").window(nothing, Reading(11.0, CALM | counts, states), 10.0)


def by_name(checks):
    return {check.name: check for check in checks}


def of_cpu(window, root, busy=()):
    return by_name(checkup.of_cpu(window, busy, (0, 1), root))


def put(root, path, text):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.fixture
def no_swap(monkeypatch):
    monkeypatch.setattr(psutil, "swap_memory", lambda: SimpleNamespace(used=0))


def test_a_calm_machine_is_well_and_needs_no_cure(tmp_path, no_swap):
    put(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n")
    checks = checkup.of_cpu(watched(), (), (0, 1), tmp_path) + checkup.of_memory(watched())
    assert len(checks) == 8
    assert {check.verdict for check in checks} == {"ok"}
    assert not any(check.cure for check in checks)


def test_load_from_others_names_the_busiest_first_and_says_what_to_end(tmp_path):
    busy = [Busy(7, "idler", 0.001), Busy(8, "indexer", 0.2), Busy(9, "compiler", 0.9)]
    check = of_cpu(watched(busy_s=1.12, idle_s=0.88), tmp_path, busy)["other processes"]
    assert check.found == "1.10 of a core; compiler (9) 0.90; indexer (8) 0.20"
    assert (check.verdict, check.cure) == ("disturbs", "end compiler (9) or let it finish")


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("hypervisor", {"steal_s": 0.5, "idle_s": 1.45}),
        ("cgroup quota", {"throttled_s": 0.4}),
        ("frequency", {"thermal_throttles": 3.0}),
        ("swap", {"swapped_pages": 500.0}),
        ("memory pressure", {"memory_stall_s": 0.1}),
    ],
)
def test_what_would_taint_a_round_disturbs_and_has_a_cure_and_nothing_else_does(tmp_path, no_swap, name, counts):
    window = watched(**counts)
    checks = checkup.of_cpu(window, (), (0, 1), tmp_path) + checkup.of_memory(window)
    assert len(window.taints) == 1
    assert {check.name for check in checks if check.verdict == "disturbs"} == {name}
    assert all(check.cure and "\n" not in check.cure for check in checks if "disturb" in check.verdict)


def test_a_governor_that_saves_power_and_a_limit_of_the_frequency_have_their_commands(tmp_path):
    put(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n")
    put(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq", "2000000\n")
    put(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "3600000\n")
    checks = of_cpu(watched(), tmp_path)
    assert (checks["governor"].found, checks["governor"].verdict) == ("powersave", "may disturb")
    assert "performance" in checks["governor"].cure
    assert "limited to 2.00 of 3.60 GHz" in checks["frequency"].found
    assert checks["frequency"].cure == "sudo cpupower frequency-set -u 3600000kHz"


def test_what_cannot_be_read_is_said_with_the_reason_and_is_not_well(tmp_path, no_swap):
    nothing = Window(0.0, 1.0, {})
    checks = checkup.of_cpu(nothing, (), (0, 1), tmp_path) + checkup.of_memory(nothing)
    unreadable = {check.name for check in checks if check.verdict == "not readable here"}
    assert unreadable == {"other processes", "cgroup quota", "governor", "frequency", "memory pressure"}
    assert all(check.found for check in checks)


def test_swap_that_lies_still_may_disturb_and_too_little_memory_does(monkeypatch):
    total = psutil.virtual_memory().total
    monkeypatch.setattr(psutil, "swap_memory", lambda: SimpleNamespace(used=total // 2))
    checks = by_name(checkup.of_memory(watched(AT_REST | {"memory_available_bytes": 2.0**28})))
    assert checks["swap"].verdict == "may disturb"
    assert checks["memory"].found.startswith("0.2 GiB available, a cell takes up to ")
    assert checks["memory"].verdict == "disturbs"


@pytest.mark.parametrize("version", [1, 2])
def test_memory_that_others_use_in_the_control_group_is_not_available(tmp_path, no_swap, version):
    folder = "sys/fs/cgroup/memory/box" if version == 1 else "sys/fs/cgroup/box"
    limit, usage = ("limit_in_bytes", "usage_in_bytes") if version == 1 else ("max", "current")
    put(tmp_path, "proc/self/cgroup", "3:memory:/box\n" if version == 1 else "0::/box\n")
    put(tmp_path, f"{folder}/memory.{limit}", f"{12 * 2**30}\n")
    put(tmp_path, f"{folder}/memory.{usage}", f"{12 * 2**30 - 2**28}\n")
    cached = f"{'total_' if version == 1 else ''}inactive_file"
    put(tmp_path, f"{folder}/memory.stat", f"anon 5\n{cached} {2**28}\n")
    check = by_name(checkup.of_memory(watched(), tmp_path))["memory"]
    assert check.found.startswith("0.5 GiB available under the limit of the control group, a cell takes up to ")
    assert check.verdict == "disturbs"
    assert "--memory" in check.cure
    put(tmp_path, f"{folder}/memory.{usage}", f"{2**30}\n")
    check = by_name(checkup.of_memory(watched(), tmp_path))["memory"]
    assert (check.verdict, check.cure) == ("ok", "")


def test_energy_that_cannot_be_read_has_its_cure_apart(tmp_path):
    check = checkup.of_energy(Meter("cpu", tmp_path))
    assert check.verdict == "not readable here"
    assert check.found.startswith("no RAPL in ")
    assert "modprobe" in check.cure


def gpu_checks(tmp_path, monkeypatch, one):
    install(monkeypatch, one)
    machine = Sentinel((0,), "gpu", lambda: 0.0, tmp_path)
    before = machine.read()
    return by_name(checkup.of_gpu(gpu.selected(), machine.window(before, machine.read(), before.at_s)))


def test_a_calm_gpu_is_well(tmp_path, monkeypatch):
    checks = gpu_checks(tmp_path, monkeypatch, board(PowerManagementDefaultLimit=700_000))
    assert {check.verdict for check in checks.values()} == {"ok"}
    assert checks["GPU clock"].found == "1980 MHz, 120 W, 41 °C"


def test_all_that_can_be_wrong_with_a_gpu_is_found_and_has_a_cure(tmp_path, monkeypatch):
    bad = board(
        ComputeRunningProcesses=[process(os.getppid())],
        CurrentClocksEventReasons=pynvml.nvmlClocksEventReasonHwThermalSlowdown,
        EnforcedPowerLimit=450_000,
        PowerManagementDefaultLimit=700_000,
        MigMode=[1, 1],
        PersistenceMode=0,
    )
    checks = gpu_checks(tmp_path, monkeypatch, bad)
    verdicts = {name: check.verdict for name, check in checks.items()}
    assert verdicts == {
        "GPU processes": "disturbs",
        "GPU clock": "disturbs",
        "GPU ECC": "ok",
        "GPU power cap": "may disturb",
        "GPU MIG": "may disturb",
        "GPU persistence": "may disturb",
    }
    assert all(check.cure for check in checks.values() if check.verdict != "ok")
    assert "temperature (hardware)" in checks["GPU clock"].found
    assert checks["GPU power cap"].found == "450 W, 700 W by default"
    assert checks["GPU power cap"].cure == "sudo nvidia-smi -pl 700"


def test_old_errors_of_the_gpus_memory_are_a_remark_and_only_new_ones_disturb(tmp_path, monkeypatch):
    one = board(TotalEccErrors=3)
    old = gpu_checks(tmp_path, monkeypatch, one)["GPU ECC"]
    assert (old.verdict, old.found) == ("remark", "3 uncorrected errors since the driver was loaded; ECC on")
    machine = Sentinel((0,), "gpu", lambda: 0.0, tmp_path)
    before = machine.read()
    one["nvmlDeviceGetTotalEccErrors"] = 4
    window = machine.window(before, machine.read(), before.at_s)
    assert by_name(checkup.of_gpu(one, window))["GPU ECC"].verdict == "disturbs"


def test_a_gpu_that_tells_nothing_is_not_called_well(tmp_path, monkeypatch):
    checks = gpu_checks(tmp_path, monkeypatch, type(board())())
    assert {check.verdict for check in checks.values()} == {"not readable here"}


def test_doctor_prints_every_check_of_this_machine(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("bench.doctor.LOOK_S", 0.0)
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    for name in ("other processes", "cgroup quota", "governor", "frequency", "swap", "memory pressure", "energy"):
        assert f"│ {name} " in printed


def test_doctor_tells_the_space_for_a_folder_that_this_user_may_not_look_into(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.doctor.look", lambda device: [])
    monkeypatch.setattr("bench.environment.describe", dict)
    monkeypatch.setattr("bench.implementation.arms", lambda device: {})
    monkeypatch.setattr("bench.probe.compiler_problem", lambda: None)
    closed, console = tmp_path / "closed", Console(record=True, width=400)
    closed.mkdir()
    with harness.kept_out_of(closed):
        doctor.examine("cpu", closed / "results", console)
    assert f" GB in {closed}/results " in console.export_text()


def test_governor_boost_and_huge_pages_are_read_where_the_kernel_shows_them(tmp_path):
    assert environment.cpu_governor(tmp_path) is None
    assert environment.cpu_boost(tmp_path) is None
    assert environment.transparent_hugepages(tmp_path) is None
    put(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "schedutil\n")
    put(tmp_path, "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance\n")
    put(tmp_path, "sys/devices/system/cpu/cpufreq/boost", "1\n")
    put(tmp_path, "sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n")
    assert environment.cpu_governor(tmp_path) == "performance, schedutil"
    assert environment.cpu_boost(tmp_path) is True
    assert environment.transparent_hugepages(tmp_path) == "madvise"
    put(tmp_path, "sys/devices/system/cpu/intel_pstate/no_turbo", "1\n")
    assert environment.cpu_boost(tmp_path) is False


def test_the_shortest_window_is_long_enough_to_be_judged_by_doctor():
    assert doctor.LOOK_S >= sentinel.MIN_WINDOW_S
