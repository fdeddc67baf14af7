import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from make_run import edit, make_run
from read_report import headings, notices, rows

from bench import derived, effects, record
from bench.report import build


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two workloads, all arms but a hole, genuine data, two epochs, an A/A control, ceilings, disturbed rounds."""
    folder = make_run(
        tmp_path_factory.mktemp("runs") / "whole",
        workloads=("conv", "conv_only"),
        blocks=3,
        rounds=5,
        epochs=2,
        identity="genuine",
        holes={"torch-compile": "no C++ compiler; install g++"},
        control="torch-eager",
        ceilings=True,
        busy=0.1,
        counter="RAPL of the package",
    )
    build(folder)
    return folder


def test_the_report_tells_its_story_in_a_fixed_order(whole: Path) -> None:
    assert headings((whole / "report.md").read_text()) == [
        "# Run whole",
        "## Verdict",
        "## In words",
        "## Read this first",
        *(
            line
            for title in (
                "conv on cpu: IMDB reviews, convolutions",
                "conv_only on cpu: Jena temperature, convolutions alone",
            )
            for line in (
                f"## {title}",
                "### Step time",
                "### Epoch, first step, validation",
                "### Learning",
                "### Speed against quality",
                "### Where the time goes",
                "### Every round",
                "### Resources and cause",
                "### Distance to the limit",
                "### Parity",
                "### Model",
            )
        ),
        "## Disturbances",
        "## Environment",
        "## Data",
        "## Settings",
        "### The same in all arms",
        "### Differences between arms",
        "## Run it again",
    ]


def test_the_answer_names_the_shortest_step_time_and_its_effect_on_each_other_arm(whole: Path) -> None:
    report = (whole / "report.md").read_text()
    answer = report[report.index("**conv on cpu**") : report.index("**conv_only on cpu**")]
    kept = [
        r
        for r in rows(whole / "measurements.csv")
        if r["workload"] == "conv" and r["phase"] == "train_step" and r["counted"] == "1" and not r["label"]
    ]
    blocks = {
        arm: {
            int(block): statistics.median(
                float(r["step_time_s"]) for r in kept if (r["arm"], r["block"]) == (arm, block)
            )
            for block in ("1", "2", "3")
        }
        for arm in ("keras-jax", "keras-torch")
    }
    best = blocks["keras-jax"].values()
    low, middle, high = (f"{s * 1e3:.1f}" for s in (min(best), statistics.median(best), max(best)))
    assert f"keras-jax's, {middle} ms (median of block medians; 3 blocks, {low} to {high} ms)" in answer
    effect = effects.effect(blocks["keras-jax"], blocks["keras-torch"])
    assert effect is not None
    assert effect.high < 0.5, "the simulated arms are a factor of 2.3 apart"
    found = re.search(
        r"keras-jax is FASTER than keras-torch: takes (\S+) of its time \[(\S+), (\S+)\], 3 blocks", answer
    )
    assert found is not None
    for shown, exact in zip(found.groups(), (effect.ratio, effect.low, effect.high), strict=True):
        assert float(shown) == pytest.approx(exact, abs=0.005), "two decimals are shown"
    assert "Without a step time: torch-compile (hole)." in answer


def test_the_csv_holds_every_raw_round_of_the_records_exactly(whole: Path) -> None:
    found = rows(whole / "measurements.csv")
    expected = []
    for path in sorted((whole / "cells").iterdir()):
        cell = record.read(path, record.Cell)
        for phase in derived.phases(cell).values():
            flags = zip(phase.rounds_s, phase.tainted, phase.counted, strict=True)
            for place, (seconds, tainted, counted) in enumerate(flags):
                marked = (place < phase.warmup_rounds, tainted, counted)
                start_s = phase.starts_s[place] if phase.starts_s else None
                numbers = (seconds, seconds / phase.steps_per_round, start_s)
                expected.append((cell.id, cell.label, phase.name, place + 1, *map(int, marked), *numbers))
    held = [
        (
            *(r["cell"], r["label"], r["phase"]),
            *(int(r[name]) for name in ("round", "warmup", "tainted", "counted")),
            *(float(r[name]) if r[name] else None for name in ("seconds", "step_time_s", "start_s")),
        )
        for r in found
        if r["status"] == "ok"
    ]
    assert {r["workload"] for r in found} == {"conv", "conv_only", "ceiling"}
    assert any(r["tainted"] == "1" and r["counted"] == "0" for r in found), "or nothing is shown of disturbed rounds"
    assert sorted(held) == sorted(expected)
    assert all(
        float(r["throughput_samples_per_s"]) == int(r["samples"]) / float(r["seconds"]) for r in found if r["seconds"]
    )


def test_the_csv_holds_every_point_of_every_learning_curve_exactly(whole: Path) -> None:
    held = {
        (r["cell"], r["epoch"], r["split"], r["metric"]): (
            float(r["value"]),
            float(r["train_s"]),
            float(r["validate_s"]),
        )
        for r in rows(whole / "curves.csv")
    }
    expected = {}
    for path in (whole / "cells").iterdir():
        cell = record.read(path, record.Cell)
        for point in cell.curve:
            for split in ("train", "validation"):
                for metric, value in getattr(point, split).items():
                    expected[cell.id, str(point.epoch), split, metric] = (value, point.train_s, point.validate_s)
    assert held == expected


def test_building_again_gives_the_same_bytes_even_in_another_process(whole: Path) -> None:
    before = {path: path.read_bytes() for path in build(whole)}
    program = "import sys, pathlib; from bench.report import build; build(pathlib.Path(sys.argv[1]))"
    root = Path(__file__).parent.parent
    subprocess.run(
        [sys.executable, "-c", program, str(whole)], check=True, cwd=root, env=os.environ | {"PYTHONHASHSEED": "77"}
    )
    assert {path: path.read_bytes() for path in before} == before
    assert not list(whole.rglob(".*")), "temporary files were left behind"


def test_published_figures_stand_beside_genuine_data_with_their_source_and_head(whole: Path) -> None:
    report = (whole / "report.md").read_text()
    assert "| published |" in report
    assert "0.6818" in report, "the published validation loss of conv after epoch 1"
    assert "Published: Deep Learning with Python (2017)" in report
    assert "made with head `as_published`" in report


def test_published_figures_made_with_the_same_head_need_no_note(tmp_path: Path) -> None:
    folder = make_run(
        tmp_path / "run",
        workloads=("conv",),
        arms=("torch-eager",),
        blocks=1,
        rounds=3,
        identity="equivalent",
        head="as_published",
    )
    build(folder)
    report = (folder / "report.md").read_text()
    assert "0.6818" in report
    assert "made with head" not in report


@pytest.mark.parametrize(
    ("identity", "epoch_steps", "why"),
    [
        ("synthetic", None, "the data is synthetic"),
        ("other", None, "the data is other"),
        ("genuine", 3, "epochs were cut to 3 of 157 steps"),
    ],
)
def test_published_figures_never_stand_beside_what_they_cannot_be_compared_with(
    tmp_path: Path, identity: str, epoch_steps: int | None, why: str
) -> None:
    folder = make_run(
        tmp_path / "run",
        workloads=("conv",),
        arms=("torch-eager",),
        blocks=1,
        rounds=3,
        identity=identity,
        epoch_steps=epoch_steps,
    )
    build(folder)
    report = (folder / "report.md").read_text()
    assert f"Published figures are not shown: {why}" in report
    assert "0.6818" not in report
    assert "published |" not in report
    if identity != "genuine":
        notice = {"synthetic": "**Synthetic data** (conv)", "other": "**Another year's data** (conv)"}[identity]
        assert notice in notices(report)


def test_a_run_of_trainings_only_is_ranked_by_epoch_time(tmp_path: Path) -> None:
    folder = make_run(
        tmp_path / "book", workloads=("conv_only",), arms=("torch-eager", "keras-jax"), blocks=1, rounds=1, epochs=3
    )
    for path in (folder / "cells").iterdir():
        cell = record.read(path, record.Cell)
        epoch = derived.phases(cell)["epoch"].rounds_s[0]
        extra = {"phase": "converge", "warmup_rounds": 0, "steps_per_round": 500, "samples_per_round": 64_000}
        edit(path, pytest_benchmark={"benchmarks": [{"extra_info": extra, "stats": {"data": [epoch] * 3}}]})
    build(folder)
    report = (folder / "report.md").read_text()
    assert "the shortest epoch time is torch-eager's" in report, "keras-jax's epochs wait for data"
    assert "torch-eager against keras-jax is UNRESOLVED: ratio 0." in report
    assert "(no interval), 1 block." in report
    assert {path.name.partition("-")[0] for path in (folder / "figures").iterdir()} == {
        "epoch_time",
        "learning",
        "quality",
        "phases",
    }


def test_the_report_side_loads_nothing_of_the_measuring_side() -> None:
    program = "import sys, bench.report, bench.stats; print(*sys.modules)"
    root = Path(__file__).parent.parent
    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=root
    ).stdout.split()
    measuring = {f"bench.{name}" for name in ("runner", "plan", "measure", "implementation", "parity", "reference")}
    assert not measuring & set(loaded)
    assert not {"torch", "tensorflow", "keras", "jax"} & set(loaded)
