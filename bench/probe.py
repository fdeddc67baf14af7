"""What one interpreter offers, asked inside it: `python -m bench.probe DISTRIBUTION…` prints JSON.

Imports only the standard library, and no framework, so that it starts in milliseconds in any environment.
"""

import hashlib
import json
import os
import pkgutil
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib import metadata, util
from pathlib import Path

COMPILER = "--compiler"
CUDA_RUNTIMES = ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu12")
"""Distributions that bring CUDA's runtime; the first one's version is CUDA's from 13 on."""
COMPILERS = ("c++", "g++", "clang++")
SOURCE = '#include <Python.h>\n#include <omp.h>\nextern "C" int threads() { return omp_get_max_threads(); }\n'


SUFFIXES = {".py", ".h", ".cpp"}


def code_digest() -> str:
    """A short hash of the code that decides what is measured: `bench` without its reports, every `impl_*` package."""
    packages = ["bench", *sorted(module.name for module in pkgutil.iter_modules() if module.name.startswith("impl_"))]
    digest = hashlib.sha256()
    for package in packages:
        spec = util.find_spec(package)
        for location in (spec and spec.submodule_search_locations) or ():
            for path in sorted(path for path in Path(location).rglob("*") if path.suffix in SUFFIXES):
                name = f"{package}/{path.relative_to(location).as_posix()}"
                if name.startswith("bench/report/"):
                    continue
                digest.update(f"{name}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def installed(requirement: str) -> tuple[str, str] | None:
    """Name and version of the first installed one of the alternatives `a|b`; None if there is none."""
    for name in requirement.split("|"):
        try:
            return name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def installed_digest() -> str:
    """A short hash of the names and versions of everything this interpreter can import."""
    found = sorted({f"{entry.name}=={entry.version}" for entry in metadata.distributions()})
    return hashlib.sha256("\n".join(found).encode()).hexdigest()[:16]


def compiler_problem() -> str | None:
    """Why no C++ extension for this Python can be built here, in one line; None when one can."""
    named = os.environ.get("CXX")  # what PyTorch's compiler takes, if it is set, and no other
    compiler = next(filter(None, map(shutil.which, [named] if named else COMPILERS)), None)
    if compiler is None:
        return (
            f"CXX is {named}, no program (unset it, or name one)"
            if named
            else f"none of {', '.join(COMPILERS)} is on the PATH"
        )
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "extension.cpp")
        source.write_text(SOURCE)
        include = sysconfig.get_paths()["include"]
        command = [
            compiler,
            "-shared",
            "-fPIC",
            "-fopenmp",
            f"-I{include}",
            str(source),
            "-o",
            f"{folder}/extension.so",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (fixed command)
    if done.returncode == 0:
        return None
    lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["no message"]
    return f"{compiler} cannot build a Python extension ({lines[0].strip()})"


def main() -> None:
    """Prints what this interpreter has of the distributions named on the command line; `--compiler` tries that too."""
    requirements = [word for word in sys.argv[1:] if word != COMPILER]
    offer: dict[str, object] = {
        "python": sys.version.split()[0],
        "code_digest": code_digest(),
        "installed": installed_digest(),
        "distributions": {requirement: installed(requirement) for requirement in requirements},
    }
    if COMPILER in sys.argv[1:]:
        offer["compiler_problem"] = compiler_problem()
    print(json.dumps(offer))


if __name__ == "__main__":
    main()
