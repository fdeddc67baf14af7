"""Who may import whom: the rules hold the frameworks apart, and a broken one shows here."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FRAMEWORKS = {"tensorflow", "keras", "jax", "jaxlib", "torch"}
BENCH = sorted((ROOT / "bench").rglob("*.py"))
MEASURING = {
    "runner", "plan", "measure", "implementation", "parity", "launch", "process", "cell", "gate", "execution",
    "schedule", "sentinel", "energy", "recipe", "reproduce", "means", "containers", "checkpoint",
}  # fmt: skip


def imported(path: Path) -> set[str]:
    """Dotted names of every module that a file imports, wherever the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides what it reaches"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", BENCH, ids=lambda path: str(path.relative_to(ROOT)))
def test_bench_imports_no_framework_and_no_implementation(path):
    tops = {name.split(".")[0] for name in imported(path)}
    assert not tops & FRAMEWORKS
    assert not {top for top in tops if top.startswith("impl_")}


@pytest.mark.parametrize("path", BENCH, ids=lambda path: str(path.relative_to(ROOT)))
def test_bench_names_no_framework_in_its_code(path):
    names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
    texts = {
        node.value.lower()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.lower() in FRAMEWORKS
    }
    assert not names & FRAMEWORKS
    assert not texts  # a framework's name as a value is an `if framework ==` in the making


@pytest.mark.parametrize("package", ["impl_keras", "impl_torch"])
def test_an_implementation_reaches_only_the_contract_and_its_own_framework(package):
    allowed = {"bench.workload", "bench.implementation", "bench.layers", "bench.data.windows", "bench"}
    other = {"impl_keras": "impl_torch", "impl_torch": "impl_keras"}[package]
    for path in (ROOT / package).glob("*.py"):
        modules = imported(path)
        assert not {name for name in modules if name.split(".")[0] == other}, path
        reached = {name for name in modules if name.split(".")[0] == "bench"}
        strangers = {
            name for name in reached if not any(name == ok or name.startswith(f"{ok}.") for ok in allowed - {"bench"})
        }
        assert strangers <= {"bench"}, f"{path} imports {strangers}"


@pytest.mark.parametrize(
    "path",
    [
        *(ROOT / f"bench/{name}.py" for name in ("stats", "record", "derived", "effects", "cause")),
        *(path for name in ("compare", "history") for path in (ROOT / "bench" / name).glob("*.py")),
        *(ROOT / "bench/report").rglob("*.py"),
    ],
)
def test_the_report_side_never_imports_the_measuring_side(path):
    reached = {name.split(".")[1] for name in imported(path) if name.startswith("bench.")}
    assert not reached & MEASURING


def test_one_file_imports_ray():
    everything = [path for name in ("bench", "impl_keras", "impl_torch") for path in (ROOT / name).rglob("*.py")]
    found = [path for path in everything if "ray" in {name.split(".")[0] for name in imported(path)}]
    assert found == [ROOT / "bench/fleet/cluster.py"]


@pytest.mark.parametrize("package", ["impl_keras", "impl_torch"])
def test_declaring_the_arms_loads_no_framework(package):
    script = (
        f"import sys, {package}; from bench.implementation import arms; arms(); "
        f"print(sorted(set(sys.modules) & {FRAMEWORKS!r}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    assert loaded.strip() == "[]"
