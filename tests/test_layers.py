"""The layers, where import-linter cannot look: Cython's import lines."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent
SOURCES = sorted([*ROOT.glob("engine/*.pyx"), *ROOT.glob("engine/*.pxd")])
ALLOWED = ("onehop.engine", "libc", "cpython", "cython", "numpy", "msgspec", "netaddr")
STANDARD = ("__future__", "collections", "dataclasses", "enum", "functools", "hashlib")
STANDARD += ("ipaddress", "itertools", "operator", "struct", "typing")
IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import|c?import\s+([\w.]+))", re.MULTILINE)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_engine_imports_nothing_that_does_io(source: pathlib.Path) -> None:
    for match in IMPORT.finditer(source.read_text()):
        module = match[1] or match[2]
        assert module.split(".")[0] in {*STANDARD, "libc", "cpython"} or module.startswith(
            ALLOWED
        ), f"{source.name} imports {module}"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_cython_modules_import_each_other_by_their_full_name(source: pathlib.Path) -> None:
    assert not re.search(r"^\s*(?:from\s+\.|c?import\s+engine)", source.read_text(), re.MULTILINE)


@pytest.mark.parametrize("source", sorted(ROOT.glob("engine/*.pyx")), ids=lambda path: path.name)
def test_every_cython_module_has_a_stub(source: pathlib.Path) -> None:
    assert source.with_suffix(".pyi").exists()
