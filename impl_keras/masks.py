"""Dropout masks of Keras' GRU cells: given ones instead of drawn ones, and a record of those drawn.

A cell is asked for its masks through two methods, once before the recurrence and again, from its cache, at each time
step. Both are replaced on the cell itself; everything downstream stays Keras' own.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from bench.implementation import Arrays

METHODS = {"input": "get_dropout_mask", "recurrent": "get_recurrent_dropout_mask"}
SHARES = {"get_dropout_mask": "dropout", "get_recurrent_dropout_mask": "recurrent_dropout"}


def inject(model: keras.Model, masks: Arrays | None, part: Callable[[Any], Any] = lambda mask: mask) -> bool:
    """Lets training use these masks, named and shaped as `Workload.masks`; None lets the cells draw again.

    Returns whether anything changed: then functions compiled before must be traced again. ValueError for a mask that
    no cell would ask for. `part`: of a mask (samples, features), what is for the samples that a cell sees.
    """
    sources = _sources(model)
    if masks is not None and set(masks) != {name for name, _, _ in sources}:
        raise ValueError(f"masks {sorted(masks)}; this model takes {sorted(name for name, _, _ in sources)}")
    changed = False
    for name, cell, method in sources:
        if masks is None:
            changed |= vars(cell).pop(method, None) is not None
            continue
        share = getattr(cell, SHARES[method])
        if not share and np.any(masks[name] != 1):
            raise ValueError(f"mask {name} drops values, but the layer's share is {share}: it would be ignored")
        gates = [ops.convert_to_tensor(mask, cell.compute_dtype) for mask in masks[name]]
        vars(cell)[method] = functools.partial(_given, gates, part)
        changed = True
    return changed


@contextmanager
def recorded(model: keras.Model) -> Iterator[dict[str, Any]]:
    """Yields a dict that fills with the masks a forward pass uses, (gate, sample, feature or unit) by canonical name.

    A mask that a cell does not draw, its share being 0, is left out.
    """
    used: dict[str, Any] = {}
    before = [(cell, method, vars(cell).get(method)) for _, cell, method in _sources(model)]
    try:
        for name, cell, method in _sources(model):
            vars(cell)[method] = functools.partial(_noted, used, name, getattr(cell, method))
        yield used
    finally:
        for cell, method, given in before:
            vars(cell).pop(method)
            if given is not None:
                vars(cell)[method] = given


def _sources(model: keras.Model) -> list[tuple[str, Any, str]]:
    # A layer that computes another one's recurrence in its own way has that one as `recurrence`.
    layers = [getattr(layer, "recurrence", layer) for layer in model.layers]
    return [
        (f"{layer.name}.{mask}", layer.cell, method)
        for layer in layers
        if isinstance(layer, keras.layers.GRU)
        for mask, method in METHODS.items()
    ]


def share_out(model: keras.Model, drawn: Callable[[Callable[[Any, float], list[Any]], Any, float], list[Any]]) -> None:
    """Lets cells draw masks by way of `drawn`, which is given their own way to, the samples and the share to drop."""
    for _, cell, _ in _sources(model):
        vars(cell)["_create_dropout_mask"] = functools.partial(drawn, type(cell)._create_dropout_mask.__get__(cell))


def _given(gates: list[Any], part: Callable[[Any], Any], _step_input: Any) -> list[Any]:
    return [part(mask) for mask in gates]


def _noted(used: dict[str, Any], name: str, draw: Callable[[Any], Any], step_input: Any) -> Any:
    gates = draw(step_input)
    if gates is not None and name not in used:  # first asked outside the loop over time, where a trace can return it
        used[name] = ops.stack(list(gates))
    return gates
