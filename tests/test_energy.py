"""Energy is a counter's difference, or a reason why there is none."""

from pathlib import Path

import pynvml
import pytest
from fake_nvml import board, install

from bench import gpu
from bench.energy import Meter


class Clock:
    """Stands still until it is moved."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def zone(root: Path, folder: str, name: str, energy_uj: int, range_uj: int = 262_143_328_850) -> Path:
    path = root / "sys/class/powercap" / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "energy_uj").write_text(f"{energy_uj}\n")
    (path / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return path


def measured(root, seconds, changes, steps=10):
    """What a meter says after `seconds` in which the counters went to the given values."""
    clock = Clock()
    meter = Meter("cpu", root, clock)
    meter.start()
    clock.now_s += seconds
    for path, energy_uj in changes.items():
        (path / "energy_uj").write_text(str(energy_uj))
    return meter.stop(steps)


def test_energy_is_the_difference_of_all_packages_and_of_nothing_else(tmp_path):
    first = zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 5_000_000)
    others = [
        zone(tmp_path, "intel-rapl:0:0", "core", 0),
        zone(tmp_path, "intel-rapl:1:0", "dram", 0),
        zone(tmp_path, "intel-rapl:2", "psys", 0),
        zone(tmp_path, "intel-rapl-mmio:0", "package-0", 0),
    ]
    found = measured(tmp_path, 2.0, {first: 31_000_000, second: 16_500_000} | dict.fromkeys(others, 999_000_000))
    assert found.joules == pytest.approx(41.5, rel=1e-12)  # floating point's own error
    assert (found.seconds, found.steps, found.reason) == (2.0, 10, None)
    assert found.source == "RAPL package-0, package-1"


def test_a_counter_that_begins_at_zero_again_loses_nothing(tmp_path):
    package = zone(tmp_path, "intel-rapl:0", "package-0", 65_000_000_000, range_uj=65_532_610_987)
    found = measured(tmp_path, 20.0, {package: 1_467_389_013})
    assert found.joules == pytest.approx(2000.0, rel=1e-12)  # floating point's own error


def test_a_stretch_in_which_it_could_begin_at_zero_twice_is_not_believed(tmp_path):
    package = zone(tmp_path, "intel-rapl:0", "package-0", 0, range_uj=65_000_000_000)
    found = measured(tmp_path, 131.0, {package: 30_000_000_000})
    assert found.joules is None
    assert found.reason == "in 131 s it may have begun at zero again more than once"


@pytest.mark.parametrize(("seconds", "enough"), [(0.05, False), (0.11, True)])
def test_a_stretch_shorter_than_the_counter_can_resolve_has_no_energy(tmp_path, seconds, enough):
    package = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    found = measured(tmp_path, seconds, {package: 7_000_000})
    assert (found.joules is not None) is enough
    assert enough or found.reason == "0.05 s are too short for it, 0.1 s are needed"


def test_a_counter_that_stands_still_is_no_energy_of_zero(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 123)
    found = measured(tmp_path, 3.0, {})
    assert found.joules is None
    assert found.reason is not None
    assert "does not move" in found.reason


def test_a_counter_that_only_root_may_read_says_so_with_the_cure(tmp_path, monkeypatch):
    package = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    reading = Path.read_text

    def read_text(self: Path) -> str:
        if self == package / "energy_uj":
            raise PermissionError(13, "Permission denied", str(self))
        return reading(self)

    monkeypatch.setattr(Path, "read_text", read_text)
    found = measured(tmp_path, 1.0, {})
    assert found.joules is None
    assert found.reason is not None
    assert found.reason.startswith(f"{package / 'energy_uj'}: permission denied; run as root, or: sudo chmod a+r ")


@pytest.mark.parametrize("content", ["", "none"])
def test_a_file_without_a_number_is_a_reason_and_no_crash(tmp_path, content):
    package = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    (package / "energy_uj").write_text(content)
    assert "cannot be read" in str(measured(tmp_path, 1.0, {}).reason)


def test_a_counter_that_goes_away_meanwhile_is_a_reason_and_no_crash(tmp_path):
    package = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = Meter("cpu", tmp_path, Clock())
    meter.start()
    (package / "energy_uj").unlink()
    found = meter.stop(1)
    assert found.joules is None
    assert "any more" in str(found.reason)


def test_a_machine_without_counters_says_why(tmp_path):
    found = measured(tmp_path, 1.0, {})
    assert (found.joules, found.seconds, found.steps) == (None, None, None)
    assert "no RAPL" in str(found.reason)


def test_a_gpus_energy_is_the_difference_of_the_boards_counter(tmp_path, monkeypatch):
    one = board(TotalEnergyConsumption=5_000_000)
    install(monkeypatch, one)
    clock = Clock()
    meter = Meter("gpu", tmp_path, clock)
    meter.start()
    clock.now_s += 4.0
    one["nvmlDeviceGetTotalEnergyConsumption"] = 6_200_000
    found = meter.stop(100)
    assert (found.joules, found.seconds, found.steps) == (pytest.approx(1200.0), 4.0, 100)
    clock.now_s = 100.9
    assert meter.stop(100).reason == "0.9 s are too short for it, 1 s are needed"


def test_a_gpu_without_a_counter_and_a_machine_without_a_gpu_say_why(monkeypatch):
    install(monkeypatch, board(TotalEnergyConsumption=pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)))
    assert "no energy counter" in str(Meter("gpu").problem)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert "CUDA_VISIBLE_DEVICES" in str(Meter("gpu").problem)
    install(monkeypatch, problem=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    assert "install the NVIDIA driver" in str(Meter("gpu").stop(1).reason)
    assert gpu.devices()[0] == []
