"""The `bench` command: what its options mean, and the exit codes."""

import argparse
import dataclasses
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, get_args

from rich.console import Console

from bench import caches, catalogue, doctor, handover, image, outlook, record, runfolder, runner, stream
from bench.compare import regression
from bench.containers import command as image_verb
from bench.contest import Options, Part
from bench.data import command, sources
from bench.effects import MARGIN
from bench.errors import BenchError, MachineError, UsageError, tell
from bench.execution import Setting
from bench.fleet import command as fleet
from bench.fleet import record as fleet_record
from bench.interrupt import INTERRUPTED, NOTHING, interruptible
from bench.layers import Gate
from bench.profiles import PROFILES
from bench.workload import PRECISIONS, Head

LARGEST_PERCENT = 1000
BUDGET = re.compile(r"(?P<number>[0-9]+(\.[0-9]+)?)(?P<unit>[smh])")
FORMATS = ("html", "md", "csv", "pytest-benchmark", "junit", "github-action-benchmark", "mllog")
"""What `bench.report.exports` makes; named here because to import it takes a second."""
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
        with interruptible():
            given = _parser().parse_args(words)
            caches.require_temporary()
            code: int = given.verb_function(given, words, setting or Setting(), _console())
    except BenchError as error:
        tell(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        tell(NOTHING)
        return INTERRUPTED
    return code


def _console() -> Console:
    """Of every verb's tables; under NO_COLOR without any style, bold too, as `bench.display.screen` has it."""
    return Console(color_system=None if os.environ.get("NO_COLOR") else "auto")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("bench", description="Frameworks training small sequence models: proved equal, then timed.")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True, dest="verb")

    grid = _Parser(add_help=False)
    grid.add_argument("--workload", action="append", default=[], metavar="W", help="may be repeated; default: all")
    grid.add_argument(
        "--arm", action="append", default=[], metavar="A", help="may be repeated; default: all stock arms"
    )
    _add_device(grid)
    grid.add_argument("--profile", choices=tuple(PROFILES), default="quick")
    _add_data(grid)
    grid.add_argument(
        "--seed",
        type=_whole,
        action="append",
        default=[],
        metavar="N",
        help="of weights, order of samples, order of arms; default: 0; profile book: may be repeated",
    )
    grid.add_argument(
        "--budget", type=_seconds, metavar="10m", help="time for parity and measuring; default: quick 10m"
    )
    grid.add_argument("--out", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    grid.add_argument("--margin", type=_share, default=MARGIN, metavar="2%%", help="within it, step times are the same")
    grid.add_argument("--control", metavar="A", help="arm to enter twice, as this machine's noise; default: the first")
    grid.add_argument("--head", choices=get_args(Head), help="how a classifier's output meets its loss")
    grid.add_argument("--gate", choices=get_args(Gate), help="gate activation of recurrent layers")
    grid.add_argument("--precision", choices=PRECISIONS, help="of products and convolutions; default: float32")
    grid.add_argument(
        "--sweep",
        type=_sweep,
        action="append",
        default=[],
        metavar="batch=32..4096",
        help="every workload with batches, or timesteps, doubled from the one number to the other; may be repeated",
    )
    grid.add_argument(
        "--devices",
        type=_counts,
        default=(),
        metavar="1,2,4",
        help="train on so many devices, data-parallel: each batch shared out, and batches so many times as large",
    )

    verb = verbs.add_parser("plan", parents=[grid], help="print what `run` would measure, with time and memory")
    verb.set_defaults(verb_function=_plan)
    measuring = _Parser(add_help=False, parents=[grid])  # here and in a container: the two can never differ
    measuring.add_argument("--resume", metavar="RUN", help="folder or id of a run to complete, with its own options")
    _add_stream(measuring)
    verb = verbs.add_parser("run", parents=[measuring], help="measure into a new folder, or complete one")
    verb.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="measure on the machines of a Ray cluster: auto for the one of this machine, HOST:PORT, ray://HOST:PORT",
    )
    verb.set_defaults(verb_function=_run)
    image_verb.add_parser(verbs, measuring)
    verb = verbs.add_parser("report", help="write a run's report again from its records, or an index of many runs")
    verb.add_argument("run", metavar="RUN", help="folder or id of a run; or a folder that holds runs, for their index")
    verb.add_argument("--out", type=Path, default=Path("results"), metavar="DIR", help="where ids are looked up")
    verb.add_argument(
        "--format",
        action="append",
        default=[],
        choices=FORMATS,
        metavar="F",
        help=f"may be repeated: {', '.join(FORMATS)}; the last four go to RUN/exports; default: the whole report",
    )
    _add_stream(verb)
    verb.set_defaults(verb_function=_report)
    verb = verbs.add_parser(
        "reproduce",
        help="say what a run was obtained with and how to obtain it again; --yes does it and compares the two",
        epilog="with --yes, the exit code is the new run's: 0 measured and compared, also where intervals do not "
        "overlap; 1 some of its cells failed; 2 the data here is another; 3 neither the run's image nor its code is "
        "here; 130 interrupted, resumable",
    )
    verb.add_argument("run", metavar="RUN", help="folder or id of a run")
    verb.add_argument("--out", type=Path, default=Path("results"), metavar="DIR", help="of ids, and of the new run")
    verb.add_argument("--yes", action="store_true", help="measure it again into a new folder")
    verb.add_argument("--data-dir", type=Path, metavar="DIR", help="the data it had; default: $BENCH_DATA_DIR")
    verb.set_defaults(verb_function=_reproduce)
    verb = verbs.add_parser(
        "compare",
        help="say what differs between two runs, whether times have changed and whether ratios agree",
        epilog="exit codes: 0 compared, whatever came out; with --fail-on, 1 where some arm's step or epoch time in B "
        "over that in A has its 95 % interval wholly above the limit, and 0 where the interval holds the limit, where "
        "one block gives none, and where B lacks the time (of which the exit code of bench run has told); 2 a run is "
        "not there, cannot be read, or cannot be compared with the other",
    )
    verb.add_argument("a", metavar="A", help="folder or id of a run: the earlier one, or a baseline")
    verb.add_argument("b", metavar="B", help="folder or id of the run to hold against it")
    verb.add_argument("--out", type=Path, default=Path("results"), metavar="DIR", help="where ids are looked up")
    verb.add_argument("--anyway", action="store_true", help="even where what differs prevents a comparison")
    verb.add_argument(
        "--fail-on", type=_regression, metavar="CONDITION", help="as in regression:5%%: exit with 1 if B is so slow"
    )
    verb.set_defaults(verb_function=_compare)
    verb = verbs.add_parser("doctor", help="say what this machine is and what it lacks")
    _add_device(verb)
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


