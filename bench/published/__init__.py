"""The published learning curves, one CSV file a workload, and the data they may be held against."""

from importlib import resources

import pandas as pd

COLUMNS = {
    ("train", "loss"): "loss",
    ("validation", "loss"): "val_loss",
    ("train", "accuracy"): "acc",
    ("validation", "accuracy"): "val_acc",
}
"""Column of a file, by split and metric."""
COMPARABLE = ("genuine", "equivalent")
"""Identities of data that published figures may stand beside: never others, never synthetic data."""


def published_curve(file: str) -> pd.DataFrame | None:
    """Published figures by epoch (index), columns of the file; None for a file this bench does not carry."""
    for entry in resources.files(__name__).iterdir():
        if entry.name == file:
            with entry.open() as stream:
                return pd.read_csv(stream).set_index("epoch")
    return None
