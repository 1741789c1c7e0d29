"""Damaged files of boosted trees: each is read, and then answers, or refused with a line that says why."""

import random

import pytest

from eric_fast.errors import EricError
from tests.fuzz import check_format
from tests.fuzz_boosters import BOOSTERS


@pytest.mark.parametrize("name", BOOSTERS)
def test_damaged_files(name):
    assert sum(check_format(name, 200)) == 200


def test_damaged_graphs():
    n_read, n_refused = check_format("onnx graph", 200)
    assert n_read > 20
    assert n_refused > 100


@pytest.mark.parametrize("name", BOOSTERS)
def test_single_wrong_bytes(name):
    """Most of the file is right, so that what lies deep in it is reached; many are read, and many refused."""
    make, read = BOOSTERS[name]
    n_read, reasons = 0, []
    for i in range(150):
        rng = random.Random(f"{name}/{i}")
        data = bytearray(make(rng))
        data[rng.randrange(len(data))] = rng.choice((rng.randrange(256), ord(rng.choice("0123456789-.e,[]{}"))))
        try:
            read(bytes(data))
            n_read += 1
        except EricError as error:
            reasons.append(str(error))
    assert all("fuzz" in reason or "column" in reason for reason in reasons)
    assert 10 < n_read < 140
