"""Examples in docstrings run, and print what they say."""

import doctest
import importlib

import pytest
from import_graph import modules

from common.papers import PAPERS

EXAMPLES = [
    name
    for name, file in modules("common", *PAPERS).items()
    if ">>> " in file.read_text(encoding="utf-8") and not name.startswith("wrn_edge.device")
]


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of(name):
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.attempted and not found.failed


def test_there_are_examples_of_every_paper():
    assert set(PAPERS) <= set(EXAMPLES)
