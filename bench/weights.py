"""Initial weights and dropout masks from a seed: made once, stored, and copied into every arm.

The random streams are NumPy's legacy ones, which never change (NEP 19), one for each tensor, so that a layer's name or
its neighbours' sizes do not move its numbers. The orthogonal kernel goes through LAPACK, whose last bits differ between
machines: equal weights for all arms come from the one file of a run, not from drawing them again.
"""

import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.layers import GRU, LSTM, Layer, Shape
from bench.record import write_bytes
from bench.workload import Workload

Weights = dict[str, NDArray[np.float32]]
"""By canonical name, in canonical layout."""

EMBEDDING_LIMIT = 0.05
_WEIGHTS, _MASKS = 1, 2  # third word of the seed: keeps these streams apart from each other and from the batches' order


def initial_weights(workload: Workload, seed: int) -> Weights:
    """Every weight of the workload, float32, from the distributions the published models started with.

    Kernels Glorot uniform, biases zero but for an LSTM's forget gate, where they are 1, embedding tables uniform in
    ±0.05, recurrent kernels orthogonal over all gates. `seed` is at least 0 and below 2**32.
    """
    shapes = [(of, *named) for of, inputs in workload.layer_inputs() for named in of.weights(inputs).items()]
    return {
        f"{of.name}.{weight}": _draw(of, weight, shape, np.random.RandomState([seed, index, _WEIGHTS]))
        for index, (of, weight, shape) in enumerate(shapes)
    }


def sample_masks(workload: Workload, batch: int, seed: int) -> dict[str, NDArray[np.float64]]:
    """Dropout masks to inject, shapes as `workload.masks(batch)`: 0 with probability p, else 1 / (1 - p).

    Empty for a workload without dropout.
    """
    shapes = workload.masks(batch)
    shares = {
        f"{layer.name}.{mask}": share
        for layer in workload.layers
        if isinstance(layer, GRU)
        for mask, share in (("input", layer.dropout), ("recurrent", layer.recurrent_dropout))
    }
    masks = {}
    for index, (name, shape) in enumerate(shapes.items()):
        kept = np.random.RandomState([seed, index, _MASKS]).random_sample(shape) >= shares[name]
        masks[name] = kept / (1.0 - shares[name])
    return masks


def save(path: Path, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Writes the weights to `path` as .npz, whole or not at all; equal weights make equal files."""
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **weights)
    write_bytes(path, content.getvalue())


def load(path: Path) -> Weights:
    """Reads what `save` wrote; nothing in the file can run. A UsageError names a file that is missing or damaged."""
    damaged = f"{path}: not whole initial weights ({{}}); expected what this run stored; delete it and start a new run"
    try:
        with path.open("rb") as stream:  # opened here: np.load leaves a damaged file open
            stored = np.load(stream, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise UsageError(damaged.format("one bare array"))
            return {name: stored[name] for name in stored.files}
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error}); expected initial weights") from error
    except (ValueError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        # What NumPy and zipfile raise on every kind of damage; their texts suggest cures that are wrong here.
        raise UsageError(damaged.format(type(error).__name__)) from error


def _draw(of: Layer, weight: str, shape: Shape, random: np.random.RandomState) -> NDArray[np.float32]:
    match weight:
        case "bias" if isinstance(of, LSTM):
            return np.repeat(np.array([0, 1, 0, 0], np.float32), of.units)  # i, f, c, o
        case "bias":
            return np.zeros(shape, np.float32)
        case "table":
            return random.uniform(-EMBEDDING_LIMIT, EMBEDDING_LIMIT, shape).astype(np.float32)
        case "kernel":
            limit = glorot_limit(shape)
            return random.uniform(-limit, limit, shape).astype(np.float32)
        case "recurrent_kernel":
            return _orthogonal(shape, random).astype(np.float32)
    raise ValueError(f"no initial distribution for weight {weight!r}; add one to bench/weights.py")


def glorot_limit(shape: Shape) -> float:
    """Half width of the Glorot uniform distribution: sqrt(6 / (fan in + fan out)).

    A fan is the number of features times the receptive field, the axes before the last two. Source: Glorot and Bengio
    2010, equation 16.
    """
    field = math.prod(shape[:-2])
    return math.sqrt(6 / (field * (shape[-2] + shape[-1])))


def _orthogonal(shape: Shape, random: np.random.RandomState) -> NDArray[np.float64]:
    """A uniformly distributed matrix with orthonormal rows or columns, whichever are the shorter list.

    The sign of R's diagonal makes Q uniform; LAPACK's own choice of signs is not. Source: Mezzadri 2007,
    arXiv math-ph/0609050, section 5.
    """
    q, r = np.linalg.qr(random.normal(size=(max(shape), min(shape))))
    q = q * np.sign(np.diag(r))
    return q if shape[0] >= shape[1] else q.T
