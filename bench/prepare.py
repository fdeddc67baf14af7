"""Data and initial weights of a run: made once, before any process that measures."""

from collections.abc import Mapping
from pathlib import Path

import bench.data
from bench import caches, cost, limits, record, weights
from bench.contest import Contest
from bench.data.windows import Dataset, naive_loss
from bench.display.progress import Display
from bench.errors import UsageError
from bench.launch import Prepared
from bench.workload import Workload


def prepare(ready: Contest, work: Path, display: Display) -> tuple[Mapping[str, Prepared], dict[str, record.Workload]]:
    """Prepares every workload's data and draws its weights; where they are, and what the run remembers of them.

    A UsageError or MachineError when the data asked for cannot be had: nothing was measured yet.
    """
    options = ready.options
    prepared, remembered = {}, {}
    work.mkdir(parents=True, exist_ok=True)
    for done, (name, spec) in enumerate(ready.workloads.items()):
        display.now(f"data of {name}", done, len(ready.workloads))
        folder = bench.data.prepare(spec, options.data, options.data_dir, cache=caches.root(), say=display.say)
        dataset = bench.data.open_saved(folder)
        _check(name, spec, dataset)
        display.say(f"{name}: {dataset.source.description}")
        files = {seed: work / f"{name}.s{seed}.npz" for seed in options.seeds}
        for seed, file in files.items():
            weights.save(file, weights.initial_weights(spec, seed))
        prepared[name] = Prepared(spec.digest(), dataset.source.identity, folder, files, spec.devices)
        remembered[name] = _remembered(spec, dataset, options.seed)
    return prepared, remembered


def _check(name: str, spec: Workload, dataset: Dataset) -> None:
    for split, (first, end) in dataset.ranges.items():
        if end - first < spec.batch_size:
            raise UsageError(
                f"--workload {name}: the data has {max(0, end - first):,} {split} samples of {spec.input_shape[0]:,} "
                f"time steps, not one batch of {spec.batch_size:,}; take smaller batches or shorter samples"
            )


def _floor(spec: Workload, dataset: Dataset, seed: int) -> record.Floor | None:
    """None in another precision or on several devices: a floor is divided by ceilings of float32 on one."""
    if spec.precision != "float32" or spec.devices > 1:
        return None
    return limits.floor(spec, limits.distinct_inputs(dataset, seed))


def _remembered(spec: Workload, dataset: Dataset, seed: int) -> record.Workload:
    naive = naive_loss(dataset)
    target = naive if spec.quality.target == "naive" else spec.quality.target
    assert target is not None, "a workload of token data has no naive forecast to reach"
    return record.Workload(
        title=spec.title,
        digest=spec.digest(),
        head=spec.head,
        metrics=spec.metrics,
        input_shape=spec.input_shape,
        layers=tuple((row.name, row.kind, row.output_shape, row.parameters) for row in spec.summary()),
        parameters=spec.parameters,
        batch_size=spec.batch_size,
        steps_per_epoch=spec.steps_per_epoch,
        epochs=spec.epochs,
        flops_per_step=cost.training_flops(spec),
        bytes_per_step=cost.training_bytes(spec),
        optimizer=str(spec.optimizer),
        data=dataset.source,
        naive_loss=naive,
        naive_test_loss=naive_loss(dataset, "test"),
        quality=record.Quality(spec.quality.metric, target, spec.quality.margin),
        precision=spec.precision,
        devices=spec.devices,
        floor=_floor(spec, dataset, seed),
        published=record.Published(spec.published.curve, spec.published.source) if spec.published else None,
    )
