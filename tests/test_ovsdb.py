"""The JSON parser that stands in for that of Open vSwitch's library, beside that one."""

import importlib.util
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onehop.controller.ovsdb import Parser


def slow_parser() -> Any:
    """The library's own parser, from a second copy of its module."""
    spec = importlib.util.find_spec("ovs.json")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Parser()


def read(parser: Any, text: str, size: int) -> tuple[Any, int]:
    """The first value in `text`, fed in pieces, and how much of the text it took."""
    taken = 0
    while taken < len(text) and not parser.is_done():
        taken += parser.feed(text[taken : taken + size])
    return parser.finish(), taken


TEXTS = st.text('ab"\\{}[],: \n\u00e9\u4e2d', max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4)
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=5)


@settings(deadline=None)
@given(OBJECTS, OBJECTS, st.integers(1, 40), st.booleans())
def test_both_parsers_find_the_same_value_and_its_end(
    first: dict[str, Any], second: dict[str, Any], size: int, ascii_only: bool
) -> None:
    text = "".join(json.dumps(value, ensure_ascii=ascii_only) for value in (first, second))
    value, taken = read(Parser(), text, size)
    assert (value, taken) == read(slow_parser(), text, size)
    assert value == first
    assert read(Parser(), text[taken:], size)[0] == second


@pytest.mark.parametrize(
    "text", ["", "{", '{"a', "}", "]", "{]", '{"a" 1}', '{"a\\', "{{}}", "[1,]"]
)
def test_what_is_no_json_is_told_in_a_text(text: str) -> None:
    assert isinstance(read(Parser(), text, 2)[0], str)
