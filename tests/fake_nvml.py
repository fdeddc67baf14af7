"""The driver's library without a driver: boards that answer the queries they are given and support no other."""

from types import SimpleNamespace
from typing import Any

import pynvml

from bench import gpu


class Board(dict[str, Any]):
    """Answers by the name of the query; an exception is raised."""


class Library:
    """Stands for the module `pynvml`: its constants and errors are the real ones."""

    def __init__(self, *boards: Board, problem: int | None = None, cuda: int | Exception = 13_000) -> None:
        self.boards, self.problem, self.cuda = boards, problem, cuda
        self.started = 0

    def nvmlInit(self) -> None:  # noqa: N802 (NVML's name)
        if self.problem is not None:
            raise pynvml.NVMLError(self.problem)
        self.started += 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.boards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Board:  # noqa: N802
        return self.boards[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Board:  # noqa: N802
        for board in self.boards:
            if uuid in board.get("mig", ()):
                return board
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "580.1"

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:  # noqa: N802
        if isinstance(self.cuda, Exception):
            raise self.cuda
        return self.cuda

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvmlDeviceGet"):
            return getattr(pynvml, name)

        def query(board: Board, *arguments: Any) -> Any:
            answer = board.get(name, pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED))
            if isinstance(answer, Exception):
                raise answer
            return answer

        return query


def board(**answers: Any) -> Board:
    """A calm board with energy counter and ECC; `answers` by the query's name without `nvmlDeviceGet`."""
    calm = {
        "Name": "Board",
        "UUID": "GPU-11111111-2222",
        "MemoryInfo": SimpleNamespace(total=80 * 2**30),
        "EccMode": [1, 1],
        "MigMode": [0, 0],
        "PersistenceMode": 1,
        "EnforcedPowerLimit": 700_000,
        "ClockInfo": 1980,
        "PowerUsage": 120_500,
        "Temperature": 41,
        "CurrentClocksEventReasons": pynvml.nvmlClocksEventReasonGpuIdle,
        "TotalEccErrors": 0,
        "TotalEnergyConsumption": 5_000_000,
        "ComputeRunningProcesses": [],
    }
    return Board({f"nvmlDeviceGet{name}": answer for name, answer in (calm | answers).items()})


def process(pid: int, held_bytes: int | None = 2**30) -> SimpleNamespace:
    """A process that computes on a board."""
    return SimpleNamespace(pid=pid, usedGpuMemory=held_bytes)


def install(monkeypatch: Any, *boards: Board, problem: int | None = None, cuda: int | Exception = 13_000) -> Library:
    """Puts the library in the place of the real one, not yet started."""
    library = Library(*boards, problem=problem, cuda=cuda)
    monkeypatch.setattr(gpu, "pynvml", library)
    monkeypatch.setattr(gpu, "_STARTED", [])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return library
