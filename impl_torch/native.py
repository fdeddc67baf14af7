"""The C++ of `native/`, built for this machine by the compiler at hand when first asked for, and loaded."""

import functools
import os
import platform
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

NAME = "bench_native"
SOURCES = Path(__file__).parent / "native"
FLAGS = (
    "-O3",
    "-march=native",
    "-fopenmp",
    "-fno-math-errno",  # nobody reads errno: a root is then one instruction
    "-fno-trapping-math",
)
WIDE = ("-mprefer-vector-width=512",)  # where there are such; compilers hold back on processors that once slowed down


def library(dtype: torch.dtype) -> Any:
    """The functions of `native/native.cpp` for tensors of float32 or float64."""
    build()
    return torch.ops.bench_float32 if dtype == torch.float32 else torch.ops.bench_float64


@functools.cache
def build() -> None:
    """Builds and loads them; a RuntimeError when they cannot be built.

    PyTorch keeps what it built in `TORCH_EXTENSIONS_DIR`, and builds anew when sources or flags change. It does not
    look at the processor: that folder must not be shared between machines.
    """
    from torch.utils import cpp_extension

    try:
        import ninja
    except ImportError as error:
        raise RuntimeError("ninja is not installed, which builds the C++; install with: pip install ninja") from error
    # PyTorch looks for the program on the path, where an environment that is not activated does not put it.
    os.environ["PATH"] = os.pathsep.join((ninja.BIN_DIR, os.environ.get("PATH", "")))
    # PyTorch's own lock is a file that whoever is killed leaves behind, and the next one waits for without end.
    folder = Path(os.environ.get("TORCH_EXTENSIONS_DIR") or cpp_extension.get_default_build_root())
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{NAME}.lock"):
        for left in folder.glob(f"**/{NAME}/lock"):
            left.unlink()
        cpp_extension.load(
            name=NAME,
            sources=[str(SOURCES / "native.cpp")],
            extra_cflags=[*FLAGS, *(WIDE if platform.machine() == "x86_64" else ())],
            # Without -fopenmp here, its functions are those of the library that PyTorch brings: a second one would
            # have threads of its own, which wait for work on the processors that the first one's need.
            extra_ldflags=["-lm"],
            is_python_module=False,
        )
