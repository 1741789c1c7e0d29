"""What is spread over processes is what one process makes: growth, with the processes played by threads."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eric_fast import kernels
from eric_fast.bits import pack_bits
from eric_fast.errors import EricError
from eric_fast.extract import TreeOptions
from eric_fast.kernels import MOST_TREES
from tests.examples import try_examples
from tests.ranks import run_ranks
from tests.test_trees import assert_equal_forests, make_case, options_and_weights

CUTS = ([0, 40, 300], [0, 0, 300], [0, 300, 300], [0, 7, 7, 300], [0, 100, 200, 300])


def grow_part(bits, targets, options, part, **settings):
    """Trees of the samples of `part`; limits are of all samples."""
    own = bits[part]
    goal = pack_bits(targets[:, part].T == 1) if settings.pop("packed") else targets[:, part]
    weights = settings.pop("weights")
    return kernels.grow(
        pack_bits(torch.from_numpy(own)),
        len(own),
        goal,
        options.to_limits(len(bits)),
        weights=None if weights is None else weights[part],
        value_weights=options.list_class_weights(settings["n_values"]),
        **settings,
    )


@try_examples(60)
@given(st.data())
def test_processes_with_parts_of_the_samples_grow_the_trees_of_one_with_all(data):
    n_values = data.draw(st.sampled_from([2, 2, 3, 7]))
    n_targets, n_atoms = data.draw(st.sampled_from([0, 1, 3, 70])), data.draw(st.sampled_from([0, 1, 65]))
    options, weights = data.draw(options_and_weights(300, n_values))
    bits, targets = make_case(data.draw(st.integers(0, 2**32 - 1)), 300, n_atoms, n_targets, n_values)
    goal = torch.from_numpy(targets)
    settings = {"n_values": n_values, "weights": weights, "packed": n_values == 2 and data.draw(st.booleans())}
    expected = grow_part(bits, goal, options, slice(0, 300), **settings)
    cuts = data.draw(st.sampled_from(CUTS))
    engine = data.draw(st.sampled_from(["cpu", "cpu", "reference"])) if n_targets < 70 else "cpu"
    n_threads = data.draw(st.sampled_from([1, 2]))

    def grow(rank, combine):
        part = slice(cuts[rank], cuts[rank + 1])
        more = {"combine": combine, "engine": engine, "n_threads": n_threads}
        return grow_part(bits, goal, options, part, **settings, **more)

    for forest in run_ranks(len(cuts) - 1, grow):
        assert_equal_forests(forest, expected)


def test_many_nodes_need_more_room_than_trees_begin_with():
    bits, targets = make_case(5, 300, 30, 3, 2)
    settings = {"n_values": 2, "weights": None, "packed": True}
    options = TreeOptions(min_leaf=1)
    expected = grow_part(bits, torch.from_numpy(targets), options, slice(0, 300), **settings)
    assert int(expected.offsets.diff().max()) > 64

    def grow(rank, combine):
        part = slice(0, 111) if rank == 0 else slice(111, 300)
        return grow_part(bits, torch.from_numpy(targets), options, part, combine=combine, **settings)

    for forest in run_ranks(2, grow):
        assert_equal_forests(forest, expected)


def test_one_process_that_wants_to_stop_stops_all():
    bits, targets = make_case(1, 300, 20, 3 * MOST_TREES, 2)
    settings = {"n_values": 2, "weights": None, "packed": True}

    def grow(rank, combine):
        part, told = slice(150 * rank, 150 * rank + 150), []
        stop = (lambda: len(told) > 5) if rank else (lambda: False)
        forest = grow_part(
            bits,
            torch.from_numpy(targets),
            TreeOptions(),
            part,
            combine=combine,
            stop=stop,
            progress=told.append,
            **settings,
        )
        return forest, told

    (one, told), (other, told_too) = run_ranks(2, grow)
    assert_equal_forests(one, other)
    assert MOST_TREES <= len(one.grown) < 2 * MOST_TREES
    assert told == told_too == list(range(1, len(one.grown) + 1))


def test_targets_whose_values_no_process_sees_in_full_need_their_number():
    bits, targets = make_case(0, 64, 3, 1, 3)
    rows = pack_bits(torch.from_numpy(bits))
    with pytest.raises(EricError, match="n_values must be given"):
        kernels.grow(rows, 64, torch.from_numpy(targets), TreeOptions().to_limits(64), combine=lambda numbers: numbers)


def test_what_all_processes_weigh_together_has_a_limit():
    rows, goal = pack_bits(torch.from_numpy(np.ones((64, 1), bool))), torch.zeros(1, 64, dtype=torch.int64)
    settings = {"n_values": 2, "weights": torch.full((64,), 2**20)}
    kernels.grow(rows, 64, goal, TreeOptions("gini").to_limits(64), **settings)
    with pytest.raises(EricError, match="weigh up to 201,326,592"):
        kernels.grow(rows, 64, goal, TreeOptions("gini").to_limits(64), combine=lambda n: 3 * n, **settings)
