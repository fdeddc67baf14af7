"""Everything derived from a run's records: report.md, two CSV files and the figures.

Nothing is measured here and nothing is added: building again from the same records gives the same bytes.
"""

import hashlib
import re
from pathlib import Path

from bench import record
from bench.errors import UsageError
from bench.report import curves, dots, frames, strip, style, summary, verdicts
from bench.report.answers import answer
from bench.report.appendix import appendix
from bench.report.contest import Contest
from bench.report.folder import Folder, load
from bench.report.markdown import number, short, text
from bench.report.notices import notices
from bench.report.sections import section

FIGURES = (
    ("throughput", "throughput per arm", dots.throughput),
    ("epoch_time", "epoch time per arm", dots.epoch_time),
    ("learning", "learning curves", curves.learning),
    ("rounds", "step time of every round", strip.rounds),
)
"""File name, what it shows, how it is drawn; in the order of the report."""


def build(run_folder: Path) -> list[Path]:
    """Writes report.md, measurements.csv, curves.csv and figures/*.svg into the folder; returns their paths.

    A record that cannot be read is set aside and listed. Raises a UsageError when `run.json` cannot be used or the
    folder cannot be written.
    """
    folder = load(run_folder)
    measurements, points = frames.measurements(folder), frames.curves(folder)
    contests = summary.contests(folder, measurements, points)
    drawn = {(contest.workload, contest.device): _figures(contest, folder) for contest in contests}
    files = {path: content for figures in drawn.values() for _, path, content in figures}
    files["measurements.csv"] = frames.to_csv(measurements)
    files["curves.csv"] = frames.to_csv(points)
    paths = {key: {what: path for what, path, _ in figures} for key, figures in drawn.items()}
    files["report.md"] = _page(folder, contests, paths).encode()
    return _write(run_folder, files)


def _page(folder: Folder, contests: list[Contest], paths: dict[tuple[str, str], dict[str, str]]) -> str:
    run = folder.run
    budget = f", budget {number(run.budget_s)} s" if run.budget_s else ""
    ended = f"; ended {text(run.finished)}" if run.finished else ""
    because = f" ({text(run.ended_because)})" if run.ended_because else ""
    course = f"started {text(run.started)}{ended}{because}"
    blocks = [
        f"# Run {short(run.id)}",
        f"Profile {text(run.profile)} on {text(run.device)}, seed {run.seed}{budget}; {course}.",
    ]
    warnings = notices(folder, contests)
    if warnings:
        blocks += ["## Read this first", "\n".join(f"- {line}" for line in warnings)]
    blocks += ["## In words", *map(answer, contests)]
    intervals = sum(map(verdicts.intervals, contests))
    blocks += [verdicts.legend(run.margin, intervals)] if intervals else []
    blocks += [] if contests else ["The run has no workload."]
    for contest in contests:
        blocks += section(contest, paths[contest.workload, contest.device], folder.parities)
    return "\n\n".join([*blocks, *appendix(folder)]) + "\n"


def _figures(contest: Contest, folder: Folder) -> list[tuple[str, str, bytes]]:
    """What it shows, path from the run folder, SVG."""
    looks = style.looks(folder.run.arms)
    found = []
    with style.context():
        for name, what, draw in FIGURES:
            figure = draw(contest, looks)
            if figure is not None:
                path = f"figures/{name}-{_slug(contest.workload)}-{_slug(contest.device)}.svg"
                found.append((what, path, style.svg(figure)))
    return found


def _slug(name: str) -> str:
    """A name as part of a file name; one that cannot be is replaced by what is left of it and a hash."""
    if re.fullmatch(r"[A-Za-z0-9_]{1,60}", name):
        return name
    return re.sub(r"[^A-Za-z0-9_]+", "_", name)[:40] + "_" + hashlib.sha256(name.encode()).hexdigest()[:8]


def _write(run_folder: Path, files: dict[str, bytes]) -> list[Path]:
    try:
        (run_folder / "figures").mkdir(exist_ok=True)
        for name, content in files.items():
            record.write_bytes(run_folder / name, content)
        drawn = {name for name, _, _ in FIGURES}
        for left in (run_folder / "figures").glob("*-*.svg"):  # of a report from records that are no longer usable
            if f"figures/{left.name}" not in files and left.name.partition("-")[0] in drawn:
                left.unlink()
    except OSError as error:
        raise UsageError(
            f"{run_folder}: the report cannot be written there ({error.strerror}); free it or copy the run"
        ) from error
    return [run_folder / name for name in sorted(files)]
