"""`count` on the GPU: a bit-matrix product of masks and atoms, in one Triton kernel."""

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn.functional import pad

from eric_fast.kernels.devices import launch_on
from eric_fast.kernels.growth import check_count

TILE_MASKS, TILE_ATOMS, WARPS = 64, 64, 8  # the tile of one block
SQUARE = tl.constexpr(16)  # threads a side: a thread has a pair of each such square of the tile
STEP = 3  # words that go through one carry-save adder
BLOCK_WORDS = 512 * STEP  # words of one block: several blocks add to the same counts


def count(words: Tensor, masks: Tensor) -> Tensor:
    """As `reference.count`, to the bit, on the device of `words`."""
    check_count(words, masks)
    n_masks, n_atoms, n_words = len(masks), len(words), words.shape[1]
    counts = torch.zeros(n_masks, n_atoms, dtype=torch.int32, device=words.device)
    if not counts.numel() or not n_words:
        return counts
    # Word-major and padded to whole tiles: neighbours in a load are neighbours in memory, and nothing is masked.
    by_word = [
        pad(rows, (0, -n_words % STEP, 0, -len(rows) % tile)).T.contiguous()
        for rows, tile in ((masks, TILE_MASKS), (words, TILE_ATOMS))
    ]
    padded = len(by_word[0])
    grid = (triton.cdiv(n_masks, TILE_MASKS), triton.cdiv(n_atoms, TILE_ATOMS), triton.cdiv(padded, BLOCK_WORDS))
    with launch_on(words.device):
        count_kernel[grid](
            *by_word,
            counts,
            by_word[0].shape[1],
            by_word[1].shape[1],
            n_masks,
            n_atoms,
            padded,
            MASKS=TILE_MASKS,
            ATOMS=TILE_ATOMS,
            WORDS=BLOCK_WORDS,
            num_warps=WARPS,
        )
    return counts


@triton.jit
def count_ones(b_words):
    """How many bits of each word are 1; LLVM makes one instruction of it. b_words: int32, any shape."""
    b_words = b_words.to(tl.uint32, bitcast=True)
    b_words = b_words - ((b_words >> 1) & 0x55555555)
    b_words = (b_words & 0x33333333) + ((b_words >> 2) & 0x33333333)
    b_words = (b_words + (b_words >> 4)) & 0x0F0F0F0F
    return ((b_words * 0x01010101) >> 24).to(tl.int32)


@triton.jit
def _load_pairs(p_masks, p_atoms, word, mask_stride, atom_stride, o_masks, o_atoms):
    """One word of every mask and atom, by the numbers `o_masks` and `o_atoms`, AND-ed: int32, a tile of pairs.

    Pointers are as in `count_kernel`.
    """
    return tl.load(p_masks + word * mask_stride + o_masks) & tl.load(p_atoms + word * atom_stride + o_atoms)


@triton.jit
def count_kernel(
    p_masks,
    p_atoms,
    p_counts,
    mask_stride,
    atom_stride,
    n_masks,
    n_atoms,
    n_words,
    MASKS: tl.constexpr,
    ATOMS: tl.constexpr,
    WORDS: tl.constexpr,
):
    """Count the bits that a tile of masks and atoms share in `WORDS` words.

    p_masks: int32 [n_words, mask_stride]. p_atoms: int32 [n_words, atom_stride]. p_counts: int32 [n_masks, n_atoms],
    added to.
    """
    mask_stride, atom_stride = tl.cast(mask_stride, tl.int64), tl.cast(atom_stride, tl.int64)  # addresses are 64-bit
    o_square = tl.arange(0, SQUARE)
    o_masks = tl.program_id(0) * MASKS + (tl.arange(0, MASKS // SQUARE) * SQUARE)[:, None, None, None]
    o_masks += o_square[None, None, :, None]
    o_atoms = tl.program_id(1) * ATOMS + (tl.arange(0, ATOMS // SQUARE) * SQUARE)[None, :, None, None]
    o_atoms += o_square[None, None, None, :]
    first = tl.program_id(2) * WORDS
    b_ones = tl.zeros([MASKS // SQUARE, ATOMS // SQUARE, SQUARE, SQUARE], tl.int32)
    b_twos = b_ones
    for word in range(first, min(first + WORDS, n_words), 3):
        b_0 = _load_pairs(p_masks, p_atoms, word, mask_stride, atom_stride, o_masks, o_atoms)
        b_1 = _load_pairs(p_masks, p_atoms, word + 1, mask_stride, atom_stride, o_masks, o_atoms)
        b_2 = _load_pairs(p_masks, p_atoms, word + 2, mask_stride, atom_stride, o_masks, o_atoms)
        b_ones += count_ones(b_0 ^ b_1 ^ b_2)
        b_twos += count_ones((b_0 & b_1) ^ (b_2 & (b_0 ^ b_1)))
    inside = (o_masks < n_masks) & (o_atoms < n_atoms)
    p_out = p_counts + o_masks.to(tl.int64) * n_atoms + o_atoms
    tl.atomic_add(p_out, b_ones + 2 * b_twos, mask=inside, sem="relaxed")
