"""Which heat maps the proofs of images show: those of the kernels in the class rules that decide."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from eric_fast.evaluator import Predictions
from eric_fast.program import Program
from eric_fast.program.data import atom_of

MOST_PROOFS = 500  # whose proofs have maps: the network runs on them


def list_proof_maps(
    program: Program, answers: Iterable[Predictions], embedded: Tensor, disagrees: Tensor
) -> Mapping[int, list[int]]:
    """Atom -> the embedded images, by their place, in whose proofs from some start it stands.

    Of more than `MOST_PROOFS` images those come first on which model and program differ.

    Args:
        answers: on all images, from each start.
        embedded: int64 `[n_embedded]`: indices of images.
        disagrees: bool `[n_images]`: where model and program differ.
    """
    order = torch.argsort((~disagrees[embedded]).long(), stable=True)[:MOST_PROOFS]
    found: dict[int, set[int]] = {}
    for predictions in answers:
        for place, rule in zip(order.tolist(), predictions.rules[embedded[order]].tolist(), strict=True):
            for literal in program.class_rules[rule].body if rule >= 0 else ():
                found.setdefault(atom_of(literal), set()).add(place)
    return {atom: sorted(places) for atom, places in found.items()}
