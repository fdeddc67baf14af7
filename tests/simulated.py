"""Simulated runs: arms whose true step time is known, on a machine that does its worst to hide it."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench import effects, stats

A, B, CONTROL = "a", "b", "b (a2)"
"""Two arms, and the second entry of one of them."""
SEEDS = range(1000)
LAST = 60
"""A run of more blocks has no budget."""
WARMUP = (3.0, 1.5, 1.1)
"""First rounds of every process, in steady rounds."""
ROUNDS = 20
CHUNK = 6
Figures = dict[str, dict[int, float]]


@dataclass(frozen=True)
class Machine:
    """How it scatters, as standard deviations of log times, and what disturbs it."""

    scatter: float
    """Between processes."""
    round_scatter: float = 0.01
    burst_rounds: float = 0.03
    """Share of the rounds that take 1.1 to 1.5 times as long."""
    burst_cells: float = 0.01
    """Share of the cells of which every round does."""
    drift: float = 0.03 / 18
    """From cell to cell, of the rate at first: 3 % over six blocks of three contestants, and on like that, so that a
    run has seen at least these 3 % whenever it stops."""

    def figures(self, draw: np.random.Generator, begun: int, cells: int) -> list[float]:
        """Of cells measured one after the other, `begun` cells into the run; true step time 1.

        A cell's figure is the median of its rounds after the warm-up, as found by the suite.
        """
        shape = cells, ROUNDS
        logs = draw.normal(0, self.scatter, (cells, 1)) + draw.normal(0, self.round_scatter, shape)
        logs += np.log1p(self.drift * (begun + np.arange(cells)))[:, np.newaxis]
        logs[:, : len(WARMUP)] += np.log(WARMUP)
        burst = (draw.random(shape) < self.burst_rounds) | (draw.random((cells, 1)) < self.burst_cells)
        logs += burst * np.log(draw.uniform(1.1, 1.5, shape))
        return [stats.median(rounds_s[stats.warmup_end(rounds_s) :]) for rounds_s in np.exp(logs).tolist()]


class Run:
    """Blocks of one cell of each contestant, in random order, measured when they are asked for."""

    def __init__(self, machine: Machine, seed: int, contestants: Sequence[str] = (A, B, CONTROL)) -> None:
        self.machine, self.contestants = machine, contestants
        self.draw = np.random.default_rng(seed)
        self.blocks: list[dict[str, float]] = []

    def block(self, number: int, ratio: float = 1.0) -> dict[str, float]:
        """The figures of block `number`, from 1, by contestant. A takes `ratio` times as long as the others.

        Nothing in a cell depends on its unit of time, so that what is simulated once serves for every ratio.
        """
        each = len(self.contestants)
        while len(self.blocks) < number:
            chunk = self.machine.figures(self.draw, each * len(self.blocks), each * CHUNK)
            for first in range(0, len(chunk), each):
                order = [self.contestants[place] for place in self.draw.permutation(each)]
                self.blocks.append(dict(zip(order, chunk[first : first + each], strict=True)))
        return {name: figure * (ratio if name == A else 1.0) for name, figure in self.blocks[number - 1].items()}

    def figures(self, blocks: int, ratio: float = 1.0) -> Figures:
        """By contestant and block."""
        rows = {number: self.block(number, ratio) for number in range(1, blocks + 1)}
        return {name: {number: row[name] for number, row in rows.items()} for name in self.contestants}


@functools.cache
def run(scatter: float, seed: int) -> Run:
    """One run: the tests share what has been simulated of it."""
    return Run(Machine(scatter), seed)


def stopped(simulated: Run, ratio: float) -> Figures:
    """The figures of a run that looks after every block, from the sixth on, whether it has enough."""
    figures = simulated.figures(effects.FIRST_LOOK, ratio)
    for number in range(effects.FIRST_LOOK + 1, LAST + 1):
        if effects.enough(figures):
            break
        for name, figure in simulated.block(number, ratio).items():
            figures[name][number] = figure
    return figures


def compared(figures: Figures, a: str = A, b: str = B) -> effects.Effect:
    found = effects.effect(figures[a], figures[b])
    assert found is not None
    return found
