"""What every exported form must hold to: schemas after the programs that read or write it, and readers that check."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import fastjsonschema
import xmlschema
from pytest_benchmark.stats import Stats

MARK = ":::MLLOG "
TEXT, NUMBER, COUNT = {"type": "string"}, {"type": "number"}, {"type": "integer", "minimum": 0}
POSITIVE = {"type": "number", "exclusiveMinimum": 0}


def exactly(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """JSON schema of an object with these members and no other."""
    properties = required | (optional or {})
    return {"type": "object", "required": list(required), "properties": properties, "additionalProperties": False}


# After the interface BenchmarkResult in src/extract.ts of benchmark-action/github-action-benchmark.
ACTION = {
    "type": "array",
    "items": exactly(
        {"name": TEXT | {"minLength": 1}, "unit": {"enum": ["ms", "s"]}, "value": POSITIVE},
        {"range": TEXT, "extra": TEXT},
    ),
}
# After mllog.py in mlcommons/logging, which writes such lines.
EVENT = exactly(
    {
        "namespace": TEXT,
        "time_ms": {"type": "integer", "exclusiveMinimum": 0},
        "event_type": {"enum": ["POINT_IN_TIME", "INTERVAL_START", "INTERVAL_END"]},
        "key": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"},
        "value": {},
        "metadata": {
            "type": "object",
            "required": ["file", "lineno"],
            "properties": {"file": TEXT, "lineno": {"type": "integer", "minimum": 1}},
        },
    }
)
# After what pytest-benchmark writes with --benchmark-json; github-action-benchmark types the same in src/extract.ts.
BENCHMARK = exactly(
    {
        "machine_info": {"type": "object", "required": ["node", "system", "cpu"]},
        "commit_info": {"type": "object", "required": ["id", "time", "dirty", "project", "branch"]},
        "benchmarks": {
            "type": "array",
            "items": exactly(
                {
                    "group": TEXT,
                    "name": TEXT | {"minLength": 1},
                    "fullname": TEXT | {"minLength": 1},
                    "params": {"type": "null"},
                    "param": {"type": "null"},
                    "extra_info": {"type": "object"},
                    "options": {"type": "object"},
                    "stats": exactly(
                        {field: NUMBER for field in Stats.fields if field != "outliers"}
                        | {"outliers": {"type": "string", "pattern": "^\\d+;\\d+$"}, "iterations": COUNT}
                        | {"data": {"type": "array", "items": POSITIVE, "minItems": 1}}
                    ),
                }
            ),
        },
        "datetime": TEXT,
        "version": TEXT,
    }
)


def junit(content: bytes) -> ElementTree.Element:
    schema = xmlschema.XMLSchema(Path(__file__).parent / "junit.xsd")
    schema.validate(content.decode())
    return ElementTree.fromstring(content)


def events(content: bytes) -> list[dict[str, Any]]:
    """As mlperf_logging reads a log: Latin-1, a line begins at its last mark, one without is none."""
    check = fastjsonschema.compile(EVENT)
    lines = [line.rpartition(MARK) for line in content.decode("latin-1").splitlines()]
    found = [json.loads(event) for _, mark, event in lines if mark]
    return [check(event) for event in found]
