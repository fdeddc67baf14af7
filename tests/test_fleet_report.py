"""A fleet's report, made of run folders that were written by hand."""

import json
from pathlib import Path

import msgspec
import pytest
from make_run import edit, make_run
from read_report import headings, parse

from bench import record
from bench.errors import UsageError
from bench.fleet.record import FILE, SCHEMA, Fleet, Loss, Machine
from bench.report import fleet as report

FAST, SLOW = "epyc-2c-0a1b2c", "xeon-4c-3d4e5f"
HOSTILE = "=cmd|'/C calc'!A0\n# <script>alert(1)</script> ![i](http://h) " + "long " * 80


def write_fleet(folder: Path, **changes: object) -> Path:
    """`fleet.json` of two classes with two machines each, one of which measured nothing."""
    machines = {
        "m1": Machine("a1", "took part", FAST, environment={"memory_bytes": 2**34, "kernel": "6.1"}),
        "m2": Machine("a2", "took part", FAST),
        "m3": Machine("a3", "took part", SLOW),
        "m4": Machine("a4", "left out", SLOW, "its bench is another than the driver's"),
    }
    made = Fleet(
        schema=SCHEMA,
        id="20260105T093000Z-abcd",
        started="2026-01-05T09:30:00Z",
        command=("bench", "run", "--cluster", "auto"),
        device="cpu",
        cluster="auto",
        classes={FAST: {"cpu": "EPYC", "cpu_budget": 2, "holes": []}, SLOW: {"cpu": "Xeon", "cpu_budget": 4}},
        machines=machines,
        finished="2026-01-05T09:40:00Z",
        ended_because="every class has ended its run",
    )
    record.write(folder / FILE, msgspec.structs.replace(made, **changes))
    return folder


def measured_on(run: Path, machines: tuple[str, ...]) -> None:
    """Spreads the blocks of a run over these machines, whole ones."""
    for path in sorted((run / "cells").glob("*.json")):
        edit(path, machine=machines[record.read(path, record.Cell).block % len(machines)])


@pytest.fixture(scope="module")
def fleet(tmp_path_factory) -> Path:
    """Two classes, the second of which has one arm less."""
    folder = tmp_path_factory.mktemp("fleet") / "fleet"
    folder.mkdir()
    make_run(folder / FAST, workloads=("conv",), control="torch-eager")
    make_run(folder / SLOW, workloads=("conv",), control="torch-eager", holes={"torch-compile": "no compiler"})
    measured_on(folder / FAST, ("m1", "m2"))
    measured_on(folder / SLOW, ("m3",))
    return write_fleet(folder)


def test_every_class_has_a_column_and_a_report_of_its_own(fleet):
    built = report.build(fleet)
    text = (fleet / "report.md").read_text()
    named = ["Read this first", "conv on cpu", "Classes of machines", "Machines"]
    assert headings(text) == ["# Fleet 20260105T093000Z-abcd", *(f"## {each}" for each in named)]
    assert "m4: left out: its bench is another than the driver's" in text
    assert text.count("torch-eager against itself") == 2, "each class has its own noise"
    for name in (FAST, SLOW):
        assert fleet / name / "report.html" in built
        assert f"[{name}]({name}/report.html)" in text
    assert "do not trust it" not in text
    figures = (fleet / "figures" / "classes-conv-cpu.csv").read_text().splitlines()
    assert figures[0].split(",")[:2] == ["arm", "class"]
    assert {line.split(",")[1] for line in figures[1:]} == {FAST, SLOW}


def test_a_block_that_was_measured_on_two_machines_is_not_to_be_trusted(fleet, tmp_path):
    folder = tmp_path / "fleet"
    folder.mkdir()
    make_run(folder / FAST, workloads=("conv",), blocks=3)
    measured_on(folder / FAST, ("m1", "m2"))
    edit(folder / FAST / "cells" / "conv.torch-eager.cpu.b2.json", machine="m2")
    report.build(write_fleet(folder))
    text = (folder / "report.md").read_text()
    (line,) = [line for line in text.splitlines() if "do not trust it" in line]
    assert "block 2 of conv: on m1, m2" in line
    assert f"class {SLOW} has measured nothing" in text


def test_hostile_words_of_a_fleet_stay_words(tmp_path):
    folder = tmp_path / "fleet"
    folder.mkdir()
    make_run(folder / FAST, workloads=("conv",), blocks=2)
    report.build(
        write_fleet(
            folder,
            id=HOSTILE,
            classes={FAST: {"cpu": HOSTILE, "cpu_budget": [HOSTILE], "holes": 7}},
            machines={HOSTILE: Machine("x", "gone", FAST, HOSTILE, {"kernel": HOSTILE, "memory_bytes": "much"})},
            losses=(Loss(HOSTILE, FAST, HOSTILE, HOSTILE, 1e300, HOSTILE),),
            ended_because=HOSTILE,
        )
    )
    page = (folder / "report.html").read_text()
    assert "<script>alert(1)" not in page
    tokens = parse((folder / "report.md").read_text())
    assert [token.attrGet("src") for token in tokens if token.type == "image"] == ["figures/classes-conv-cpu.svg"]
    assert not [token for token in tokens if token.type.startswith("html")]


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "", "A", "a" * 81, "a\n"])
def test_a_class_whose_name_is_no_plain_folder_is_refused(fleet, tmp_path, name):
    folder = write_fleet(tmp_path)
    told = json.loads((folder / FILE).read_text())
    told["classes"] = {name: {}}
    (folder / FILE).write_text(json.dumps(told))
    with pytest.raises(UsageError, match=r"fleet\.json"):
        report.build(folder)
