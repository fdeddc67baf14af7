"""The runs that are committed under results/published: small, complete in their parts, and as the README tells them."""

from pathlib import Path

import pandas as pd
import pytest

import bench
from bench import derived, effects, stats
from bench.judgement import dead_start
from bench.report import devices, frames, judgement_claims, judgement_read, summary
from bench.report.devices import Family
from bench.report.folder import load
from bench.report.judgement_read import Judged
from bench.report.loaded import LoadedRun
from bench.wording import number, ratio

ROOT = Path(__file__).parent.parent
PUBLISHED = sorted(path for path in (ROOT / "results" / "published").iterdir() if path.is_dir())
BOOK = [path for path in PUBLISHED if path.name.startswith("cpu-")]
TRAINED = [path for path in PUBLISHED if '"converge"' in (path / "run.json").read_text()]
SCALED = [path for path in PUBLISHED if '.devices-2"' in (path / "run.json").read_text()]
STEPPED = [path for path in PUBLISHED if path not in SCALED and '"train_step"' in (path / "run.json").read_text()]
LIMIT_BYTES = 5_000_000
README = (ROOT / "README.md").read_text()


each = pytest.mark.parametrize("published", PUBLISHED, ids=lambda path: path.name)
each_of_the_book = pytest.mark.parametrize("published", BOOK, ids=lambda path: path.name)
each_of_trainings = pytest.mark.parametrize("published", TRAINED, ids=lambda path: path.name)
each_scaled = pytest.mark.parametrize("published", SCALED, ids=lambda path: path.name)
each_of_steps = pytest.mark.parametrize("published", STEPPED, ids=lambda path: path.name)


def times(run: LoadedRun, reference: str = "keras-published") -> list[str]:
    """The README's table of step times: every arm's, and how many times as fast as the reference it is."""
    told = []
    for workload in run.run.workloads:
        figures: dict[str, dict[int, float]] = {}
        for cell in run.cells:
            step_s = derived.step_s(cell) if cell.status == "ok" and cell.workload == workload else None
            if step_s is not None and not cell.label:
                figures.setdefault(cell.arm, {})[cell.block] = step_s
        for arm, blocks in figures.items():
            found, step_ms = effects.effect(figures[reference], blocks), 1e3 * stats.median(list(blocks.values()))
            speed = "1" if arm == reference else f"{found.ratio:.2f} [{found.low:.2f}, {found.high:.2f}]"
            told.append(f"| `{workload}` | {arm} | {step_ms:.1f} ms | {speed} | {len(blocks)} |")
    return told


def rows(run: LoadedRun) -> list[str]:
    """The README's table: every workload and arm with whole trainings, dead ones by themselves; the naive forecast."""
    whole = run.trainings[run.trainings["ended"] == "whole"]
    tests = run.tested[run.tested["set"] == "test"]
    epochs = run.measurements[(run.measurements["phase"] == "converge") & (run.measurements["counted"] == 1)]
    told: list[str] = []
    for (workload, arm, dead), mine in whole.groupby(["workload", "arm", "dead"], sort=False):
        metric = mine["metric"].iloc[0]
        test = tests[tests["cell"].isin(mine["cell"]) & (tests["metric"] == metric)]["value"]
        epoch_s = epochs[epochs["cell"].isin(mine["cell"])].groupby("cell")["seconds"].median().median()
        seeds = ", ".join(map(str, sorted(mine["seed"])))
        spec = run.run.workloads[workload]
        if spec.naive_loss is not None and not any(line.startswith(f"| `{workload}` |") for line in told):
            told.append(f"| `{workload}` | naive | - | loss {spec.naive_loss:.3f} | {spec.naive_test_loss:.3f} | - |")
        told.append(
            f"| `{workload}` | {arm} | {seeds}{' (dead)' if dead else ''} | {metric} {_range(mine['best'])} "
            f"| {_range(test)} | {epoch_s:.1f} s |"
        )
    return told


def verdicts(judged: Judged) -> list[str]:
    """The README's table of the book's claims."""
    told = []
    for found in judged.claims:
        effect, seeds = judgement_claims.effect(found.parts), judgement_claims.seeds(found.parts)
        data = " and ".join(found.identity) or "-"
        name = judgement_claims.name(found)
        told.append(f"| {name} | {found.claim.text} | {found.verdict} | {effect} | {seeds} | {data} |")
    return told


