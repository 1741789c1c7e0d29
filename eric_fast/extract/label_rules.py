"""Rules for labels: those of each label are learned as those of a kernel are."""

from dataclasses import replace

from torch import Tensor

from eric_fast.bits import BitMatrix, pack_bits
from eric_fast.errors import SettingError
from eric_fast.extract.fold_rules import fold_layer
from eric_fast.extract.layer import GrownClasses, GrownLayer, Growth, grow_layer
from eric_fast.extract.options import ExtractOptions
from eric_fast.kernels import never_stop
from eric_fast.program import ClassRule, Decision


def check_label_options(options: ExtractOptions) -> None:
    """Refuse what only classes have. Raises SettingError."""
    refused = {
        "votes": options.votes is not None or options.vote_layers != "last",
        "max loss": options.max_loss is not None,
        "class weights": bool(options.class_weight),
        "grown on 'both'": options.grown_on == "both",
    }
    for name, is_given in refused.items():
        if is_given:
            raise SettingError(
                f"the network answers with several labels, for which there is no {name}; leave it out: each label gets "
                "trees, or with rules 'weights' a weighted sum, or with rules 'fold' default rules"
            )


def learn_labels(
    target: Tensor, inputs: BitMatrix, first_input: int, first_derived: int, growth: Growth
) -> GrownClasses:
    """Learn rules for each label: they say where it is true or, if that takes less, where it is false.

    Rules that say where a label is false take 1 from a base of 1.

    Args:
        target: bool `[n_images, n_labels]`.
        inputs: the truth of the atoms from `first_input` on.
        first_derived: the number of the first atom for exceptions.
    """
    n_labels, kind = target.shape[1], growth.options.classes_by
    heads = range(n_labels)
    targets = BitMatrix(pack_bits(target), len(target), tuple(f"labels:{head}" for head in heads))
    found: GrownLayer | None
    growth = replace(growth, stop=never_stop)  # without rules for all labels there is no program
    if kind == "weights":
        from eric_fast.extract.heads import learn_heads  # Numba loads when it is needed

        found = learn_heads(heads, targets, [inputs], first_input, growth)
    elif kind == "fold":
        found = fold_layer(heads, targets, inputs, first_input, first_derived, growth)
    else:
        found = grow_layer(heads, targets, inputs, first_input, growth)
    assert found is not None
    negated = set(found.negated)
    rules = [
        ClassRule(
            rule.head,
            rule.body,
            rule.covered,
            rule.correct,
            -1.0 if rule.head in negated else 1.0,
            weights=rule.weights,
            bound=rule.bound,
        )
        for rule in found.rules
    ]
    size = sum(own[0] for own in found.sizes_grown), sum(own[1] for own in found.sizes_grown)
    base = tuple(float(head in negated) for head in heads)
    return GrownClasses(rules, size, Decision.LABELS, base, None, found.exceptions)
