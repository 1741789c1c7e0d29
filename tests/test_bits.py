import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eric_fast.bits import (
    ROW_WORDS,
    WORD_BITS,
    BitMatrix,
    count_words,
    cut_words,
    join_words,
    mask_tail,
    pack_bits,
    unpack_words,
)
from eric_fast.errors import EricError

SIZES = (0, 1, 31, 32, 33, 63, 1000, 1024, 1025)


@pytest.mark.parametrize("n_samples", SIZES)
@pytest.mark.parametrize("n_atoms", [0, 1, 5])
def test_packing_is_undone_by_unpacking(n_samples, n_atoms):
    bits = torch.rand(n_samples, n_atoms, generator=torch.Generator().manual_seed(n_samples)) < 0.5
    words = pack_bits(bits)
    assert words.dtype == torch.int32
    assert words.shape == (n_atoms, count_words(n_samples))
    assert words.shape[1] % ROW_WORDS == 0
    assert torch.equal(unpack_words(words, n_samples), bits)


@given(st.lists(st.booleans(), max_size=100))
def test_bit_of_a_sample_is_where_the_layout_says(column):
    words = pack_bits(torch.tensor(column, dtype=torch.bool).reshape(-1, 1))
    for word in range(words.shape[1]):
        expected = sum(bit << s for s, bit in enumerate(column[word * WORD_BITS : (word + 1) * WORD_BITS]))
        assert words[0, word].item() & 0xFFFFFFFF == expected


@pytest.mark.parametrize("n_samples", SIZES)
def test_tail_is_masked(n_samples):
    words = torch.full((3, count_words(n_samples)), -1, dtype=torch.int32)
    assert torch.equal(mask_tail(words, n_samples), pack_bits(torch.ones(n_samples, 3, dtype=torch.bool)))


def test_words_are_cut_as_the_samples_pack_alone():
    unit = WORD_BITS * ROW_WORDS
    bits = torch.rand(3 * unit + 17, 3, generator=torch.Generator().manual_seed(0)) < 0.5
    for first, n_samples in ((0, unit), (unit, 2 * unit), (2 * unit, unit + 17), (0, len(bits))):
        assert torch.equal(cut_words(pack_bits(bits), first, n_samples), pack_bits(bits[first : first + n_samples]))


def test_a_set_bit_past_the_last_sample_is_refused():
    words = pack_bits(torch.ones(33, 2, dtype=torch.bool))
    for word, bit in ((1, 1), (1, 31), (2, 0), (ROW_WORDS - 1, 31)):
        spoilt = words.clone()
        spoilt[1, word] |= torch.tensor(1 << bit if bit < 31 else -(1 << 31), dtype=torch.int32)
        with pytest.raises(EricError, match="past the last sample"):
            BitMatrix(spoilt, 33, ("a", "b"))


def test_wrong_shapes_dtypes_and_names_are_refused():
    words = pack_bits(torch.ones(33, 2, dtype=torch.bool))
    for bad in (words.long(), words[:1], words[:, :-1], words[0]):
        with pytest.raises(EricError, match="words must be int32"):
            BitMatrix(bad, 33, ("a", "b"))
    with pytest.raises(EricError, match="same name"):
        BitMatrix(words, 33, ("a", "a"))
    with pytest.raises(EricError, match="must be bool"):
        BitMatrix.from_bools(torch.ones(3, 2), ("a", "b"))


def test_rows_are_selected_by_name():
    bits = torch.eye(3, dtype=torch.bool)
    matrix = BitMatrix.from_bools(bits, ("a", "b", "c"))
    assert torch.equal(matrix.select_atoms(["c", "a"]).to_bools(), bits[:, [2, 0]])
    assert matrix.select_atoms(["a", "b", "c"]) is matrix
    order = np.arange(matrix.n_samples)[::-2].copy()
    assert torch.equal(matrix.select_samples(order).to_bools(), bits[torch.from_numpy(order)])
    with pytest.raises(EricError, match="no bits of 'd'"):
        matrix.select_atoms(["d"])


@pytest.mark.parametrize("sizes", [[5], [1024, 2048, 7], [33, 0, 31, 1000], [1023, 1, 1024], [64, 32, 5], [0, 0]])
def test_words_of_parts_join(sizes):
    bits = torch.rand(sum(sizes), 5, generator=torch.Generator().manual_seed(0)) > 0.5
    parts = [pack_bits(part) for part in bits.split(sizes)]
    assert torch.equal(join_words(parts, sizes), pack_bits(bits))
