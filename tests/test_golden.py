"""Reports of real runs, built again from their records, are the reports that lie beside them.

`tests/golden/` and `results/published/` hold runs that `bench run` measured, as they were written. After a change that
is meant to alter what a report says, `bench report FOLDER` for each of them, a look at the difference, and a commit.
"""

import re
import shutil
from importlib import metadata
from pathlib import Path

import pandas as pd
import pytest

from bench.report import build

HERE = Path(__file__).parent
FOLDERS = (HERE / "golden", HERE.parent / "results" / "published")
GOLDEN = [path for folder in FOLDERS for path in sorted(folder.iterdir()) if path.is_dir()]
RECORDS = ("run.json", "cells", "parity")
DRAW = ("contourpy", "jinja2", "markdown-it-py", "matplotlib", "numpy", "pandas", "pillow", "scipy")
"""What the bytes of a report are made by."""


def locked() -> bool:
    """Whether everything that makes a report's bytes has the version of the lock."""
    pins = dict(re.findall(r"^([a-z0-9-]+)==([^ \\]+)", (HERE.parent / "requirements" / "cpu.txt").read_text(), re.M))
    return all(metadata.version(name) == pins[name] for name in DRAW)


@pytest.fixture(scope="module", params=GOLDEN, ids=lambda path: path.name)
def rebuilt(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The golden run, and the same records reported anew in another folder."""
    golden: Path = request.param
    copy = tmp_path_factory.mktemp("golden") / golden.name
    copy.mkdir()
    for name in RECORDS:
        source = golden / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
    build(copy)
    return golden, copy


def names(folder: Path) -> set[str]:
    """Everything of a report but the page, which holds the rest of it."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if name != "report.html" and not name.startswith((*RECORDS, "exports/"))}


def test_there_are_whole_runs_and_runs_with_holes() -> None:
    assert len(GOLDEN) >= 2


def test_a_report_has_the_same_files_as_before(rebuilt: tuple[Path, Path]) -> None:
    golden, copy = rebuilt
    assert names(copy) == names(golden)
    assert any(name.endswith(".svg") for name in names(copy))


@pytest.mark.skipif(not locked(), reason="under other versions than the locked ones only the data is compared")
def test_a_report_is_rebuilt_byte_for_byte(rebuilt: tuple[Path, Path]) -> None:
    golden, copy = rebuilt
    for name in sorted(names(golden)):
        assert (copy / name).read_bytes() == (golden / name).read_bytes(), name


def test_the_data_behind_every_figure_is_the_same_under_any_versions(rebuilt: tuple[Path, Path]) -> None:
    golden, copy = rebuilt
    for name in sorted(name for name in names(golden) if name.endswith(".csv")):
        expected, found = (pd.read_csv(run / name, keep_default_na=False, na_values=[""]) for run in (golden, copy))
        # Another C library may round a logarithm's last digit another way.
        pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=1e-12, atol=0)
