"""Whether an arm that compiles can, is asked of the compiler that it will take."""

import shutil
from pathlib import Path

import pytest

from bench import probe


def test_a_compiler_named_in_cxx_that_is_no_program_is_a_problem_though_another_one_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    assert probe.compiler_problem() is None, "these tests need g++ and Python's headers"
    monkeypatch.setenv("CXX", "/no/such")
    assert probe.compiler_problem() == "CXX is /no/such, no program (unset it, or name one)"


def test_a_compiler_named_in_cxx_is_the_one_that_is_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "cxx"
    broken.write_text("#!/bin/sh\necho 'fatal error: out of ideas' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    assert probe.compiler_problem() == f"{broken} cannot build a Python extension (fatal error: out of ideas)"


def test_without_cxx_a_compiler_of_the_path_is_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert probe.compiler_problem() == "none of c++, g++, clang++ is on the PATH"
