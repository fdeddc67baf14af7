"""What the machine is and what of it may be used."""

import json
import os
import platform
import subprocess
from pathlib import Path

import psutil
import pytest

from bench import environment, gpu
from bench.errors import MachineError


def tree(root: Path, groups: str, **files: str) -> Path:
    """A root folder with /proc/self/cgroup and the given files below sys/fs/cgroup (`__` for a slash)."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, content in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("DOT", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


def test_without_a_quota_the_budget_is_the_affinity_mask(tmp_path):
    assert environment.cpu_budget(tree(tmp_path, "0::/\n", cpuDOTmax="max 100000\n")) == 8


def test_a_machine_without_cgroups_has_its_affinity_mask(tmp_path):
    assert environment.cpu_budget(tmp_path) == 8


@pytest.mark.parametrize(
    ("quota", "cores"), [("150000 100000", 2), ("200000 100000", 2), ("20000 100000", 1), ("9900000 100000", 8)]
)
def test_a_version_2_quota_is_rounded_up_to_whole_cores_and_never_below_one(tmp_path, quota, cores):
    assert environment.cpu_budget(tree(tmp_path, "0::/job\n", job__cpuDOTmax=quota)) == cores


def test_the_tightest_quota_of_all_groups_above_counts(tmp_path):
    root = tree(
        tmp_path,
        "0::/pod/job/step\n",
        pod__cpuDOTmax="300000 100000",
        pod__job__cpuDOTmax="600000 100000",
        pod__job__step__cpuDOTmax="max 100000",
    )
    assert environment.cpu_budget(root) == 3


def test_a_version_1_quota_counts_under_any_name_of_its_mount(tmp_path):
    root = tree(
        tmp_path,
        "4:memory:/\n3:cpu,cpuacct:/docker/abc\n",
        **{
            "cpu,cpuacct__docker__abc__cpu.cfs_quota_us": "250000",
            "cpu,cpuacct__docker__abc__cpu.cfs_period_us": "100000",
        },
    )
    assert environment.cpu_budget(root) == 3


def test_in_a_container_the_mounts_own_quota_counts_where_the_hosts_path_cannot_be_seen(tmp_path):
    root = tree(
        tmp_path,
        "1:cpu:/host/only/path\n",
        **{"cpu__cpu.cfs_quota_us": "100000", "cpu__cpu.cfs_period_us": "100000"},
    )
    assert environment.cpu_budget(root) == 1


def test_a_version_1_quota_of_minus_one_is_none(tmp_path):
    root = tree(tmp_path, "1:cpu:/\n", **{"cpu__cpu.cfs_quota_us": "-1", "cpu__cpu.cfs_period_us": "100000"})
    assert environment.cpu_budget(root) == 8


def test_the_memory_limit_is_the_tightest_cgroups(tmp_path):
    root = tree(tmp_path, "0::/job\n", job__memoryDOTmax="4294967296", memoryDOTmax="max")
    assert environment.memory_limit_bytes(root) == min(2**32, psutil.virtual_memory().total)


def test_cores_are_chosen_from_the_mask_and_as_many_as_asked_for(monkeypatch):
    monkeypatch.undo()
    mine = os.sched_getaffinity(0)
    assert environment.idle_cores(len(mine) + 3) == tuple(sorted(mine))
    assert set(environment.idle_cores(1)) < mine | {-1}
    assert len(environment.idle_cores(1)) == 1


def test_the_description_can_be_stored_and_names_neither_host_nor_user(monkeypatch):
    monkeypatch.undo()
    described = environment.describe()
    text = json.dumps(described)
    assert described["cpu"]
    assert described["cpu_budget"] >= 1
    assert described["python"].endswith(platform.python_version())
    assert platform.node() not in text
    assert str(Path.home()) not in text


def test_a_checkout_has_its_commit_and_a_folder_inside_another_checkout_has_none(tmp_path):
    def git(*words: str) -> None:
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(["git", *identity, "-C", str(tmp_path), *words], check=True, capture_output=True)

    git("init")
    (tmp_path / "file").write_text("one")
    (tmp_path / "site-packages").mkdir()
    git("add", "file")
    git("commit", "-m", "one")
    clean = environment.git_state(tmp_path)
    assert clean is not None
    assert (len(clean["commit"]), clean["dirty"]) == (40, False)
    (tmp_path / "file").write_text("two")
    assert environment.git_state(tmp_path) == clean | {"dirty": True}
    assert environment.git_state(tmp_path / "site-packages") is None
    (tmp_path / "file").write_text("one")
    (tmp_path / "notes.txt").touch()
    assert environment.git_state(tmp_path) == clean
    (tmp_path / "impl_mine").mkdir()
    (tmp_path / "impl_mine/__init__.py").touch()  # an arm that is measured, although nobody has added it
    assert environment.git_state(tmp_path) == clean | {"dirty": True}


@pytest.mark.skipif(bool(gpu.devices()[0]), reason="this machine has a GPU")
def test_without_a_gpu_the_error_is_one_line_with_a_cure():
    with pytest.raises(MachineError, match=r"^--device gpu: .+; .+$") as caught:
        gpu.require()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3
