"""What each arm runs on a GPU in a training step, and how busy that keeps it."""

from bench import record
from bench.report.contest import Contest
from bench.report.markdown import short, table
from bench.wording import number

RECURRENT = {"gru", "lstm"}
"""Kinds of layers."""
LIBRARY = ("rnn", "lstm", "gru")
"""In the name of a kernel that is made for a whole recurrence, or a time step of one."""
NOTE = (
    "From the framework's own profiler, over some steps after the timed ones; busy: share of those steps' time in "
    "which at least one kernel or copy ran. Under a profiler steps take longer, and XLA starts operations one by one "
    "that it starts together where nobody looks: counts hold, shares are of the profiled steps. Recurrence: by kernels "
    "made for one where any ran; otherwise by general ones, and all kernels of a step are divided by the time steps."
)


def kernels(contest: Contest) -> list[str]:
    """Markdown blocks; none where no cell has looked, as on a CPU."""
    found = {cell.arm: cell.kernels for cell in reversed(contest.cells) if cell.kernels and not cell.label}
    if not found:
        return []
    steps = time_steps(contest.spec)
    header = ["arm", "kernels a step", "device busy", *(["recurrence"] if steps else []), "longest"]
    rows = []
    for name in (arm for arm in contest.run.arms if arm in found):
        path = found[name]
        a_step, busy = path.count / path.steps, path.busy_s / path.wall_s
        row = [short(name), number(a_step), f"{number(100 * busy, 2)} %"]
        row += [recurrence(path, steps)] if steps else []
        rows.append([*row, short(path.names[0][0][:60])])
    return [table(header, rows), NOTE]


def time_steps(spec: record.Workload) -> int:
    """That the first recurrent layer goes through; 0 without one."""
    shape = spec.input_shape
    for _, kind, output, _ in spec.layers:
        if kind in RECURRENT:
            return shape[0]
        shape = output
    return 0


def recurrence(path: record.KernelPath, steps: int) -> str:
    """By what a recurrent layer was computed, in words."""
    made = sum(times for name, times, _ in path.names if any(word in name.lower() for word in LIBRARY))
    if made:
        return f"{number(made / path.steps)} kernels made for it"
    return f"general kernels; {number(path.count / path.steps / steps)} in all for each time step"
