"""What the outputs of an ONNX graph are: link functions of sums, and the place of the highest."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eric_fast.frontends.trees.nodes import StoredTree
from eric_fast.frontends.trees.onnx_values import (
    FixedValue,
    HighestPlace,
    LeafSums,
    Leaves,
    Linked,
    RowValue,
    Share,
    UnsupportedError,
    as_sums,
    stack_leaves,
)


def fill_tree(tree: StoredTree, number: int, sums: Sequence[LeafSums]) -> StoredTree:
    """A tree with what each sum takes of its leaves."""
    leaves = np.flatnonzero(np.asarray(tree.column) < 0)
    values = np.zeros((len(tree.column), len(sums)))
    for i, part in enumerate(sums):
        values[leaves, i] = part.terms.get(number, 0.0)
    return replace(tree, values=values[:, 0] if len(sums) == 1 else values, output=0)


def choose_by_leaf(labels: Leaves, scores: Sequence[RowValue] | None) -> RowValue:
    """The labels of one tree's leaves as the places of the highest of scores; of one vote for each label without any.

    Raises:
        UnsupportedError: a label isn't that of the highest score.
    """
    table, places = np.unique(labels.values, return_inverse=True)
    if scores is None:
        votes = np.eye(len(table), dtype=np.float32)[:, places]
        return HighestPlace(tuple(Leaves(labels.tree, vote) for vote in votes), tuple(table))
    if any(not isinstance(score, Leaves | FixedValue) for score in scores):
        raise UnsupportedError("is a label of one tree's leaf, but scores are not")
    best = stack_leaves(scores).argmax(axis=0)
    known = dict(zip(best.tolist(), labels.values.tolist(), strict=True))
    if any(known[i] != label for i, label in zip(best.tolist(), labels.values.tolist(), strict=True)):
        raise UnsupportedError("has classes that are not those of its highest scores")
    if len(known) < len(scores) and any(i != label for i, label in known.items()):
        raise UnsupportedError("has scores for classes that it never gives")
    return HighestPlace(tuple(scores), tuple(np.asarray(known.get(i, i)) for i in range(len(scores))))


def find_link(values: Sequence[RowValue]) -> tuple[str, tuple[RowValue, ...]]:
    """The one link function of these values, and what it is of. Raises UnsupportedError: there is none."""
    first = values[0] if values else None
    if isinstance(first, Share):
        shares = [value for value in values if isinstance(value, Share)]
        same = all(share.link == first.link and are_same(share.parts, first.parts) for share in shares)
        if len(shares) != len(values) or not same or [share.place for share in shares] != list(range(len(first.parts))):
            raise UnsupportedError("combines shares of different sums")
        inner, parts = find_link(first.parts)
        if inner == "identity":
            return first.link, parts
        if (first.link, inner) != ("shares", "sigmoids"):
            raise UnsupportedError(f"takes {first.link} of {inner}")
        return "sigmoid shares", parts
    if isinstance(first, Linked):
        if any(not isinstance(value, Linked) or value.link != first.link for value in values):
            raise UnsupportedError("combines values of different link functions")
        parts = tuple(value.part for value in values if isinstance(value, Linked))
        return "sigmoids" if first.link == "sigmoid" and len(parts) > 1 else first.link, parts
    return "identity", tuple(values)


def find_shared_score(link: str, parts: Sequence[RowValue], ranked: Sequence[RowValue]) -> float | None:
    """What the score of the second of two classes must pass, if probabilities are of this score alone.

    Args:
        link, parts: of the probabilities: `1 - p` and `p`, or the sigmoids of a score and of its opposite.
        ranked: a number, and the score.
    """
    totals = {"identity": 1.0, "sigmoids": 0.0}
    if link not in totals or len(parts) != 2 or len(ranked) != 2:
        return None
    first, second, bound = (as_sums(value) for value in (*parts, ranked[0]))
    if bound.terms or not are_same([second], ranked[1:]) or first.base != totals[link] - second.base:
        return None
    if first.terms.keys() != second.terms.keys():
        return None
    opposite = all(np.array_equal(first.terms[tree], -second.terms[tree]) for tree in second.terms)
    return bound.base if opposite else None


def find_scale(values: Sequence[RowValue], ranked: Sequence[RowValue]) -> float:
    """The number that makes a sum of leaves, the only one of `ranked`, the only one of `values`; 1 if there is none."""
    sums = [value for value in (*values, *ranked) if isinstance(value, LeafSums) and value.terms]
    if len(sums) != 2 or sums[0].terms.keys() != sums[1].terms.keys():
        return 1.0
    shown, own = (np.concatenate([value.terms[tree] for tree in sums[0].terms]) for value in sums)
    largest = np.abs(own).argmax()
    with np.errstate(all="ignore"):
        ratio = shown[largest] / own[largest]  # may be rounded
        near = (ratio, np.nextafter(ratio, -np.inf), np.nextafter(ratio, np.inf))
        return next((float(x) for x in near if x != 0 and np.isfinite(x) and np.array_equal(own * x, shown)), 1.0)


def are_same(first: Sequence[RowValue], second: Sequence[RowValue]) -> bool:
    return first is second or (
        len(first) == len(second) and all(a is b or _is_equal(a, b) for a, b in zip(first, second, strict=True))
    )


def _is_equal(a: RowValue, b: RowValue) -> bool:
    if isinstance(a, LeafSums | Leaves | FixedValue) and isinstance(b, LeafSums | Leaves | FixedValue):
        one, other = as_sums(a), as_sums(b)
        return (
            one.base == other.base
            and one.terms.keys() == other.terms.keys()
            and all(np.array_equal(one.terms[tree], other.terms[tree]) for tree in one.terms)
        )
    return False
