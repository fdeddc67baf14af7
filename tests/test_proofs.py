"""What is too slow for every change is run by `tox -e proofs`, all of it."""

from configparser import RawConfigParser
from pathlib import Path

TESTS = Path(__file__).parent


def test_every_slow_proof_is_in_the_command_that_runs_them() -> None:
    tox = RawConfigParser()
    tox.read(TESTS.parent / "tox.ini")
    whole, found, marked = tox["testenv:proofs"]["commands"].strip().partition("pytest -m proof")
    assert found
    slow = [path.name for path in TESTS.glob("*_full.py")]
    of_marks = [path.name for path in TESTS.glob("test_*.py") if "mark" + ".proof" in path.read_text()]
    assert slow
    assert of_marks
    assert [name for name in slow if f"tests/{name}" not in whole] == []
    assert marked.split() == [], "it names no file: what is marked is run wherever it stands"
