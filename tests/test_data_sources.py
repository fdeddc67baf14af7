"""Where data comes from: the folder that was named, the cache, a download, and synthetic data last."""

import dataclasses
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from data_files import JENA_ROWS, Asked, Server, few_reviews, imdb_bytes, jena_zip, nobody, serving, sha256, write_imdb

import bench.data
from bench import caches, catalogue
from bench.data import command, fetch, sources
from bench.errors import MachineError, UsageError

CONV_ONLY = catalogue.load("conv_only")
SHORT = dataclasses.replace(
    CONV_ONLY,
    data=dataclasses.replace(CONV_ONLY.data, rows=JENA_ROWS, train_rows=3_400, validation_rows=5_100),
)
REVIEWS = few_reviews()
TESTS = Path(__file__).parent


@pytest.fixture(autouse=True)
def a_fresh_process(monkeypatch):
    """No setting of the machine, and no server remembered as unreachable."""
    for name in (
        "BENCH_OFFLINE",
        "BENCH_DATA_DIR",
        "BENCH_CACHE_DIR",
        "http_proxy",
        "HTTP_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    fetch._no_answer.cache_clear()


@pytest.fixture
def asked(tmp_path):
    return lambda remotes: Asked(tmp_path / "cache", remotes)


def test_a_named_folder_comes_before_cache_and_network(tmp_path, asked):
    named = tmp_path / "named"
    named.mkdir()
    path = write_imdb(named / "imdb.npz", y_train=np.ones(40, np.int64))
    with serving(Server({"/imdb.npz": imdb_bytes()})) as server:
        asking = asked(server.remotes())
        asking.cache.mkdir()
        (asking.cache / "imdb.npz").write_bytes(imdb_bytes())
        data = asking.load(REVIEWS, data_dir=named, kind="real")
        assert data.source.files[0].sha256 == sha256(path.read_bytes())
        assert asking.load(REVIEWS).source.files[0].sha256 == sha256(imdb_bytes()), "without it: the cache"
        assert server.served == []
    assert asking.said == []


@pytest.mark.parametrize("kind", ["auto", "real"])
@pytest.mark.parametrize(("spec", "needed"), [(REVIEWS, "imdb.npz"), (CONV_ONLY, "jena_climate_2009_2016.csv")])
def test_a_named_folder_without_the_data_is_the_users_error_even_under_auto(tmp_path, asked, kind, spec, needed):
    (tmp_path / "notes.txt").write_text("nothing else here")
    with pytest.raises(UsageError, match=rf"holds notes\.txt; expected a folder that holds {needed}.*--data-dir"):
        asked(nobody()).load(spec, kind, data_dir=tmp_path)
    with pytest.raises(UsageError, match=r"no such folder; expected a folder"):
        asked(nobody()).load(spec, kind, data_dir=tmp_path / "missing")
    with pytest.raises(UsageError, match=r"not a folder; expected a folder"):
        asked(nobody()).load(spec, kind, data_dir=tmp_path / "notes.txt")


def test_the_option_comes_before_the_environment(monkeypatch):
    assert sources.data_dir_from(None) is None
    monkeypatch.setenv("BENCH_DATA_DIR", "/from/environment")
    assert sources.data_dir_from(None) == Path("/from/environment")
    assert sources.data_dir_from(Path("/from/option")) == Path("/from/option")


def test_the_cache_is_the_users_or_the_one_that_was_named(monkeypatch):
    assert caches.root().name == "bench"
    monkeypatch.setenv("BENCH_CACHE_DIR", "/some/cache")
    assert caches.root() == Path("/some/cache")


def test_a_download_is_checked_kept_and_not_repeated(asked):
    with serving(Server({"/imdb.npz": imdb_bytes(), "/jena.zip": jena_zip()})) as server:
        asking = asked(server.remotes(sha256(imdb_bytes())))
        first = [asking.load(spec, "real") for spec in (REVIEWS, CONV_ONLY)]
        again = [asking.load(spec, "auto") for spec in (REVIEWS, CONV_ONLY)]
        assert server.served == ["/imdb.npz", "/jena.zip"]
    assert asking.visible() == ["imdb.npz", "jena_climate_2009_2016.csv.zip"]
    assert [data.source.files[0].sha256 for data in first] == [sha256(imdb_bytes()), sha256(jena_zip())]
    assert all(np.array_equal(a.inputs, b.inputs) for a, b in zip(first, again, strict=True))
    assert [line.split(" from ")[0] for line in asking.said] == [
        "downloading imdb.npz",
        "downloading jena_climate_2009_2016.csv.zip",
    ]


@pytest.mark.parametrize("spec", [REVIEWS, SHORT])
def test_auto_is_synthetic_within_seconds_where_nothing_listens_and_says_why(asked, spec):
    asking = asked(nobody())
    start = time.perf_counter()
    data = asking.load(spec)
    assert time.perf_counter() - start < 5
    assert data.source.identity == "synthetic"
    assert "neither given nor downloaded" in data.source.description
    assert len(asking.said) == 1
    assert asking.said[0].startswith("SYNTHETIC data: ")
    assert "Connection refused" in asking.said[0]


def test_auto_is_synthetic_within_seconds_where_a_server_never_answers(asked):
    with serving(Server({}, "silent")) as server:
        asking = asked(server.remotes())
        start = time.perf_counter()
        assert asking.load(REVIEWS).source.identity == "synthetic"
        assert asking.load(SHORT).source.identity == "synthetic"
        # 4 s for the answer that does not come, asked once for both; the rest is making the data on a busy machine.
        assert time.perf_counter() - start < 8
    assert "timed out" in asking.said[0]


def test_auto_is_synthetic_within_seconds_where_names_are_not_resolved(asked, monkeypatch):
    """A resolver that hangs: only a deadline around everything bounds it."""
    monkeypatch.setattr(fetch, "_PROBE_S", 0.2)
    held = threading.Event()

    def hangs(*args, **kwargs):
        held.wait()
        raise OSError("given up")

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    asking = asked(nobody())
    data = asking.load(REVIEWS)
    held.set()
    assert data.source.identity == "synthetic"
    assert "no answer from http://127.0.0.1" in asking.said[0]


def test_offline_asks_nobody(asked, monkeypatch):
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    with serving(Server({"/imdb.npz": imdb_bytes()})) as server:
        asking = asked(server.remotes())
        assert asking.load(REVIEWS).source.identity == "synthetic"
        assert "BENCH_OFFLINE is set" in asking.said[0]
        with pytest.raises(MachineError, match=r"--data real: imdb\.npz .*BENCH_OFFLINE is set.*--data-dir"):
            asking.load(REVIEWS, kind="real")
        assert server.served == []


def test_real_without_folder_cache_and_network_is_the_machines_lack(asked):
    for spec in (REVIEWS, CONV_ONLY):
        with pytest.raises(MachineError, match=r"not downloaded \(.*Connection refused\).*--data-dir") as caught:
            asked(nobody()).load(spec, "real")
        assert "\n" not in str(caught.value)


def test_synthetic_looks_nowhere_and_depends_on_the_seed(tmp_path, asked):
    asking = asked(nobody())
    made = [asking.load(REVIEWS, "synthetic", data_dir=tmp_path / "missing", seed=seed) for seed in (0, 0, 1)]
    assert made[0].inputs.tobytes() == made[1].inputs.tobytes() != made[2].inputs.tobytes()
    assert "seed 1: not comparable with published figures" in made[2].source.description
    assert asking.said == []
    assert not asking.cache.exists()


def test_describe_tells_place_identity_hash_and_size_and_asks_no_network(tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "imdb.npz").write_bytes(imdb_bytes())
    lines = "\n".join(command.describe([REVIEWS, CONV_ONLY], data_dir=None, cache=cache, remotes=nobody()))
    assert f"{cache}/imdb.npz: other" in lines
    assert f"sha256 {sha256(imdb_bytes())}, {len(imdb_bytes()):,} bytes" in lines
    assert "jena_climate_2009_2016.csv.zip: not here" in lines
    with pytest.raises(UsageError, match="expected a folder that holds"):
        command.describe([CONV_ONLY], data_dir=cache, cache=cache)


def test_offline_describe_says_what_a_download_would_need(tmp_path, monkeypatch):
    def told() -> str:
        return command.describe([REVIEWS], data_dir=None, cache=tmp_path, remotes=nobody())[1]

    assert told().startswith("imdb.npz: not here; bench data --fetch, or the next run, downloads it from http")
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    allowed = "BENCH_OFFLINE=0 (in a container: -e BENCH_OFFLINE=0)"
    assert told().startswith(f"imdb.npz: not here; bench data --fetch with {allowed} downloads it from http")


def test_download_brings_what_is_missing_and_tells_the_same(tmp_path):
    with serving(Server({"/imdb.npz": imdb_bytes(), "/jena.zip": jena_zip()})) as server:
        remotes, said = server.remotes(), []
        lines = command.download([REVIEWS, CONV_ONLY], cache=tmp_path, say=said.append, remotes=remotes)
        assert lines == command.describe([REVIEWS, CONV_ONLY], data_dir=None, cache=tmp_path, remotes=remotes)
        command.download([REVIEWS, CONV_ONLY], cache=tmp_path, say=said.append, remotes=remotes)
        assert server.served == ["/imdb.npz", "/jena.zip"]
    with pytest.raises(MachineError, match=r"was not downloaded: .*put the file into"):
        command.download([REVIEWS], cache=tmp_path / "other", say=said.append, remotes=nobody())


def test_the_pinned_addresses_are_the_published_ones():
    assert fetch.REMOTES.imdb.sha256 == "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
    for remote in (fetch.REMOTES.imdb, fetch.REMOTES.jena):
        assert remote.url == f"https://storage.googleapis.com/tensorflow/tf-keras-datasets/{remote.name}"


def test_opening_prepared_data_imports_neither_pandas_nor_the_downloader():
    code = "import sys, bench.data; print(sorted({'pandas', 'pooch', 'requests', 'rich'} & set(sys.modules)))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=TESTS.parent, env=environment
    )
    assert found.stdout.strip() == "[]", found.stderr


def test_the_short_form_uses_the_cache_that_is_named_in_the_environment(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    assert bench.data.load(REVIEWS).source.identity == "synthetic"
    assert "BENCH_OFFLINE is set" in capsys.readouterr().err
    folder = bench.data.prepare(REVIEWS, "synthetic")
    assert folder.parent == tmp_path / "prepared"
    assert bench.data.open_saved(folder).source.identity == "synthetic"
