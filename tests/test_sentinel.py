"""What the machine was doing: counters of a made-up machine with known answers, and a few of this one."""

import dataclasses
import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bench import sentinel
from bench.counters import OwnTime
from bench.sentinel import Sentinel

TICKS = os.sysconf("SC_CLK_TCK")


class Machine:
    """A root folder whose counters are set by hand; two cores are watched, a third one is not."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.own_s = 0.0
        self.now_s = 1000.0
        self.busy_s = {0: 50.0, 1: 60.0, 2: 0.0}
        self.idle_s = {0: 9.0, 1: 9.0, 2: 9.0}
        self.steal_s = {0: 1.0, 1: 1.0, 2: 1.0}

    def put(self, path: str, content: object) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")

    def watched(self) -> Sentinel:
        self.tick()
        return Sentinel((0, 1), "cpu", lambda: self.own_s, self.root)

    def tick(self) -> None:
        """Writes /proc/stat; a quarter of the busy time is the system's, and the columns of guests are no time more."""
        lines = ["cpu  1 1 1 1 1 1 1 1 0 0"]
        for core in self.busy_s:
            busy, idle = round(self.busy_s[core] * TICKS), round(self.idle_s[core] * TICKS)
            system, steal = busy // 4, round(self.steal_s[core] * TICKS)
            lines.append(f"cpu{core} {busy - system} 0 {system} {idle} 0 0 0 {steal} {busy} 0")
        self.put("proc/stat", "\n".join([*lines, "intr 1 2 3", "ctxt 4"]))

    def read(self, watched: Sentinel) -> sentinel.Reading:
        return dataclasses.replace(watched.read(), at_s=self.now_s)

    def spend(self, seconds: float, own: float = 0.0, foreign: float = 0.0, steal: float = 0.0) -> None:
        """Lets time pass in which so many cores' worth was used, evenly on both watched cores."""
        self.now_s += seconds
        self.own_s += own * seconds
        for core in (0, 1):
            self.busy_s[core] += (own + foreign) * seconds / 2
            self.steal_s[core] += steal * seconds / 2
            self.idle_s[core] += seconds - (own + foreign + steal) * seconds / 2
        self.tick()


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def window(machine, seconds=1.0, **spent):
    watched = machine.watched()
    before = machine.read(watched)
    machine.spend(seconds, **spent)
    return watched.window(before, machine.read(watched), zero_s=990.0)


def test_the_measured_processes_own_work_is_no_load_from_others(machine):
    found = window(machine, own=1.8)
    assert found.readings["foreign_cores"] == pytest.approx(0.0, abs=4 / TICKS)  # a tick cut off for each count
    assert found.readings["own_cores"] == pytest.approx(1.8)
    assert found.taints == ()
    assert (found.start_s, found.end_s) == (10.0, 11.0)


def test_load_from_others_on_the_same_cores_taints_and_is_told_in_cores(machine):
    found = window(machine, own=1.0, foreign=0.62)
    assert found.taints == ("other processes used 0.62 of a core",)


def test_load_on_other_cores_is_not_this_measurements_business(machine):
    watched = machine.watched()
    before = machine.read(watched)
    machine.busy_s[2] += 1.0
    machine.spend(1.0, own=1.0)
    assert watched.window(before, machine.read(watched), 0.0).taints == ()


@pytest.mark.parametrize("ticks", [1, 2, 4])
def test_a_few_ticks_are_within_what_the_counters_resolve(machine, ticks):
    found = window(machine, sentinel.MIN_WINDOW_S, foreign=ticks / TICKS / sentinel.MIN_WINDOW_S)
    assert found.taints == ()


def test_half_a_core_is_seen_in_the_shortest_window_that_is_judged_and_in_no_shorter_one(machine):
    assert len(window(machine, sentinel.MIN_WINDOW_S, foreign=0.5).taints) == 1
    assert window(machine, sentinel.MIN_WINDOW_S * 0.8, foreign=0.5, steal=0.5).taints == ()


@pytest.mark.parametrize("counter", ["busy_s", "idle_s"])
def test_of_two_counts_of_the_same_time_the_one_with_less_load_is_believed(machine, counter):
    watched = machine.watched()
    before = machine.read(watched)
    machine.spend(1.0, own=1.0)
    getattr(machine, counter)[0] += 0.3 if counter == "busy_s" else -0.3  # sampled too often; not counted as idle
    machine.tick()
    assert watched.window(before, machine.read(watched), 0.0).taints == ()


