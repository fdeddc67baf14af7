"""Everything derived from a run's records: report.html, report.md, two CSV files, the figures with their data.

A run with whole trainings is judged too, and one that looked at the published head has a page on it.

Nothing is measured here and nothing is added: building again from the same records gives the same bytes.
"""

from pathlib import Path

from bench import record
from bench.errors import UsageError
from bench.report import (
    devices,
    figures,
    frames,
    judgement,
    judgement_figures,
    judgement_glance,
    judgement_head,
    judgement_read,
    page,
    scaling,
    summary,
    verdicts,
)
from bench.report.answers import answer
from bench.report.appendix import appendix, seeds
from bench.report.contest import Contest
from bench.report.figures import Drawing
from bench.report.folder import Folder, load
from bench.report.headline import alike, epoch, headline
from bench.report.judgement_glance import Glance
from bench.report.markdown import short, text
from bench.report.notices import notices
from bench.report.sections import section
from bench.report.trust import trust
from bench.wording import number


def build(run_folder: Path) -> list[Path]:
    """Writes report.html, report.md, measurements.csv, curves.csv and figures/*.svg, *.csv; returns their paths.

    A run with trainings or starts under the published head has broken-head.html too.

    A record that cannot be read is set aside and listed. Raises a UsageError when `run.json` cannot be used or the
    folder cannot be written.
    """
    folder = load(run_folder)
    measurements, points = frames.measurements(folder), frames.curves(folder)
    judged = judgement_read.judged(folder)
    contests = summary.contests(folder, measurements, points)
    if judged:
        contests = [judgement_glance.told(judged, contest) for contest in contests]
    drawings = [figures.drawings(contest, list(folder.run.arms)) for contest in contests]
    of_trainings = judgement_figures.drawings(judged) if judged else {}
    swept = scaling.sweeps(contests)
    of_sweeps = scaling.drawings(swept, folder.run.arms)
    of_devices = devices.families(contests)
    scaled = devices.drawings(of_devices, folder.run.arms)
    every = [
        *of_sweeps.values(),
        *scaled.values(),
        *(drawing for drawn in drawings for drawing in drawn.values()),
        *of_trainings.values(),
    ]
    files = {"measurements.csv": frames.to_csv(measurements), "curves.csv": frames.to_csv(points)}
    for drawing in every:
        files |= {drawing.path: drawing.svg, drawing.csv_path: drawing.csv}
    glance = judgement_glance.glance(judged) if judged else None
    verdict = _verdict(folder, contests, glance)
    judgements = judgement.blocks(judged, of_trainings) if judged else []
    several = [
        *judgements,
        *devices.blocks(of_devices, scaled, folder.parities, judged),
        *scaling.blocks(swept, of_sweeps),
    ]
    details = _details(folder, contests, drawings, several)
    trusted = "; ".join(text(word.text) for word in trust(folder, contests))
    heads = [f"# Run {short(folder.run.id)}", _facts(folder), f"How far to trust it: {trusted}."]
    files["report.md"] = ("\n\n".join([*heads, *verdict, *details]) + "\n").encode()
    files["report.html"] = page.html(
        folder, contests, _facts(folder), _legend(folder, contests), details, every, glance
    )
    if judged and (head := judgement.broken_head(judged, of_trainings, _whose(folder))):
        files[judgement_head.FILE] = head
    return _write(run_folder, files)


def _facts(folder: Folder) -> str:
    run = folder.run
    budget = f", budget {number(run.budget_s)} s" if run.budget_s else ""
    ended = f"; ended {text(run.finished)}" if run.finished else ""
    because = f" ({text(run.ended_because)})" if run.ended_because else ""
    course = f"started {text(run.started)}{ended}{because}"
    return f"Profile {text(run.profile)} on {text(run.device)}, {seeds(run)}{budget}; {course}."


def _whose(folder: Folder) -> list[str]:
    """Of a page beside the report: what run it is of, and the way back."""
    return [f"[Run {short(folder.run.id)}](report.html). {_facts(folder)}"]


def _verdict(folder: Folder, contests: list[Contest], glance: Glance | None) -> list[str]:
    """At a glance and in words; the page has cards for it."""
    if not contests:
        return ["The run has no workload."]
    lines = [
        " ".join(filter(None, (f"- {short(contest.workload)} on {short(contest.device)}:", headline(contest),
                               epoch(contest), f"{alike(contest, folder.parities).text}.")))
        for contest in contests
    ]  # fmt: skip
    first = judgement_glance.markdown(glance) if glance else []
    return ["## Verdict", *first, "\n".join(lines), "## In words", *map(answer, contests), *_legend(folder, contests)]


def _legend(folder: Folder, contests: list[Contest]) -> list[str]:
    intervals = sum(map(verdicts.intervals, contests))
    return [verdicts.legend(folder.run.margin, intervals)] if intervals else []


def _details(
    folder: Folder, contests: list[Contest], drawings: list[dict[str, Drawing]], of_several: list[str]
) -> list[str]:
    """Everything behind the verdict; what must be known before any figure comes first."""
    warnings = notices(folder, contests)
    blocks = ["## Read this first", "\n".join(f"- {line}" for line in warnings)] if warnings else []
    blocks += of_several
    for contest, drawn in zip(contests, drawings, strict=True):
        blocks += section(contest, drawn, folder.parities)
    return [*blocks, *appendix(folder)]


def _write(run_folder: Path, files: dict[str, bytes]) -> list[Path]:
    try:
        (run_folder / "figures").mkdir(exist_ok=True)
        for name, content in files.items():
            record.write_bytes(run_folder / name, content)
        drawn = {*(kind.name for kind in figures.KINDS), *judgement_figures.KINDS, scaling.KIND, devices.KIND}
        for left in (run_folder / "figures").glob("*-*.*"):  # of a report from records that are no longer usable
            ours = left.suffix in (".svg", ".csv") and left.name.partition("-")[0] in drawn
            if ours and f"figures/{left.name}" not in files:
                left.unlink()
        if judgement_head.FILE not in files:
            (run_folder / judgement_head.FILE).unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"{run_folder}: the report cannot be written there ({error.strerror}); free it or copy the run"
        ) from error
    return [run_folder / name for name in sorted(files)]
