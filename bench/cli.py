"""The `bench` command: what its options mean, and the exit codes."""

import argparse
import dataclasses
import itertools
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, get_args

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import doctor, plan, record, runfolder, runner, workload
from bench.data import command, sources
from bench.effects import MARGIN
from bench.errors import BenchError, MachineError, UsageError
from bench.estimate import memory_bytes
from bench.execution import Setting
from bench.layers import Gate
from bench.plan import Options
from bench.profiles import PROFILES
from bench.progress import duration
from bench.workload import Head

BUDGET = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>[smh])")
UNITS_S = {"s": 1, "m": 60, "h": 3600}


class _Parser(argparse.ArgumentParser):
    """argparse that says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}; see {self.prog} --help")


def main(arguments: Sequence[str] | None = None, setting: Setting | None = None) -> int:
    """Runs one verb and returns its exit code; `setting` is for tests."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if not sys.platform.startswith("linux"):
            raise MachineError(f"bench runs on Linux only (process groups, cgroups); this is {sys.platform}")
        given = _parser().parse_args(words)
        code: int = given.verb_function(given, words, setting or Setting(), Console())
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("bench: interrupted; nothing was measured", file=sys.stderr)
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("bench", description="Frameworks training small sequence models: proved equal, then timed.")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True, dest="verb")

    grid = _Parser(add_help=False)
    grid.add_argument("--workload", action="append", default=[], metavar="W", help="may be repeated; default: all")
    grid.add_argument(
        "--arm", action="append", default=[], metavar="A", help="may be repeated; default: all stock arms"
    )
    grid.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    grid.add_argument("--profile", choices=tuple(PROFILES), default="quick")
    _add_data(grid)
    grid.add_argument("--seed", type=_whole, default=0, metavar="N", help="of weights, order of samples, order of arms")
    grid.add_argument(
        "--budget", type=_seconds, metavar="10m", help="time for parity and measuring; default: quick 10m"
    )
    grid.add_argument("--out", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    grid.add_argument("--margin", type=_share, default=MARGIN, metavar="2%%", help="within it, step times are the same")
    grid.add_argument("--control", metavar="A", help="arm to enter twice, as this machine's noise; default: the first")
    grid.add_argument("--head", choices=get_args(Head), help="how a classifier's output meets its loss")
    grid.add_argument("--gate", choices=get_args(Gate), help="gate activation of recurrent layers")

    verb = verbs.add_parser("plan", parents=[grid], help="print what `run` would measure, with time and memory")
    verb.set_defaults(verb_function=_plan)
    verb = verbs.add_parser("run", parents=[grid], help="measure into a new folder, or complete one")
    verb.add_argument("--resume", metavar="RUN", help="folder or id of a run to complete, with its own options")
    verb.set_defaults(verb_function=_run)
    verb = verbs.add_parser("report", help="write a run's report, tables and figures again from its records")
    verb.add_argument("run", metavar="RUN", help="folder or id of a run")
    verb.add_argument("--out", type=Path, default=Path("results"), metavar="DIR", help="where ids are looked up")
    verb.set_defaults(verb_function=_report)
    verb = verbs.add_parser("doctor", help="say what this machine is and what it lacks")
    verb.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    verb.add_argument("--out", type=Path, default=Path("results"), metavar="DIR")
    verb.set_defaults(verb_function=_doctor)
    verb = verbs.add_parser("data", help="say where the data sets are and what they are, or fetch them")
    verb.add_argument("--workload", action="append", default=[], metavar="W", help="may be repeated; default: all")
    verb.add_argument("--data-dir", type=Path, metavar="DIR", help="local copies; default: $BENCH_DATA_DIR")
    verb.add_argument("--fetch", action="store_true", help="download into the cache what is not there")
    verb.set_defaults(verb_function=_data)
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", choices=("auto", "real", "synthetic"), default="auto")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="local copies; default: $BENCH_DATA_DIR")


def _whole(text: str) -> int:
    if not text.isdecimal() or not text.isascii():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def _seconds(text: str) -> float:
    match = BUDGET.fullmatch(text)
    if match is None or float(match["number"]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; expected a number with s, m or h, as in 90s or 10m")
    return float(match["number"]) * UNITS_S[match["unit"]]


def _share(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)%", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share; expected a percentage, as in 2% or 0.5%")
    return float(match[1]) / 100


def _options(given: argparse.Namespace, words: Sequence[str]) -> Options:
    return Options(
        workloads=tuple(given.workload),
        arms=tuple(given.arm),
        device=given.device,
        profile=given.profile,
        data=given.data,
        data_dir=_data_dir(given),
        seed=given.seed,
        budget_s=given.budget,
        out=given.out,
        head=given.head,
        gate=given.gate,
        margin=given.margin,
        control=given.control,
        command=("bench", *words),
    )


def _data_dir(given: argparse.Namespace) -> Path | None:
    named = sources.data_dir_from(given.data_dir)
    return named if named is None else named.absolute()


def _plan(given: argparse.Namespace, words: Sequence[str], setting: Setting, console: Console) -> int:
    ready, _, cells, notes, outlook = runner.planned(_options(given, words), setting)
    table = Table("block", "workload", "arms in order", "phases", "time", "memory of a cell")
    groups = itertools.groupby(cells, key=lambda cell: (cell.block, cell.workload, cell.phases))
    for (block, name, phases), group in groups:
        members = list(group)
        memory = memory_bytes(ready.workloads.get(name), setting.assumptions)
        arms = ", ".join(cell.contestant + (" (hole)" if cell.arm in ready.holes else "") for cell in members)
        time = duration(sum(cell.estimate_s for cell in members))
        table.add_row(str(block), name, escape(arms), ", ".join(phases), time, f"{memory / 2**30:.1f} GiB")
    console.print(table)
    total_s, limit_s = (
        sum(cell.estimate_s for cell in cells),
        plan.budget_s(ready.options, setting.profiles[ready.options.profile]),
    )
    console.print(f"{len(cells)} cells, about {duration(total_s)} after parity", highlight=False)
    profile = setting.profiles[ready.options.profile]
    if profile.most_blocks > profile.blocks:
        console.print(
            f"at least {profile.blocks} blocks, then more (at most {profile.most_blocks}) until every interval is "
            f"narrow enough for a margin of {ready.options.margin * 100:g}%",
            highlight=False,
            soft_wrap=True,
        )
    if limit_s is not None:
        console.print(f"budget {duration(limit_s)}: cells that do not fit are not started", highlight=False)
    for line in (
        *notes,
        *filter(None, [outlook]),
        *(f"hole: {arm}: {reason}" for arm, reason in ready.holes.items()),
        str(setting.assumptions),
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return 0


def _run(given: argparse.Namespace, words: Sequence[str], setting: Setting, console: Console) -> int:
    options = _options(given, words)
    if given.resume is None:
        return runner.run(options, console, setting)
    if dataclasses.replace(options, data_dir=None, out=Options.out, command=Options.command) != Options():
        raise UsageError(f"--resume {given.resume}: has its own options; only --data-dir and --out may be added")
    folder = runfolder.find(given.resume, given.out)
    stored = record.read(folder / "run.json", record.Run)
    stored_words = list(stored.command[1:])
    stored_options = _options(_parser().parse_args(stored_words), stored_words)
    if options.data_dir is not None:
        stored_options = dataclasses.replace(stored_options, data_dir=options.data_dir)
    return runner.resume(folder, stored, stored_options, console, setting)


def _report(given: argparse.Namespace, words: Sequence[str], setting: Setting, console: Console) -> int:
    from bench import report  # pandas and matplotlib: not for verbs that need neither

    for path in report.build(runfolder.find(given.run, given.out)):
        console.print(str(path), highlight=False, markup=False, soft_wrap=True)
    return 0


def _doctor(given: argparse.Namespace, words: Sequence[str], setting: Setting, console: Console) -> int:
    doctor.examine(given.device, given.out, console)
    return 0


def _data(given: argparse.Namespace, words: Sequence[str], setting: Setting, console: Console) -> int:
    specs = [workload.load(name) for name in given.workload or workload.names()]
    cache = runfolder.cache_root()
    if given.fetch and given.data_dir is not None:
        raise UsageError("--fetch: downloads into the cache; leave out --data-dir")
    if given.fetch:
        lines = command.download(specs, cache=cache, say=lambda line: print(line, file=sys.stderr))
    else:
        lines = command.describe(specs, data_dir=_data_dir(given), cache=cache)
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return 0