def _add_device(parser: argparse.ArgumentParser) -> None:
    found = image.here()
    default = found.device if found else Options.device
    parser.add_argument("--device", choices=("cpu", "gpu"), default=default, help=f"default here: {default}")


def _add_stream(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stream", action="store_true", help="write the run folder to standard output, as a tar")


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
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)%", text)
    if match is None or float(match[1]) > LARGEST_PERCENT:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a share; expected a percentage up to {LARGEST_PERCENT}%, as in 2% or 0.5%"
        )
    return float(match[1]) / 100


def _sweep(text: str) -> tuple[str, tuple[int, ...]]:
    match = re.fullmatch(r"(batch|timesteps)=([1-9][0-9]{0,6})\.\.([1-9][0-9]{0,6})", text)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a sweep; expected batch or timesteps from one number to another, as in batch=32..4096"
        )
    first, last = int(match[2]), int(match[3])
    values = [first]
    while values[-1] < last:
        values.append(2 * values[-1])
    if values[-1] != last:
        raise argparse.ArgumentTypeError(
            f"{text!r} does not end: doubling {first} gives {', '.join(map(str, values))}; end it at one of these"
        )
    return match[1], tuple(values)


def _counts(text: str) -> tuple[int, ...]:
    if re.fullmatch(r"[1-9][0-9]{0,3}(,[1-9][0-9]{0,3})*", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers of devices; expected one as in 1,2,4")
    return tuple(map(int, text.split(",")))


def _regression(text: str) -> float:
    what, colon, share = text.partition(":")
    if (what, colon) != ("regression", ":"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a condition; expected one as in regression:5%")
    return _share(share)


def _options(given: argparse.Namespace, words: Sequence[str]) -> Options:
    return Options(
        workloads=tuple(given.workload),
        arms=tuple(given.arm),
        device=given.device,
        profile=given.profile,
        data=given.data,
        data_dir=_data_dir(given),
        seeds=tuple(given.seed) or (0,),
        budget_s=given.budget,
        out=given.out,
        head=given.head,
        gate=given.gate,
        precision=given.precision,
        sweeps=tuple(given.sweep),
        devices=given.devices,
        margin=given.margin,
        control=given.control,
        command=("bench", *words),
    )


def _data_dir(given: argparse.Namespace) -> Path | None:
    named = sources.data_dir_from(given.data_dir)
    return named if named is None else named.absolute()


def _plan(given: argparse.Namespace, words: Sequence[str], setting: Setting, console: Console) -> int:
    outlook.show(_options(given, words), setting, console)
    return 0


def _run(given: argparse.Namespace, words: Sequence[str], setting: Setting, console: Console) -> int:
    if not given.stream:
        return _measure(given, words, setting, console, lambda folder: handover.show(folder, console))
    with stream.claimed() as tar:
        ended: list[Path] = []
        code = _measure(given, words, setting, Console(stderr=True), ended.append)
        return stream.send(ended[0], tar, code)


def _measure(
    given: argparse.Namespace, words: Sequence[str], setting: Setting, console: Console, then: runner.Then
) -> int:
    options, address = _options(given, words), getattr(given, "cluster", None)
    if given.resume is None:
        if address is not None:
            return fleet.run(options, address, console, setting, then)
        return runner.run(options, console, setting, then)
    plain = _options(_parser().parse_args(["run"]), ())
    if _without_part(options) != _without_part(plain):
        raise UsageError(
            f"--resume {given.resume}: has its own options; only --workload, --arm and --seed may be added, for a part "
            "of what is missing, and --data-dir and --out"
        )
    if (folder := fleet_record.find(given.resume, given.out)) is not None:
        stored_fleet = record.read(folder / fleet_record.FILE, fleet_record.Fleet)
        if options.workloads or options.arms or given.seed:
            raise UsageError(f"--resume {given.resume}: a fleet's run is taken up whole; leave out what names a part")
        words_before = list(stored_fleet.command[1:])
        before = _options(_parser().parse_args([*words_before, "--device", stored_fleet.device]), words_before)
        if options.data_dir is not None:
            before = dataclasses.replace(before, data_dir=options.data_dir)
        return fleet.resume(folder, stored_fleet, before, address, console, setting, then)
    folder = runfolder.find(given.resume, given.out)
    if (folder.absolute().parent / fleet_record.FILE).is_file():
        raise UsageError(f"--resume {given.resume}: is a class of a fleet; name the fleet's folder, {folder.parent}")
    stored = record.read(folder / "run.json", record.Run)
    if address is not None:
        raise UsageError(f"--resume {given.resume}: was measured on one machine; leave --cluster out")
    stored_words = list(stored.command[1:])
    # They need not name the device: it may have been the default of the image they were given to.
    asked_before = _parser().parse_args([*stored_words, "--device", stored.device])
    if asked_before.cluster is not None:  # this machine is none of its class
        raise UsageError(
            f"--resume {given.resume}: is a class of a fleet, whose {fleet_record.FILE} is not beside it; put the "
            "fleet's folder together again and name that"
        )
    stored_options = _options(asked_before, stored_words)
    if options.data_dir is not None:
        stored_options = dataclasses.replace(stored_options, data_dir=options.data_dir)
    part = Part(options.workloads, options.arms, tuple(given.seed))
    return runner.resume(folder, stored, stored_options, console, setting, part, then)


def _without_part(options: Options) -> Options:
    return dataclasses.replace(options, workloads=(), arms=(), seeds=(0,), data_dir=None, out=Path(), command=())


def _report(given: argparse.Namespace, words: Sequence[str], setting: Setting, console: Console) -> int:
    from bench.report import exports, index  # pandas and matplotlib: not for verbs that need neither
    from bench.report import fleet as fleet_report

    if (of_fleet := fleet_record.find(given.run, given.out)) is not None:
        if given.stream or given.format:
            raise UsageError(f"{given.run}: a fleet's run; --stream and --format are for the run of one of its classes")
        for path in fleet_report.build(of_fleet):
            console.print(str(path), highlight=False, markup=False, soft_wrap=True)
        return 0
    if index.asked(given.run, given.out):
        if given.stream:
            raise UsageError(f"--stream: hands out one run; name one of those in {given.run}")
        if given.format:
            raise UsageError(f"--format {given.format[0]}: is made of one run; name one of those in {given.run}")
        for path in index.build(Path(given.run)):
            console.print(str(path), highlight=False, markup=False, soft_wrap=True)
        return 0
    folder = runfolder.find(given.run, given.out)
    if given.stream:
        with stream.claimed() as tar:
            exports.make(folder, given.format)
            return stream.send(folder, tar, 0)
    for path in exports.make(folder, given.format):
        console.print(str(path), highlight=False, markup=False, soft_wrap=True)
    return 0


def _reproduce(given: argparse.Namespace, words: Sequence[str], setting: Setting, console: Console) -> int:
    from bench import reproduce  # reads reports: pandas and matplotlib

    def parse(words: Sequence[str]) -> Options:
        return _options(_parser().parse_args(words), words)

    def invoke(words: Sequence[str]) -> int:
        inner = _parser().parse_args(words)
        code: int = inner.verb_function(inner, words, setting, console)
        return code

    folder = runfolder.find(given.run, given.out)
    return reproduce.reproduce(
        folder, given.out, _data_dir(given), again=given.yes, parse=parse, invoke=invoke, console=console
    )


def _compare(given: argparse.Namespace, words: Sequence[str], setting: Setting, console: Console) -> int:
    from bench.compare import compare
    from bench.report import comparison, folder  # pandas and matplotlib

    a, b = (folder.load(runfolder.find(name, given.out)) for name in (given.a, given.b))
    found = compare(a.run, a.everything, b.run, b.everything)
    if a.run.id == b.run.id and not given.anyway:
        raise UsageError(f"compare: A and B are both run {a.run.id}; name another one, or add --anyway")
    if found.prevented and not given.anyway:
        raise UsageError(f"compare: not comparable: {comparison.prevented(found)}; --anyway compares them all the same")
    judged = None if given.fail_on is None else regression.regressions(found, given.fail_on)
    last = [" ".join(comparison.regressions(judged))] if judged else []
    for part in (comparison.page(found, judged), comparison.sentence(found), *last):
        console.print(part, highlight=False, markup=False, emoji=False, soft_wrap=True)
    return 1 if judged and judged.failed else 0


def _doctor(given: argparse.Namespace, words: Sequence[str], setting: Setting, console: Console) -> int:
    doctor.examine(given.device, given.out, console)
    return 0


def _data(given: argparse.Namespace, words: Sequence[str], setting: Setting, console: Console) -> int:
    specs = [catalogue.load(name) for name in given.workload or catalogue.names()]
    cache = caches.root()
    if given.fetch and given.data_dir is not None:
        raise UsageError("--fetch: downloads into the cache; leave out --data-dir")
    if given.fetch:
        lines = command.download(specs, cache=cache, say=lambda line: print(line, file=sys.stderr))
    else:
        lines = command.describe(specs, data_dir=_data_dir(given), cache=cache)
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return 0
