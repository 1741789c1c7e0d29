"""What `python -m bench faithfulness` compares: learners, by parts that can be run one by one."""

from typing import Any, NamedTuple

from bench.networks import DIGITS, SMALL, VGG
from eric_fast.extract import ExtractOptions, WeightOptions

CLASS_PROGRAM, CHAIN = "class program", "chain"
CHAIN_LITERALS, CHAIN_VOTES = 16, 200


class Learner(NamedTuple):
    """What learns, and the fidelity that it must reach, from each start in turn.

    Attributes:
        kind: `CLASS_PROGRAM` or `CHAIN`.
        name: of a line of the picture; several sizes of one learner share it.
        size: in words.
        options: what is extracted.
        required: start layer -> the least fidelity on test images; empty where nothing is required.
        clamps: whether few votes are fitted to logits whose ends are clamped; see `find_logits`.
    """

    kind: str
    name: str
    size: str
    options: ExtractOptions
    required: dict[str, float]
    clamps: bool = True


class Part(NamedTuple):
    """Learners of one network, and the grid of its capture."""

    network: str
    grid: int
    learners: tuple[Learner, ...]


LAST = "features.19"
CHAIN_REQUIRED = dict(
    zip(
        ("features.2", "features.5", "features.9", "features.12", "features.16", LAST),
        (0.30, 0.365, 0.47, 0.58, 0.78, 0.92),
        strict=True,
    )
)
QUARTERS_REQUIRED = dict(zip(CHAIN_REQUIRED, (0.38, 0.475, 0.57, 0.665, 0.81, 0.935), strict=True))
ALL_LAYERS_REQUIRED = dict(zip(CHAIN_REQUIRED, (0.45, 0.55, 0.64, 0.72, 0.86, 0.95), strict=True))
QUARTERED = {layer: 1 if layer in ("features.16", LAST) else 2 for layer in CHAIN_REQUIRED}


def _learn_trees(*sizes: int) -> list[Learner]:
    return [
        Learner(
            CLASS_PROGRAM, "trees", f"{n} rules", ExtractOptions(threshold="split", max_rules=n, min_leaf=0.0005), {}
        )
        for n in sizes
    ]


def _learn_votes(
    votes: str, sizes: dict[int, float | None], fit: str = "counts", clamps: bool = True, per_kernel: int = 1
) -> list[Learner]:
    """Votes, by the least fidelity of each size."""
    name = ("row votes" if votes == "rows" else "single votes") + (", logistic" if fit == "logistic" else "")
    name += f", {per_kernel} thresholds" if per_kernel > 1 else ""
    return [
        Learner(
            CLASS_PROGRAM,
            name if clamps else f"{name}, all logits",
            f"{n} rules",
            ExtractOptions(threshold="split", per_kernel=per_kernel, rules="weights", votes=votes, n_votes=n, fit=fit),
            {} if least is None else {LAST: least},
            clamps,
        )
        for n, least in sizes.items()
    ]


def _learn_fold(*min_leaves: float) -> list[Learner]:
    return [
        Learner(
            CLASS_PROGRAM,
            "default rules",
            f"at least {100 * share:g} % right",
            ExtractOptions(threshold="split", rules="fold", min_leaf=share),
            {},
        )
        for share in min_leaves
    ]


def _chain_trees(min_leaf: float) -> Learner:
    size = f"minimum leaf {100 * min_leaf:g} %"
    return Learner(CHAIN, "trees", size, ExtractOptions(layers="all", threshold="mean", min_leaf=min_leaf), {})


def _chain_weights(
    n_literals: int,
    grown_on: str = "true",
    fit: str = "counts",
    grid: int | dict[str, int] = 1,
    required: dict[str, float] | None = None,
    **others: Any,
) -> Learner:
    options = ExtractOptions(
        layers="all",
        rules="weights",
        grown_on=grown_on,
        fit=fit,
        grid=grid,
        weight_options=WeightOptions(n_literals),
        **{"n_votes": CHAIN_VOTES, "threshold": "mean", **others},
    )
    extras = [f"on {grown_on}"] * (grown_on != "true") + ["quarters"] * (grid != 1) + ["logistic"] * (fit != "counts")
    extras += ["votes on all layers"] * (options.vote_layers == "all")
    return Learner(CHAIN, ", ".join(["weights", *extras]), f"{n_literals} literals", options, required or {})


WHOLE_CHAIN = _chain_weights(CHAIN_LITERALS, required=CHAIN_REQUIRED)
SECOND = (
    *_learn_trees(30, 100),
    *_learn_votes("single", {30: None, 100: None}),
    *_learn_votes("rows", {30: None, 100: None}),
    *_learn_votes("rows", {30: None}, clamps=False),
    *_learn_votes("rows", {30: None, 100: None}, fit="logistic"),
    *_learn_fold(0.005),
    _chain_trees(0.005),
    _chain_weights(CHAIN_LITERALS),
)
PARTS = {
    "classes": Part(
        VGG,
        1,
        (
            *_learn_trees(30, 100, 300),
            *_learn_votes("single", {30: 0.82, 100: 0.895, 300: 0.93}),
            *_learn_votes("rows", {30: 0.87, 100: 0.925, 200: 0.94}),
        ),
    ),
    "few": Part(VGG, 1, (*_learn_votes("rows", {30: None}, clamps=False),)),
    "fold": Part(VGG, 1, (*_learn_fold(0.005, 0.0005),)),
    "logistic": Part(
        VGG,
        1,
        (
            *_learn_votes("rows", {30: 0.88, 100: 0.935, 200: None}, fit="logistic"),
            *_learn_votes("rows", {100: None, 200: 0.95}, fit="logistic", per_kernel=2),
        ),
    ),
    "chains": Part(
        VGG,
        1,
        (
            _chain_trees(0.005),
            _chain_weights(4),
            _chain_weights(8),
            WHOLE_CHAIN,
            _chain_weights(16, "both"),
            _chain_weights(32),
        ),
    ),
    "quarters": Part(VGG, 2, (_chain_weights(32, "both", grid=QUARTERED, required=QUARTERS_REQUIRED),)),
    "quarters-logistic": Part(VGG, 2, (_chain_weights(32, "both", "logistic", QUARTERED),)),
    "all-layers": Part(
        VGG,
        2,
        (
            _chain_weights(
                CHAIN_LITERALS,
                fit="logistic",
                grid=2,
                required=ALL_LAYERS_REQUIRED,
                threshold="split",
                n_votes=400,
                vote_layers="all",
            ),
        ),
    ),
    "small": Part(SMALL, 1, SECOND),
    "digits": Part(DIGITS, 1, (*SECOND, _chain_weights(CHAIN_LITERALS, fit="logistic"))),
}
