"""Which machines count as the same: only their results may stand in one table."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

COMMON = (
    "cpu", "cpu_budget", "cpu_quota", "cpu_governor", "cpu_boost", "gpus", "image", "locks", "interpreters",
)  # fmt: skip
"""Keys of a machine's environment that a class has in common. Memory and kernel may differ: they are told, machine by
machine, and a cell that lacks memory fails."""


def common(environment: Mapping[str, Any], holes: Mapping[str, str]) -> dict[str, Any]:
    """What a machine has in common with all of its class: keys of `COMMON`, and which arms cannot run there."""
    found = {key: environment.get(key) for key in COMMON} | {"holes": sorted(holes)}
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def class_id(shared: Mapping[str, Any]) -> str:
    """A name that a person recognises and no other class has: processor or GPU, cores, a part of a hash."""
    gpus = shared["gpus"] or []
    named = str(gpus[0]["name"] if gpus else shared["cpu"] or "cpu")
    plain = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\(r\)|\(tm\)|processor|cpu|@.*", "", named.lower())).strip("-")
    number = f"x{len(gpus)}" if gpus else f"{shared['cpu_budget']}c"
    digest = hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()
    return f"{plain[:40] or 'cpu'}-{number}-{digest[:6]}"
