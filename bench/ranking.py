"""Who is ahead among contestants, and the sentences that say so: one definition for page, screen and table of runs."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from bench import effects, stats, wording
from bench.effects import Effect, Verdict


def ranked(figures: Mapping[str, Mapping[int, float]], aside: Container[str] = ()) -> list[str]:
    """Names in the order of their times by block, the fastest first; those without a figure are left out.

    Those `aside` stand behind all others, held against the first of these: a tuned arm is no answer to the question who
    is fastest out of the box. Where there are no others, they are ranked like any.

    The trap: blocks differ, and a contestant that missed the slow ones has the better median. So what is first is the
    smallest median unless another is surely faster in the blocks that both have, and the others follow by their time
    over the first's in such blocks. Without a common block the medians decide.
    """
    measured = {name: stats.median(list(blocks.values())) for name, blocks in figures.items() if blocks}
    middles = {name: middle for name, middle in measured.items() if name not in aside} or measured
    if not middles:
        return []
    first = min(middles, key=lambda name: middles[name])
    for _ in middles:  # each turn is a better one; a circle among three of different blocks ends here too
        against = {name: effects.effect(figures[name], figures[first]) for name in middles if name != first}
        surely = {name: found.ratio for name, found in against.items() if found and found.high < 1}
        if not surely:
            break
        first = min(surely, key=lambda name: surely[name])
    over = {name: effects.effect(figures[name], figures[first]) for name in measured}
    times = {name: found.ratio if found else measured[name] / measured[first] for name, found in over.items()}
    others = sorted((name for name in measured if name != first), key=lambda name: times[name])
    return [first, *sorted(others, key=lambda name: name not in middles)]


@dataclass(frozen=True)
class Rank:
    """A contestant in the order of `ranked`, its name as it is to be shown."""

    name: str
    effect: Effect | None
    """Its time over that of the first; None for the first, and without a common block."""
    verdict: Verdict | None
    """As `effect`."""
    tuned: bool = False
    """Told beside the others and not among them."""


def sentences(ranks: Sequence[Rank]) -> list[str]:
    """Who is fastest, as far as that is resolved; how far the slowest is behind."""
    if not ranks:
        return ["Nothing was measured."]
    if len(ranks) == 1:
        return [f"Only {ranks[0].name} was measured."]
    among = [rank for rank in ranks if not rank.tuned]
    if not among:
        first, *others = _among(ranks)
        return [f"Among tuned arms alone: {first}", *others]
    beside = [rank for rank in ranks if rank.tuned]
    return [*(_among(among) if len(among) > 1 else []), *([_beside(beside, among[0])] if beside else [])]


def _among(ranks: Sequence[Rank]) -> list[str]:
    slower = [rank for rank in ranks[1:] if rank.verdict == "SLOWER"]
    level = [rank for rank in ranks if rank not in slower]
    return [_first(level), *_last(slower, level)]


def _beside(tuned: Sequence[Rank], first: Rank) -> str:
    """What tuning gives against the first of the others, as far as both were measured in one block."""
    known = [(rank.name, *wording.ratio(rank.effect).split(" ", 1)) for rank in tuned if rank.effect]
    if not known:
        return f"Tuned arms have no block in common with {first.name}."
    times = [
        f"{name} {value}{' times as long' if place == 0 else ''} {sure}"
        for place, (name, value, sure) in enumerate(known)
    ]
    return f"Tuned, beside {first.name}: {_listed(times, 'and')}."


def _first(level: Sequence[Rank]) -> str:
    names = [rank.name for rank in level]
    if len(names) == 1:
        return f"{names[0]} is fastest."
    if all(rank.verdict == "SAME" for rank in level[1:]):
        return f"{_listed(names, 'and')} are fastest and take the SAME time."
    if all(rank.effect is None or rank.effect.blocks == 1 for rank in level[1:]):
        others = [_once(rank, " times as long" if rank is level[1] else "") for rank in level[1:]]
        return f"{names[0]} is ahead of {_listed(others, 'and')}: UNRESOLVED, one block gives no interval."
    who = f"{_listed(names, 'or')} is fastest" if len(names) <= 3 else f"Which of {len(names)} arms is fastest"
    return f"{who}: UNRESOLVED."


def _once(rank: Rank, unit: str) -> str:
    """A contestant with its time over that of the first, in the one block that both have."""
    if rank.effect is None:
        return f"{rank.name} (no block in common)"
    return f"{rank.name} ({wording.ratio(rank.effect).split(' ', 1)[0]}{unit})"


def _last(slower: Sequence[Rank], level: Sequence[Rank]) -> list[str]:
    known = [(rank.effect.ratio, rank.name, rank.effect) for rank in slower if rank.effect]
    if not known:
        return []
    _, name, effect = max(known, key=lambda entry: entry[0])
    value, sure = wording.ratio(effect).split(" ", 1)
    than = f" as {level[0].name}" if len(level) > 1 else ""
    return [f"{name} {'is slowest and ' if len(known) > 1 else ''}takes {value} times as long{than} {sure}."]


def _listed(names: Sequence[str], word: str) -> str:
    return f" {word} ".join(filter(None, (", ".join(names[:-1]), names[-1])))
