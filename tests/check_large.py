"""Ten million samples, once: `python -m tests.check_large [N_SAMPLES]`.

The CPU answers all of them; the reference answers slices that start anywhere; counts must add up to the same.
"""

import sys

import torch

from eric_fast import kernels
from eric_fast.bits import WORD_BITS, count_words, mask_tail
from eric_fast.compile.program import compile_program
from eric_fast.kernels.outcome import expect
from tests.make_rules import make_shared_program

N_SLICES, SLICE_WORDS = 40, 32


def check_large(n_samples: int, seed: int = 4) -> None:
    plan = compile_program(make_shared_program(seed))
    generator = torch.Generator().manual_seed(seed)
    shape = (plan.n_inputs, count_words(n_samples))
    words = mask_tail(
        torch.randint(-(2**31), 2**31, shape, generator=generator, dtype=torch.int64).to(torch.int32), n_samples
    )
    truths = torch.randint(-1, plan.n_classes, (1, n_samples), generator=generator)
    wanted = {"counts": True, "rows": range(plan.n_rows), "truths": truths}
    whole = kernels.evaluate(plan, words, n_samples, engine="cpu", **wanted)
    classes, rules, rows, confusion = map(expect, (whole.classes, whole.rules, whole.rows, whole.confusion))
    starts = torch.randint(0, shape[1] // SLICE_WORDS, (N_SLICES,), generator=generator).tolist()
    for start in (0, *starts, shape[1] // SLICE_WORDS - 1):  # the first and the last, too
        first = start * SLICE_WORDS
        last, n = first + SLICE_WORDS, min(SLICE_WORDS * WORD_BITS, n_samples - first * WORD_BITS)
        part = kernels.evaluate(plan, words[:, first:last], n, engine="reference", rows=range(plan.n_rows))
        here = slice(first * WORD_BITS, first * WORD_BITS + n)
        assert torch.equal(classes[here], expect(part.classes)), start
        assert torch.equal(rules[here], expect(part.rules)), start
        assert torch.equal(rows[:, first:last], expect(part.rows)), start
    assert int(confusion.sum()) == int((truths >= 0).sum())
    answers = torch.where(classes < 0, plan.n_classes, classes)
    pairs = truths[0].add(1) * (plan.n_classes + 1) + answers
    counted = torch.bincount(pairs, minlength=(plan.n_classes + 1) ** 2).view(plan.n_classes + 1, -1)[1:]
    assert torch.equal(confusion[0], counted)
    print(
        f"{n_samples:,} samples: {N_SLICES + 2} slices agree with the reference, and {plan.n_rules} rules were counted"
    )


if __name__ == "__main__":
    check_large(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)
