"""How far each arm's training step is from the least it can cost on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench import derived, record
from bench.report.contest import Contest
from bench.report.markdown import short, table
from bench.wording import number


@dataclass(frozen=True)
class Reached:
    """The most that any framework's own operations reached on the device, each by its best round."""

    flops_per_s: float
    bytes_per_s: Mapping[int, float]
    """By how many bytes were moved: the fewer, the nearer to a core they lie."""
    chain_s: float | None
    """Of one operation that needs the one before; None where it was not measured."""
    by: str
    """The arm whose cell reached the arithmetic."""


def reached(cells: tuple[record.Cell, ...]) -> Reached | None:
    """Of a device's ceiling cells; None where none measured more than products."""
    products: dict[float, str] = {}
    streams: dict[int, float] = {}
    chains: list[float] = []
    for cell in cells:
        extras = [entry["extra_info"] for entry in cell.pytest_benchmark.get("benchmarks", ())]
        for phase, extra in zip(derived.phases(cell).values(), extras, strict=False):
            if phase.name != record.CEILING or not phase.rounds_s or "stream_s" not in extra:
                continue
            products[extra["flops"] / min(phase.rounds_s)] = cell.arm
            for moved, rounds_s in extra["stream_s"].items():
                streams[int(moved)] = max(streams.get(int(moved), 0.0), int(moved) / min(rounds_s))
            if extra["chain_s"]:
                chains.append(min(extra["chain_s"]) / extra["chain_operations"])
    if not products:
        return None
    most = max(products)
    return Reached(most, dict(sorted(streams.items())), min(chains, default=None), products[most])


def floors_s(floor: record.Floor, most: Reached) -> dict[str, float | None]:
    """Seconds that a step takes at least, by what it takes them for; None where that was not measured."""
    chain = 0.0 if not floor.chain else None if most.chain_s is None else floor.chain * most.chain_s
    return {
        "arithmetic": floor.product_flops / most.flops_per_s,
        "memory": floor.bytes / max(most.bytes_per_s.values()),  # a cache may hold all of it
        "chain": chain,
    }


def limits(contest: Contest) -> list[str]:
    """Markdown blocks; none where no floor is known, no ceiling was measured or no step timed."""
    floor, most = contest.spec.floor, reached(contest.ceilings)
    if floor is None or most is None or not contest.ranked:
        return []
    least = floors_s(floor, most)
    known = {name: seconds for name, seconds in least.items() if seconds is not None}
    longest = max(known, key=lambda name: known[name])
    header = ["arm", "step ms", "times the floor", "share of the floor"]
    rows = [
        [
            short(arm.contestant),
            number(1e3 * arm.step_s.median),
            number(arm.step_s.median / known[longest]),
            f"{number(100 * known[longest] / arm.step_s.median, 2)} %",
        ]
        for arm in contest.ranked
        if arm.step_s is not None
    ]
    return [table(header, rows), _note(contest, floor, most, least, longest)]


def _note(contest: Contest, floor: record.Floor, most: Reached, least: Mapping[str, float | None], longest: str) -> str:
    """Where the floor comes from, so that a reader can compute it again."""
    inputs = "tokens" if contest.spec.layers[0][1] == "embedding" else "rows of the series"
    moved, speed = max(most.bytes_per_s.items(), key=lambda pair: pair[1])
    parts = [
        f"{floor.product_flops:,} FLOPs of products that no exact rewrite avoids (a batch holds "
        f"{number(floor.distinct_inputs, 4)} different {inputs}), at {number(most.flops_per_s / 1e9)} GFLOP/s (matrix "
        f"product of {short(contest.run.arms[most.by].framework)}): {_ms(least['arithmetic'])}",
        f"{floor.bytes:,} bytes, at the {number(speed / 1e9)} GB/s at which {moved:,} bytes are moved: "
        f"{_ms(least['memory'])}",
    ]
    if floor.chain:
        each = "not measured here" if most.chain_s is None else f"{number(1e9 * most.chain_s)} ns each"
        parts.append(f"{floor.chain:,} operations in a row, {each}: {_ms(least['chain'])}")
    return f"Floor of a step: {'; '.join(parts)}. The floor is the longest of these, {longest}."


def _ms(seconds: float | None) -> str:
    return "no floor known" if seconds is None else f"{number(1e3 * seconds)} ms"
