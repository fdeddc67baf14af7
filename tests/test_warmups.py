import math
import random

import pytest

from bench import derived, record, stats
from bench.warmups import warmup_ends


def drawn(count: int) -> list[list[float]]:
    """Sequences of many lengths: quiet and noisy, with and without a warm-up, with ties, bursts and a broken round."""
    draw, found = random.Random(3), []
    for number in range(count):
        length = draw.choice([0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 20, 35, 35, 35, 100])
        slow, scatter = draw.choice([0, 1, 3, length // 2]), draw.choice([0.0005, 0.02, 0.5])
        rounds_s = [
            (1 + 2 * 0.7**place * (place < slow)) * draw.choice([1, 1, 1, 1.3]) * draw.lognormvariate(0, scatter)
            for place in range(length)
        ]
        rounds_s = [round(seconds, 2) for seconds in rounds_s] if number % 5 == 0 else rounds_s
        if number % 50 == 0 and rounds_s:
            rounds_s[-1] = draw.choice([0.0, math.inf])
        found.append(rounds_s)
    return found


def test_many_sequences_have_the_ends_that_each_has_by_itself() -> None:
    sequences = drawn(4000)
    ends = warmup_ends(sequences)
    assert ends == [stats.warmup_end(rounds_s) for rounds_s in sequences]
    assert sum(map(bool, ends)) > 500, "or nothing was compared"


def test_no_sequence_has_no_end() -> None:
    assert warmup_ends([]) == []


@pytest.mark.parametrize("disturbed", [(), (0,), (1, 2, 7), range(8)])
def test_cells_looked_at_together_have_the_warmups_that_each_has_by_itself(disturbed: tuple[int, ...]) -> None:
    """With rounds left out of the search because something disturbed them, and where most of them were."""
    draw = random.Random(5)
    rounds_s = [draw.lognormvariate(0, 0.01) * (3 if place < 3 else 1) for place in range(10)]
    starts_s = [20.0 * place for place in range(10)]
    extra = {"phase": "train_step", "steps_per_round": 1, "samples_per_round": 8, "starts_s": starts_s}
    watch = tuple(record.Window(starts_s[place], starts_s[place] + 19, {}, ("busy",)) for place in disturbed)
    alone, together = (
        record.Cell(
            record.SCHEMA, "id", "conv", "arm", "cpu", 1, "", "", 0, "ok", None, "", None, "", 1.0, (), None, None, {},
            {}, 1, {"benchmarks": [{"extra_info": extra, "stats": {"data": rounds_s}}]}, watch=watch,
        )
        for _ in range(2)
    )  # fmt: skip
    derived.find_warmups([together])
    step = derived.phases(together)["train_step"]
    assert step.warmup_rounds == derived.phases(alone)["train_step"].warmup_rounds
    assert step.counted == derived.phases(alone)["train_step"].counted
