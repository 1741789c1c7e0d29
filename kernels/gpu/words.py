"""Words in Triton: what several kernels do with the bits of one."""

import triton
import triton.language as tl


@triton.jit
def count_ones(b_words):
    """How many bits of each word are 1; LLVM makes one instruction of it. b_words: int32, any shape."""
    b_words = b_words.to(tl.uint32, bitcast=True)
    b_words = b_words - ((b_words >> 1) & 0x55555555)
    b_words = (b_words & 0x33333333) + ((b_words >> 2) & 0x33333333)
    b_words = (b_words + (b_words >> 4)) & 0x0F0F0F0F
    return ((b_words * 0x01010101) >> 24).to(tl.int32)
