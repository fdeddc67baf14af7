"""Fixtures that several test files share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """A folder with imdb.npz and a Jena file: BENCH_TEST_DATA, or a checkout's neighbour; else the test is skipped."""
    folder = Path(os.environ.get("BENCH_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "imdb.npz").is_file():
        pytest.skip(
            f"no real data: {folder} has no imdb.npz; set BENCH_TEST_DATA to a folder with imdb.npz and Jena's csv"
        )
    return folder


@pytest.fixture
def a_place_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No data folder and no image of this machine, and an empty cache."""
    for name in ("BENCH_DATA_DIR", "BENCH_IMAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))