def test_stolen_time_taints(machine):
    assert window(machine, own=1.0, steal=0.3).taints == ("the hypervisor took 0.30 of a core",)
    assert window(machine, own=1.0, steal=0.04).taints == ()


def test_no_more_time_is_stolen_than_there_was(machine):
    watched = machine.watched()
    before = machine.read(watched)
    machine.steal_s[0] += 7.0
    machine.spend(1.0)
    assert watched.window(before, machine.read(watched), 0.0).readings["steal_cores"] == 2.0


def changed(machine, path, before, after, seconds=1.0, own=1.0):
    """The window in which one file went from `before` to `after`."""
    machine.put(path, before)
    watched = machine.watched()
    first = machine.read(watched)
    machine.put(path, after)
    machine.spend(seconds, own=own)
    return watched.window(first, machine.read(watched), 0.0)


@pytest.mark.parametrize(
    ("groups", "path", "text"),
    [
        ("0::/job", "sys/fs/cgroup/job/cpu.stat", "usage_usec 5\nnr_throttled 3\nthrottled_usec {micro}"),
        ("1:cpu:/job", "sys/fs/cgroup/cpu/job/cpu.stat", "nr_throttled 3\nthrottled_time {micro}000"),
    ],
)
def test_throttling_by_a_control_group_of_either_version_taints(machine, groups, path, text):
    machine.put("proc/self/cgroup", groups)
    found = changed(machine, path, text.format(micro=1_000_000), text.format(micro=1_240_000))
    assert found.taints == ("the cgroup was throttled for 12 % of the time",)  # 0.24 s of two cores' second
    assert changed(machine, path, text.format(micro=1), text.format(micro=2)).taints == ()


def test_swapping_taints_and_is_found_beyond_the_first_page_of_its_file(machine):
    filler = "\n".join(f"nr_something_{number} 12345" for number in range(5000))  # more than one read returns
    found = changed(
        machine,
        "proc/vmstat",
        f"{filler}\npswpin 100\npswpout 7\npswpin_zero 1",
        f"{filler}\npswpin 130\npswpout 17\npswpin_zero 9999",
    )
    assert found.taints == ("40 pages were swapped",)


def test_waiting_for_memory_taints_when_all_tasks_wait(machine):
    text = "some avg10=0.00 avg60=0.00 avg300=0.00 total={some}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total={full}"
    calm = changed(machine, "proc/pressure/memory", text.format(some=0, full=0), text.format(some=900_000, full=0))
    assert calm.taints == ()
    stalled = text.format(some=900_000, full=200_000)
    found = changed(machine, "proc/pressure/memory", text.format(some=0, full=0), stalled)
    assert found.taints == ("all tasks waited for memory for 20 % of the time",)


def test_slowing_down_for_heat_taints(machine):
    found = changed(machine, "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", 4, 6)
    assert found.taints == ("heat slowed the processor down, 2 times counted over its cores",)


def test_the_least_memory_that_was_available_is_kept(machine):
    found = changed(machine, "proc/meminfo", "MemAvailable: 2000 kB", "MemFree: 1 kB\nMemAvailable:    1000 kB")
    assert found.readings["memory_available_bytes"] == 1_024_000


