"""Damaged files of boosted trees: each is refused with a line that says why, or answers as its source does."""

import pytest

from tests.fuzz import FORMATS, check_format
from tests.fuzz_boosters import BOOSTERS
from tests.optional import import_optional


@pytest.mark.parametrize("name", BOOSTERS)
def test_damaged_files(name):
    import_optional(FORMATS[name].source)
    n_read, n_equal, n_refused = check_format(name, 150, compare=True)
    assert n_read >= n_equal > 5
    assert n_refused > 10


def test_damaged_graphs():
    import_optional("onnxruntime")
    n_read, n_equal, n_refused = check_format("onnx graph", 150, compare=True)
    assert n_read > n_equal > 5
    assert n_refused > 70