def families(published: Path) -> list[Family]:
    """The run's workloads on one device and on more."""
    folder = load(published)
    return devices.families(summary.contests(folder, frames.measurements(folder), frames.curves(folder)))


def efficiencies(found: list[Family]) -> list[str]:
    """The README's table of several devices: on one the step time, on two the efficiencies; the fastest arm first."""
    told = []
    for family in found:
        alone = family.alone.figures("train_step")
        medians = {arm: stats.median(list(alone[arm].values())) for arm in family.arms if arm in alone}
        for arm in sorted(medians, key=lambda arm: medians[arm]):
            if gains := {gain.scaling: ratio(gain.efficiency) for gain in devices.gains(family, arm)}:
                strong, weak = gains[devices.STRONG], gains[devices.WEAK]
                told.append(f"| `{family.workload}` | {arm} | {number(1e3 * medians[arm])} ms | {strong} | {weak} |")
    return told


def _range(values: pd.Series) -> str:
    low, high = f"{values.min():.3f}", f"{values.max():.3f}"
    return low if low == high else f"{low} to {high}"


def test_there_is_one_of_each() -> None:
    assert BOOK
    assert STEPPED
    assert SCALED
    assert set(TRAINED) >= set(BOOK)


@each
def test_a_committed_run_is_small_and_nothing_of_it_is_set_aside(published: Path) -> None:
    run = bench.load_run(published)
    # report.html is not committed: whoever reads the folder writes it from the rest
    committed = (path for path in published.rglob("*") if path.is_file() and path.name != "report.html")
    assert sum(path.stat().st_size for path in committed) < LIMIT_BYTES
    assert run.set_aside == ()
    assert len(run.trainings) or published not in TRAINED
    assert not list(published.glob("**/*.npz"))


@each
def test_the_readme_links_its_report_and_says_the_commit_it_was_obtained_with(published: Path) -> None:
    run = bench.load_run(published).run
    assert f"(results/published/{published.name}/report.md)" in README
    assert run.environment["git"]["commit"][:7] in README
    assert run.environment["git"]["dirty"] is False


@each_of_steps
def test_the_step_times_in_the_readme_are_those_of_the_run(published: Path) -> None:
    expected = times(bench.load_run(published))
    assert expected
    assert [line for line in README.splitlines() if line in expected] == expected


@each_scaled
def test_the_efficiencies_on_several_devices_in_the_readme_are_those_of_the_run(published: Path) -> None:
    expected = efficiencies(families(published))
    assert expected or published in TRAINED
    assert [line for line in README.splitlines() if line in expected] == expected


@each_of_trainings
def test_the_figures_in_the_readme_are_those_of_the_run(published: Path) -> None:
    expected = rows(bench.load_run(published))
    found = [line for line in README.splitlines() if line in expected]
    assert found == expected


@each_of_the_book
def test_the_verdicts_on_the_claims_in_the_readme_are_those_of_the_run(published: Path) -> None:
    judged = judgement_read.judged(load(published))
    assert judged is not None
    expected = verdicts(judged)
    assert [line for line in README.splitlines() if line in expected] == expected


@each_of_trainings
def test_what_the_readme_says_of_convergence_and_of_dead_starts_is_what_the_run_says(published: Path) -> None:
    judged = judgement_read.judged(load(published))
    assert judged is not None
    words = " ".join(README.split())
    of_devices = [each for family in families(published) for each in devices.learning(family, judged).values()]
    assert of_devices or published not in SCALED
    for found in [*(each for each in judged.equivalences if each.workload == "conv"), *of_devices]:
        if found.estimate is not None and found.estimate.low is not None:
            value, low, high = found.estimate.value, found.estimate.low, found.estimate.high
            assert f"{found.verdict}, difference {value:+.4f} [{low:+.4f}, {high:+.4f}]" in words
    for shares in dead_start.shares(judged.starts):
        low, high = (100 * end for end in shares.intervals["dead"])
        assert f"{shares.counts['dead']} of {shares.seeds} ({low:.0f} to {high:.0f} %)" in words