def frequencies(machine, *windows, seconds=1.0):
    """Taints of windows one after the other, each with own load in cores and the frequency of both cores in GHz."""
    watched = None
    found = []
    for own, ghz in windows:
        for core in (0, 1):
            machine.put(f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq", round(ghz * 1e6))
        watched = watched or machine.watched()
        before = machine.read(watched)
        machine.spend(seconds, own=own)
        found.append(watched.window(before, machine.read(watched), 0.0).taints)
    return found


def test_a_frequency_that_falls_under_the_same_load_taints(machine):
    calm, within, fallen = frequencies(machine, (2.0, 4.0), (2.0, 3.7), (2.0, 3.5))
    assert (calm, within) == ((), ())
    assert fallen == ("the processor ran at 3.50 GHz, 4.00 GHz before under as much load",)


def test_no_frequency_is_judged_in_a_short_window(machine):
    assert frequencies(machine, (2.0, 4.0), (2.0, 2.0), seconds=sentinel.MIN_WINDOW_S / 2) == [(), ()]


def test_one_busy_core_may_run_faster_than_two_and_an_idle_one_slower(machine):
    assert frequencies(machine, (1.0, 4.8), (2.0, 3.8), (0.1, 0.8), (2.0, 3.8)) == [()] * 4


def test_a_machine_that_shows_nothing_has_no_readings_and_no_taints(tmp_path):
    watched = Sentinel((0, 1), "cpu", lambda: 0.0, tmp_path)
    before = watched.read()
    found = watched.window(before, watched.read(), before.at_s)
    assert (found.readings, found.taints) == ({}, ())


def test_files_that_hold_nothing_are_as_good_as_none(machine):
    for path in ("proc/vmstat", "proc/meminfo", "proc/pressure/memory", "proc/self/cgroup"):
        machine.put(path, "")
    machine.put("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "<unknown>")
    assert set(window(machine).readings) == {"foreign_cores", "own_cores", "steal_cores"}


SPIN = "import time\nwhile time.process_time() < 0.3: pass\n"
SPIN_AND_WAIT = SPIN + "print('done', flush=True); input()"
SPIN_BELOW = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SPIN_AND_WAIT!r}])"
SLACK_S = 0.05
"""Of the process times of another process: its two counts are cut to ticks of 10 ms, and its start costs some."""


@pytest.mark.parametrize("script", [SPIN_AND_WAIT, SPIN_BELOW], ids=["child", "grandchild"])
def test_what_a_child_uses_is_own_time_while_it_runs_and_after_it_was_waited_for(script):
    own = OwnTime()
    before_s = own()
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        running_s = own() - before_s
        assert child.pid in own.descendants()
        child.communicate("\n")
    assert running_s >= 0.3 - SLACK_S
    assert own() - before_s >= running_s - SLACK_S
    assert own.descendants() == []


def test_children_are_found_with_and_without_the_kernels_list_of_them(tmp_path):
    def put(pid: int, parent: int, children: str | None) -> None:
        folder = tmp_path / "proc" / str(pid)
        (folder / "task" / str(pid)).mkdir(parents=True)
        (folder / "stat").write_text(f"{pid} (a) name) S {parent} 1 1 0 -1 0 0 0 0 0 11 12 13 14 20 0")
        if children is not None:
            (folder / "task" / str(pid) / "children").write_text(children)

    put(5000001, 1, "5000002 5000003 ")
    put(5000002, 5000001, "5000004 ")
    put(5000003, 5000001, "")
    put(5000004, 5000002, "")
    put(5000005, 1, "")
    found = OwnTime(tmp_path)
    assert sorted(found._find(5000001)) == [5000002, 5000003, 5000004]
    assert sorted(found._by_parent(5000001)) == [5000002, 5000003, 5000004]
    assert found._cpu_s(5000004) == pytest.approx((11 + 12 + 13 + 14) / TICKS)


def test_on_this_machine_what_a_stranger_does_counts_as_foreign(tmp_path):
    watched = Sentinel(sorted(os.sched_getaffinity(0)), "cpu")
    before = watched.read()
    flag = tmp_path / "done"
    os.mkfifo(flag)
    # The middle process ends at once: the one that works is nobody's child here.
    middle = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]], start_new_session=True)"
    work = f"{SPIN}open({str(flag)!r}, 'w').close()"
    subprocess.run([sys.executable, "-c", middle, work], check=True)
    flag.read_text()  # until it has done its work
    found = watched.window(before, watched.read(), before.at_s)
    if "foreign_cores" not in found.readings:
        pytest.skip("this machine does not show what its cores do")
    # Half of it: a hypervisor that steals makes the counts coarse, always towards too little.
    assert found.readings["foreign_cores"] * (found.end_s - found.start_s) >= 0.15


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_reading_is_cheap_and_opens_nothing_and_starts_no_thread():
    watched = Sentinel(sorted(os.sched_getaffinity(0)), "cpu")
    files, threads = open_files(), threading.active_count()
    costs_s = []
    for _ in range(50):
        start_s = time.perf_counter()
        watched.read()
        costs_s.append(time.perf_counter() - start_s)
    assert open_files() == files
    assert threading.active_count() == threads
    assert min(costs_s) < 0.002  # ten times what it takes; /proc/stat is long on machines with many cores
    del watched
    gc.collect()
    assert open_files() < files
