from pathlib import Path

from make_run import edit, make_run
from rich.console import Console

from bench import derived, effects, record, stats
from bench.progress import step_times


def shown(folder: Path) -> list[list[str]]:
    """The words of every line of the table, as a terminal of 80 columns shows it."""
    run = record.read(folder / "run.json", record.Run)
    cells = [record.read(path, record.Cell) for path in sorted((folder / "cells").glob("*.json"))]
    console = Console(width=80)
    with console.capture() as capture:
        console.print(step_times(run, cells))
    return [line.split() for line in capture.get().splitlines()]


def test_every_contestant_stands_against_the_fastest_and_the_control_against_its_own_arm(tmp_path: Path) -> None:
    folder = make_run(
        tmp_path / "run",
        workloads=("conv",),
        arms=("torch-eager", "keras-jax"),
        blocks=3,
        rounds=9,
        control="torch-eager",
        ceilings=True,
    )
    lines = shown(folder)
    title = lines.index(["conv"])
    fastest, other, control = lines[title + 1 : title + 4]
    assert not lines[title + 4], "a ceiling cell is no contestant"
    figures: dict[str, dict[int, float]] = {}
    for path in (folder / "cells").glob("conv.*"):
        cell = record.read(path, record.Cell)
        figures.setdefault(cell.contestant, {})[cell.block] = stats.median(derived.phases(cell)["train_step"].counted_s)
    slower = effects.effect(figures["torch-eager"], figures["keras-jax"])
    noise = effects.effect(figures["torch-eager (a2)"], figures["torch-eager"])
    assert slower is not None
    assert noise is not None

    def ratio(found: effects.Effect) -> list[str]:
        return f"{found.ratio:.3f} [{found.low:.3f}, {found.high:.3f}]".split()

    assert [fastest[0], *fastest[2:]] == ["keras-jax", "fastest", "3"]
    assert [other[0], *other[2:]] == ["torch-eager", *ratio(slower), "3", "SLOWER"]
    assert [*control[:2], *control[3:]] == ["torch-eager", "(a2)", *ratio(noise), "3", effects.verdict(noise)]


def test_an_arm_without_a_step_time_says_why_and_one_block_gives_no_interval(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=("torch-eager", "keras-jax", "keras-torch"), blocks=1)
    edit(folder / "cells" / "conv.keras-torch.cpu.b1.json", status="failed", reason="it broke")
    lines = shown(folder)
    title = lines.index(["conv"])
    fastest, other, failed = lines[title + 1 : title + 4]
    assert fastest[2:] == ["fastest", "1"]
    assert other[3:] == ["(no", "interval)", "1", "UNRESOLVED"]
    assert failed == ["keras-torch", "-", "failed", "0"]
