"""A GPU that cannot be used is refused in one line with its cure, before anything slow, and the CPU is no stand-in."""

import os
from types import SimpleNamespace

import harness
import pynvml
import pytest
from fake_nvml import board, install

from bench import cuda, doctor, gpu, implementation, interpreters, runner
from bench.cli import main
from bench.errors import MachineError, UsageError
from bench.implementation import Arm

NO_LIBRARY = pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
INSTALLED = {
    "old": {"nvidia-cuda-runtime-cu12": ["nvidia-cuda-runtime-cu12", "12.9.79"]},
    "new": {"nvidia-cuda-runtime": ["nvidia-cuda-runtime", "13.5.37"]},
    "newest": {"nvidia-cuda-runtime": ["nvidia-cuda-runtime", "14.0.1"]},
    "both": {
        "nvidia-cuda-runtime": ["nvidia-cuda-runtime", "0.0.1"],
        "nvidia-cuda-runtime-cu12": ["nvidia-cuda-runtime-cu12", "12.1.105"],
    },
    "none": {"nvidia-cuda-runtime": None, "nvidia-cuda-runtime-cu12": None},
}


def arms(*frameworks: str) -> list[Arm]:
    return [Arm(f"arm-{name}", name, "tuned", "none:none", ()) for name in frameworks]


@pytest.fixture(autouse=True)
def interpreters_with_cuda(monkeypatch):
    def probe(framework: str) -> dict[str, object]:
        if framework == "missing":
            raise UsageError("BENCH_PYTHON_MISSING=/none: not a program that can be run")
        return {"distributions": INSTALLED[framework]}

    monkeypatch.setattr(interpreters, "probe", probe)


def refusal(monkeypatch, cuda_version, *frameworks: str) -> str:
    install(monkeypatch, board(), cuda=cuda_version)
    with pytest.raises(MachineError) as caught:
        cuda.require(arms(*frameworks))
    return str(caught.value)


def test_a_driver_that_is_too_old_names_itself_the_arms_the_cure_and_those_that_would_run(monkeypatch):
    assert refusal(monkeypatch, 12_080, "old", "new") == (
        "--device gpu: driver 580.1 offers CUDA 12.8, CUDA 13 is needed by arm-new; "
        "install a driver of at least 580 on the host, or measure what this one is enough for: --arm arm-old"
    )


def test_a_driver_too_old_for_all_of_them_names_the_one_that_is_enough_for_all(monkeypatch):
    assert refusal(monkeypatch, 11_040, "old", "new") == (
        "--device gpu: driver 580.1 offers CUDA 11.4, CUDA 12 is needed by arm-old; CUDA 13 is needed by arm-new; "
        "install a driver of at least 580 on the host"
    )
    assert "a driver of at least 525" in refusal(monkeypatch, 11_040, "old")
    assert "install one that offers CUDA 14" in refusal(monkeypatch, 13_000, "newest")


@pytest.mark.parametrize(
    ("version", "frameworks"),
    [
        (12_000, ["old"]),  # a minor version back is compatible
        (13_000, ["old", "new"]),
        (12_020, ["both"]),  # a placeholder's version is not CUDA's
        (11_000, ["none", "missing"]),
        (pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND), ["new"]),  # unknown is not too old
    ],
)
def test_a_driver_that_is_new_enough_or_does_not_tell_is_not_refused(monkeypatch, version, frameworks):
    install(monkeypatch, board(), cuda=version)
    cuda.require(arms(*frameworks))


@pytest.mark.parametrize(("size", "refused"), [(64 * 2**20, False), (64 * 2**20 - 4096, True)])
def test_less_shared_memory_than_docker_gives_unasked_is_refused(monkeypatch, tmp_path, size, refused):
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_frsize=4096, f_blocks=size // 4096))
    if not refused:
        cuda.require_shared_memory(tmp_path)
        return
    with pytest.raises(MachineError, match=r"holds 63 MiB, at least 64 MiB are needed; .*--shm-size 1g"):
        cuda.require_shared_memory(tmp_path)


def test_no_shared_memory_at_all_is_refused(tmp_path):
    with pytest.raises(MachineError, match=r"holds 0 MiB, .*--shm-size 1g"):
        cuda.require_shared_memory(tmp_path / "none")


WITHOUT = {
    "--gpus all; the host needs the NVIDIA driver and container toolkit": {
        "problem": pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
    },
    "shows no device": {},
    "NVIDIA_DRIVER_CAPABILITIES=compute,utility": {"boards": [board()], "cuda": NO_LIBRARY},
    "CUDA_VISIBLE_DEVICES=7 names no GPU": {"boards": [board()], "visible": "7"},
    "at least 580": {"boards": [board()], "cuda": 12_020},
    "--shm-size 1g": {"boards": [board()], "shm": 2**20},
}


@pytest.mark.parametrize("verb", ["run", "doctor"])
@pytest.mark.parametrize("cure", WITHOUT)
def test_run_and_doctor_refuse_a_gpu_they_cannot_use_in_one_line_and_measure_nothing(
    monkeypatch, capsys, tmp_path, verb, cure
):
    monkeypatch.syspath_prepend(str(harness.FAKES))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))
    case = WITHOUT[cure]
    install(monkeypatch, *case.get("boards", ()), problem=case.get("problem"), cuda=case.get("cuda", 13_000))
    if "visible" in case:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", case["visible"])
    monkeypatch.setattr(implementation, "arms", lambda: {arm.name: arm for arm in arms("new")})
    monkeypatch.setattr(implementation, "declared", lambda: arms("new"))
    monkeypatch.setattr(
        "bench.contest.contest", lambda options, profile, holes=None: SimpleNamespace(arms=implementation.arms())
    )
    size = case.get("shm", 2**30)
    monkeypatch.setattr(cuda, "require_shared_memory", lambda real=cuda.require_shared_memory: with_shm(real, size))
    slow = lambda *given: pytest.fail("went on")  # noqa: E731
    monkeypatch.setattr(runner, "planned", slow)
    monkeypatch.setattr(doctor.environment, "describe", slow)
    assert main([verb, "--device", "gpu"]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert cure in printed.err
    assert printed.err.startswith("bench: --device gpu: ")
    assert printed.err.count("\n") == 1
    assert not list(tmp_path.glob("results/*"))


def with_shm(require, size: int) -> None:
    """Calls it where /dev/shm has the size; `os.statvfs` is asked about disks too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_frsize=1, f_blocks=size))
        require()


def test_a_gpu_that_can_be_used_is_not_refused(monkeypatch):
    install(monkeypatch, board())
    gpu.require()
    assert gpu.cuda_version() == (13, 0)
