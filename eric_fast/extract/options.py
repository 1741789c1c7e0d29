"""What is extracted and how: options of a run, and of its trees."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from eric_fast import kernels
from eric_fast.errors import SettingError
from eric_fast.extract.fold import FoldLimits
from eric_fast.extract.weight_options import WeightOptions
from eric_fast.kernels import Limits
from eric_fast.program.atoms import CRITERIA, GRIDS

TARGETS = ("model", "label")
GROWN_ON = ("true", "predicted", "both")
VOTES = ("rows", "single")
VOTE_LAYERS = ("last", "all")
FITS = ("counts", "logistic")
_RULES = ("trees", "weights", "fold")
_MOST = kernels.NO_LIMIT - 1
_CRITERION = {"entropy": kernels.ENTROPY, "gini": kernels.GINI}


@dataclass(frozen=True)
class TreeOptions:
    """How far a tree grows, in the terms of scikit-learn.

    Attributes:
        criterion: `entropy` or `gini`.
        max_depth: the most literals in a rule, or None.
        min_leaf: the fewest training images in a leaf: a number (int) or a share of all images (float in (0, 0.5]).
        max_rules: the most leaves, the best first, or None.
        min_split: the fewest training images in a node that is split: a number from 2, or a share in (0, 1].
        min_gain: the least decrease of impurity by a split, weighted by its share of all images.
        ccp_alpha: cost-complexity pruning: the least decrease of impurity by a leaf, weighted as above; 0 for none.
        class_weight: the weight of an image by its class index, a whole number; 1 for classes that are left out.

        votes: in place of the class tree, votes that are learned from counts; see `learn_votes`. `rows`: a rule adds a
            whole number to every class. `single`: to one class. By default `rows` if classes get weights: a chain then
            has votes for each layer that it may start from.
        n_votes: the most rules of a vote.
        vote_layers: whose bits the votes of a start draw on: those of the `last` layer, or of `all` from the start up.
        fit: how votes get their numbers: by least squares from `counts`, or from these on by a `logistic` fit, which
            goes over the images many times.

        rules: `trees` (each branch becomes a rule), `weights` (a kernel becomes a sum of weighted literals with a
            bound, see `WeightOptions`, and classes become votes) or `fold` (default rules with exceptions; see
            `FoldLimits`). Default rules have `min_leaf` as the fewest images that a rule must be right on, and
            `max_rules` as the most rules for the classes, or for a kernel. Where there are no trees, other limits of
            trees can't be given.
        kernel_rules, class_rules: in place of `rules`, for kernels and for classes.
        weight_options: see `WeightOptions`.
        ratio, confidence: see `FoldLimits`.

    Raises:
        SettingError: an invalid value.

    Examples:
        >>> ef.TreeOptions(max_depth=4, min_leaf=0.02).criterion
        'entropy'
    """

    criterion: str = "entropy"
    max_depth: int | None = None
    min_leaf: int | float = 0.01
    max_rules: int | None = None
    min_split: int | float = 2
    min_gain: float = 0.0
    class_weight: Mapping[int, int] | None = None
    ccp_alpha: float = 0.0
    votes: str | None = None
    n_votes: int = 100
    vote_layers: str = "last"
    fit: str = "counts"
    rules: str = "trees"
    kernel_rules: str | None = None
    class_rules: str | None = None
    weight_options: WeightOptions = field(default_factory=WeightOptions)
    ratio: float = 0.5
    confidence: float = 0.0

    def __post_init__(self) -> None:
        self._check_rules()
        if self.votes is not None and self.votes not in VOTES:
            raise SettingError(f"votes '{self.votes}' is not one of {', '.join(VOTES)}")
        if not (_is_whole(self.n_votes) and 1 <= self.n_votes <= _MOST):
            raise SettingError(f"the number of votes must be a whole number from 1 to {_MOST:,}, not {self.n_votes!r}")
        if self.vote_layers not in VOTE_LAYERS:
            raise SettingError(f"vote layers '{self.vote_layers}' is not one of {', '.join(VOTE_LAYERS)}")
        if self.vote_layers != "last" and self.classes_by != "weights":
            raise SettingError("votes that draw on all layers are fitted for each start; give class rules 'weights'")
        if self.fit not in FITS:
            raise SettingError(f"fit '{self.fit}' is not one of {', '.join(FITS)}")
        if self.fit != "counts" and self.votes_by is None:
            raise SettingError(f"fit '{self.fit}' is of votes; give votes 'rows' or 'single' with it")
        if self.criterion not in CRITERIA:
            raise SettingError(f"criterion '{self.criterion}' is not one of {', '.join(CRITERIA)}")
        for name, limit in (("max depth", self.max_depth), ("max rules", self.max_rules)):
            if limit is not None and not (_is_whole(limit) and 1 <= limit <= _MOST):
                raise SettingError(f"{name} must be a whole number from 1 to {_MOST:,}, not {limit!r}")
        share = isinstance(self.min_leaf, float) and 0 < self.min_leaf <= 0.5
        if not (share or (_is_whole(self.min_leaf) and 1 <= self.min_leaf <= _MOST)):
            raise SettingError(f"min leaf must be a whole number from 1, or a share in (0, 0.5], not {self.min_leaf!r}")
        share = isinstance(self.min_split, float) and 0 < self.min_split <= 1
        if not (share or (_is_whole(self.min_split) and 2 <= self.min_split <= _MOST)):
            raise SettingError(f"min split must be a whole number from 2, or a share in (0, 1], not {self.min_split!r}")
        for name, value in (("min gain", self.min_gain), ("ccp alpha", self.ccp_alpha)):
            if isinstance(value, bool) or not 0 <= value < math.inf:
                raise SettingError(f"{name} must be a number from 0, not {value!r}")
        for index, weight in (self.class_weight or {}).items():
            if not (_is_whole(index) and index >= 0 and _is_whole(weight) and weight >= 0):
                raise SettingError(f"class weights are whole numbers from 0 by class index, not {index!r}: {weight!r}")

    @property
    def kernels_by(self) -> str:
        """Which rules kernels get: one of `_RULES`."""
        return self.kernel_rules or self.rules

    @property
    def classes_by(self) -> str:
        """Which rules classes get: one of `_RULES`."""
        return self.class_rules or self.rules

    @property
    def votes_by(self) -> str | None:
        """One of `VOTES`, or None if classes get other rules."""
        return self.votes or ("rows" if self.classes_by == "weights" else None)

    def _check_rules(self) -> None:
        for name, kind in (("rules", self.rules), ("kernel rules", self.kernels_by), ("class rules", self.classes_by)):
            if kind not in _RULES:
                raise SettingError(f"{name} '{kind}' is not one of {', '.join(_RULES)}")
        if self.votes and self.class_rules not in (None, "weights"):
            raise SettingError(
                f"votes are class rules by weights; leave out class rules '{self.class_rules}', or votes"
            )
        for name, value in (("ratio", self.ratio), ("confidence", self.confidence)):
            if isinstance(value, bool) or not 0 <= value <= 1:
                raise SettingError(f"{name} must be a number from 0 to 1, not {value!r}")
        kinds = self.list_kinds()
        if "fold" not in kinds and (self.ratio, self.confidence) != (0.5, 0):
            raise SettingError("ratio and confidence are options of default rules; give rules 'fold' with them")
        if "trees" in kinds:
            return
        usual = {"max_depth": None, "min_split": 2, "min_gain": 0, "class_weight": None, "ccp_alpha": 0}
        for name in usual:
            if getattr(self, name) != usual[name]:
                raise SettingError(
                    f"{name.replace('_', ' ')} is an option of trees; leave it out with rules '{self.kernels_by}'"
                )

    def list_kinds(self) -> set[str]:
        """Which of `_RULES` there will be."""
        return {self.kernels_by, "weights" if self.votes_by else self.classes_by}

    def to_fold_limits(self, n_images: int) -> FoldLimits:
        """The limits of default rules, in numbers of images."""
        return FoldLimits(self.ratio, self.count_min_leaf(n_images), self.confidence, self.max_rules, self.criterion)

    def count_min_leaf(self, n_images: int) -> int:
        """`min_leaf` in images."""
        return int(self.min_leaf) if _is_whole(self.min_leaf) else max(1, math.ceil(self.min_leaf * n_images))

    def to_limits(self, n_images: int) -> Limits:
        """The limits in numbers of images, as `kernels.grow` takes them."""
        split = int(self.min_split) if _is_whole(self.min_split) else max(2, math.ceil(self.min_split * n_images))
        return Limits(
            criterion=_CRITERION[self.criterion],
            max_depth=self.max_depth or kernels.NO_LIMIT,
            max_leaves=self.max_rules or kernels.NO_LIMIT,
            min_leaf=self.count_min_leaf(n_images),
            min_split=split,
            min_gain=min(float(self.min_gain), 31.0),  # more bits than any target has
        )

    def list_extras(self) -> list[tuple[str, object]]:
        """Names and values of rarely used options that differ from their defaults."""
        extras = [
            ("min_split", self.min_split, 2),
            ("min_gain", self.min_gain, 0),
            ("class_weight", self.class_weight, None),
            ("ccp_alpha", self.ccp_alpha, 0),
            ("votes", self.votes_by, None),
            *([("n_votes", self.n_votes, None)] if self.votes_by else []),
            ("vote_layers", self.vote_layers, "last"),
            ("fit", self.fit, "counts"),
            ("rules", self.rules, "trees"),
            ("kernel_rules", self.kernel_rules, None),
            ("class_rules", self.class_rules, None),
            *([(*own, None) for own in self.weight_options.list_changes()] if self.kernels_by == "weights" else []),
            *([("ratio", self.ratio, None)] if "fold" in self.list_kinds() else []),
            ("confidence", self.confidence, 0),
        ]
        return [(name, value) for name, value, usual in extras if value != usual]

    def list_class_weights(self, n_classes: int) -> Tensor | None:
        """The weights of classes, int64 `[n_classes]`, or None if all are 1."""
        if not self.class_weight:
            return None
        return torch.tensor([int(self.class_weight.get(c, 1)) for c in range(n_classes)], dtype=torch.int64)


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def parse_count(name: str, text: str) -> int | float:
    """Parse a number of images such as `250`, or a share of them such as `0.01`; `name` is for errors."""
    try:
        return int(text) if text.strip().lstrip("+-").isdigit() else float(text)
    except ValueError:
        raise SettingError(f"{name} '{text}' is not a number of images such as 250 or a share such as 0.01") from None


@dataclass(frozen=True)
class ExtractOptions(TreeOptions):
    """What `approximate_model` extracts, and how. The options of trees are inherited.

    Attributes:
        layers: names or shell patterns of the layers of the chain, or `all`; the last layer of the source by default.
        threshold: see `parse_threshold`; `A,B` is A for the layers that feed the classes, and B for those below. The
            stored bits of a capture without norms keep the thresholds that they were made with.
        per_kernel: thresholds of each kernel, from 1 to 7: an atom for each; see `fit_quantiser`.
        grid: 1 for atoms of whole maps alone, 2 for those of quarters too, such as `features.19:207@upper-left`, which
            must have been captured; a grid for each layer; or `auto`: where quarters help on held-back images.
        target: `model` (fidelity: the class that the model predicts) or `label` (images without one are left out).
        grown_on: `true` (the rules of each layer are grown on the bits that the network gives the layer below) or
            `predicted` (on those that the rules below give, so that a layer learns to live with their errors), or, for
            weight rules, `both` (on the network's and on those that the rules give from each layer below).
        all_kernels: extract rules for kernels that no rule mentions too.
        simplify: see `extract_program`.
        max_loss: drop rules and literals while the loss on held-back images stays within this share; see
            `prune_program`. By default nothing is dropped, and no image held back.
        hold_back: the share of the images that are held back if `max_loss` is given: thresholds and trees don't see
            them. They are chosen by a hash of their names.

    Raises:
        SettingError: an invalid value.

    Examples:
        >>> ef.ExtractOptions(layers="all", threshold="quantile:0.8", min_leaf=20).target
        'model'
    """

    layers: str | Sequence[str] | None = None
    threshold: str = "split"
    per_kernel: int = 1
    grid: int | str | Mapping[str, int] = 1
    target: str = "model"
    grown_on: str = "true"
    all_kernels: bool = False
    simplify: bool = True
    max_loss: float | None = None
    hold_back: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        for grid in self.grid.values() if isinstance(self.grid, Mapping) else [self.grid]:
            if grid not in GRIDS and self.grid != "auto":
                raise SettingError(f"grid {grid!r} is not one of {', '.join(map(str, GRIDS))}, auto")
        if self.target not in TARGETS:
            raise SettingError(f"target '{self.target}' is not one of {', '.join(TARGETS)}")
        if self.grown_on not in GROWN_ON:
            raise SettingError(f"grown on '{self.grown_on}' is not one of {', '.join(GROWN_ON)}")
        if self.grown_on == "both" and {self.kernels_by, self.classes_by} != {"weights"}:
            raise SettingError(
                "grown on 'both' adds up counts, as weight rules take them; give rules 'weights' with it"
            )
        if isinstance(self.hold_back, bool) or not 0 < self.hold_back < 1:
            raise SettingError(f"hold back must be a share between 0 and 1, not {self.hold_back!r}")
        if self.max_loss is None:
            return
        if "fold" in self.list_kinds():
            raise SettingError("max loss drops rules of trees; to shrink default rules, raise min leaf or confidence")
        if self.kernels_by == "weights":
            raise SettingError("max loss drops rules of trees; to shrink weight rules, lower the number of literals")
        if self.votes_by:
            raise SettingError("max loss drops rules of trees; to shrink a vote, lower the number of votes")
        if isinstance(self.max_loss, bool) or not 0 <= self.max_loss < 1:
            raise SettingError(f"max loss must be a share from 0 to below 1, not {self.max_loss!r}")
        if self.grown_on == "predicted":
            raise SettingError(
                "max loss is measured on true bits, so it can't be combined with grown on 'predicted'; leave one out"
            )


def complete_options(options: TreeOptions | None, changes: Mapping[str, Any]) -> ExtractOptions:
    """Options of a run from those of trees, or of another run, and changes by name."""
    given = {} if options is None else {own.name: getattr(options, own.name) for own in fields(options)}
    return ExtractOptions(**{**given, **changes})
