"""A fleet's report, made of run folders that were written by hand."""

import re
from pathlib import Path

import msgspec
import pytest
from make_book import make_book
from make_run import edit, make_run
from read_report import headings, parse, tables

from bench import record, runfolder
from bench.cli import main
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


def test_whole_trainings_are_compared_by_their_epochs(tmp_path):
    folder = tmp_path / "fleet"
    folder.mkdir()
    for name, machine in ((FAST, "m1"), (SLOW, "m3")):
        make_book(folder / name)
        for path in (folder / name / "cells").glob("*.json"):
            edit(path, machine=machine)
    report.build(write_fleet(folder))
    text = (folder / "report.md").read_text()
    assert "Epoch time: median of block medians" in text
    (found,) = [each for each in tables(text) if each[0][:2] == ["arm", FAST]]
    assert {row[0] for row in found[1:]} == {"keras-tensorflow", "torch-eager"}
    assert all(re.match(r"[\d.]+ s, ", figure) for row in found[1:] for figure in row[1:])
    header, *rows = (folder / "figures" / "classes-conv-cpu.csv").read_text().splitlines()
    assert header == "arm,class,blocks,epoch_s,low_s,high_s"
    assert len(rows) == 4


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
            classes={FAST: {"cpu": HOSTILE, "cpu_budget": [HOSTILE], "holes": 7}},
            command=(HOSTILE,),
            machines={"m1": Machine("x", "gone", FAST, HOSTILE, {"kernel": HOSTILE, "memory_bytes": "much"})},
            losses=(Loss(HOSTILE, FAST, HOSTILE, HOSTILE, 1e300, HOSTILE),),
            ended_because=HOSTILE,
        )
    )
    page = (folder / "report.html").read_text()
    assert "<script>alert(1)" not in page
    tokens = parse((folder / "report.md").read_text())
    assert [token.attrGet("src") for token in tokens if token.type == "image"] == ["figures/classes-conv-cpu.svg"]
    assert not [token for token in tokens if token.type.startswith("html")]


PATHS = ("../outside", "/tmp/outside", "", "..", "m1/m2", "a\n")
REFUSED = r"fleet\.json: not a whole Fleet record .*restore it from a copy"


@pytest.mark.parametrize("name", PATHS)
def test_a_machine_whose_name_is_a_path_is_refused(tmp_path, name):
    """Folders of machines' names are made, and deleted when the run is over."""
    assert record.read(write_fleet(tmp_path, machines={"m1": Machine("a", "gone")}) / FILE, Fleet)
    with pytest.raises(UsageError, match=REFUSED):
        report.build(write_fleet(tmp_path, machines={name: Machine("a", "gone")}))


@pytest.mark.parametrize("name", [*PATHS, "A", "a" * 81])
def test_a_class_whose_name_is_no_plain_folder_is_refused(tmp_path, name):
    assert record.read(write_fleet(tmp_path, classes={"a": {}}, machines={}) / FILE, Fleet)
    with pytest.raises(UsageError, match=REFUSED):
        report.build(write_fleet(tmp_path, classes={name: {}}, machines={}))


@pytest.mark.parametrize("name", PATHS[:-1])
def test_an_id_that_is_a_path_is_no_place_to_work_in(name):
    with pytest.raises(UsageError, match="is no run's id"):
        runfolder.work_folder(name)


def test_what_asks_for_caution_in_a_class_stands_on_the_first_page_too(tmp_path):
    folder = write_fleet(tmp_path)
    make_run(folder / FAST, workloads=("conv",), blocks=2, identity="genuine")
    make_run(folder / SLOW, workloads=("conv",), blocks=2)
    edit(folder / SLOW / "cells" / "conv.torch-eager.cpu.b1.json", status="failed", reason="it broke")
    report.build(folder)
    told = (folder / "report.md").read_text().partition("## conv on cpu")[0]
    assert f"- class [{SLOW}]({SLOW}/report.html): synthetic data; 1 cell failed" in told
    assert f"[{FAST}]" not in told, "nothing of it asks for caution"


def test_a_fleets_record_that_has_changed_is_refused(tmp_path):
    path = write_fleet(tmp_path) / FILE
    path.write_text(path.read_text().replace('"took part"', '"retired"', 1))
    with pytest.raises(UsageError, match="does not match its checksum; restore it from a copy"):
        report.build(tmp_path)


def test_verbs_for_one_run_name_the_classes_of_a_fleet_and_the_table_of_runs_names_the_fleet(fleet, capsys):
    assert main(["compare", str(fleet), str(fleet / FAST)]) == 2
    told = capsys.readouterr().err.strip()
    assert "is a fleet's run; name the folder in it of one of its classes: " + f"{FAST}, {SLOW}" in told
    assert len(told.splitlines()) == 1
    assert main(["report", str(fleet.parent)]) == 0
    assert (
        "a fleet's run: its own report.html holds its classes side by side" in (fleet.parent / "index.html").read_text()
    )
