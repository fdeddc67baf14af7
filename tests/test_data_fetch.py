"""Downloads that go wrong: nothing half-made stays, nothing good is lost, and one line says what happened."""

import dataclasses
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from data_files import JENA_ROWS, Asked, Server, few_reviews, imdb_bytes, jena_zip, nobody, serving, sha256

from bench import catalogue
from bench.data import fetch, sources
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


def test_a_wrong_file_never_enters_the_cache(asked):
    files = {"/imdb.npz": imdb_bytes()[:-1] + b"\1", "/jena.zip": b"<html>Please log in</html>"}
    with serving(Server(files)) as server:
        asking = asked(server.remotes(sha256(imdb_bytes())))
        for spec in (REVIEWS, CONV_ONLY):
            with pytest.raises(MachineError, match="sent something else than"):
                asking.load(spec, "real")
        assert asking.load(REVIEWS).source.identity == "synthetic"
    assert asking.visible() == []


@pytest.mark.parametrize("way", ["cut", "stalls"])
def test_a_download_that_breaks_leaves_nothing(asked, monkeypatch, way):
    monkeypatch.setattr(fetch, "_STALL_S", 0.3)
    with serving(Server({"/imdb.npz": imdb_bytes()}, way)) as server:
        asking = asked(server.remotes())
        with pytest.raises(MachineError, match="was not downloaded"):
            asking.load(REVIEWS, "real")
    assert asking.visible() == []


def test_a_missing_file_on_the_server_is_told(asked):
    with serving(Server({})) as server, pytest.raises(MachineError, match="404"):
        asked(server.remotes()).load(REVIEWS, "real")


def test_a_good_cached_file_is_never_overwritten(asked):
    with serving(Server({"/imdb.npz": b"something worse"})) as server:
        asking = asked(server.remotes())
        asking.cache.mkdir()
        (asking.cache / "imdb.npz").write_bytes(imdb_bytes())
        asking.load(REVIEWS)
        fetch.fetch(asking.remotes.imdb, asking.cache, lambda path: None, asking.said.append)
        assert server.served == []
    assert (asking.cache / "imdb.npz").read_bytes() == imdb_bytes()


def test_a_bad_cached_file_is_named_and_not_replaced_in_silence(asked):
    asking = asked(nobody())
    asking.cache.mkdir()
    (asking.cache / "imdb.npz").write_bytes(b"half of it")
    with pytest.raises(UsageError, match=r"imdb\.npz: is cut short or damaged .*delete it"):
        asking.load(REVIEWS)


def in_a_process(code: str, *arguments: str, **options) -> subprocess.Popen:
    begin = "import sys\nfrom pathlib import Path\nfrom bench.data import fetch\n"
    return subprocess.Popen(
        [sys.executable, "-c", begin + code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=TESTS.parent,
        **options,
    )


FETCH = """
remote = fetch.Remote("imdb.npz", sys.argv[1], sys.argv[3] or None)
print(fetch.fetch(remote, Path(sys.argv[2]), lambda path: None, lambda line: None))
"""


def test_a_killed_download_leaves_no_file_and_the_next_one_clears_up(tmp_path, asked):
    with serving(Server({"/imdb.npz": imdb_bytes()}, "stalls")) as server:
        asking = asked(server.remotes())
        process = in_a_process(FETCH, asking.remotes.imdb.url, str(asking.cache), "")
        assert server.half_sent.wait(60), process.communicate()
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert not (asking.cache / "imdb.npz").exists()
    with serving(Server({"/imdb.npz": imdb_bytes()})) as server:
        asking.remotes = server.remotes()
        assert asking.load(REVIEWS, kind="real").source.files[0].sha256 == sha256(imdb_bytes())
    assert asking.visible() == ["imdb.npz"]


def test_processes_that_download_at_once_download_once(asked):
    with serving(Server({"/imdb.npz": imdb_bytes()})) as server:
        asking = asked(server.remotes())
        url, digest = asking.remotes.imdb.url, sha256(imdb_bytes())
        processes = [in_a_process(FETCH, url, str(asking.cache), digest) for _ in range(3)]
        outputs = [process.communicate(timeout=60) for process in processes]
        assert {process.returncode for process in processes} == {0}, outputs
        assert server.served == ["/imdb.npz"]
    assert (asking.cache / "imdb.npz").read_bytes() == imdb_bytes()
    assert asking.visible() == ["imdb.npz"]


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 256 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("kind", ["auto", "real"])
def test_a_full_disk_is_told_and_keeps_what_it_held(small_disk, kind):
    with serving(Server({"/jena.zip": jena_zip()})) as server:
        asking = Asked(small_disk, server.remotes())
        (small_disk / "imdb.npz").write_bytes(imdb_bytes())
        with pytest.raises(
            UsageError, match=r"csv\.zip: no space left \(.*\); expected .* free; free some, or set BENCH_C"
        ):
            asking.load(CONV_ONLY, kind)
        assert asking.visible() == ["imdb.npz"]
        with pytest.raises(UsageError, match="no space left"):
            sources.prepare(SHORT, kind="synthetic", data_dir=None, seed=0, cache=small_disk, say=asking.said.append)
    assert (small_disk / "imdb.npz").read_bytes() == imdb_bytes()
    assert [entry.name for entry in (small_disk / "prepared").iterdir() if entry.is_dir()] == []


def test_a_limit_on_file_sizes_is_told_like_a_full_disk(asked):
    """The same without the right to mount: the system refuses to write more."""
    with serving(Server({"/jena.zip": jena_zip()})) as server:
        asking = asked(server.remotes())
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # noqa: E731
        process = in_a_process(FETCH, asking.remotes.jena.url, str(asking.cache), "", preexec_fn=limit)
        _, errors = process.communicate(timeout=60)
    assert "UsageError" in errors
    assert "no space left (File too large)" in errors
    assert asking.visible() == []


def test_a_cache_that_cannot_be_made_is_told(tmp_path, asked):
    (tmp_path / "cache").write_text("a file in its place")
    with (
        serving(Server({"/imdb.npz": imdb_bytes()})) as server,
        pytest.raises(
            UsageError, match=r"cache: cannot be written \(.*\); expected a writable cache; set BENCH_CACHE_DIR"
        ),
    ):
        asked(server.remotes()).load(REVIEWS, "real")
