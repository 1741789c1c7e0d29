"""The units of a tensor: which of its axes counts them, and its values as maps of units.

What made a tensor says which axis that is: a convolution's `out_channels` is axis 1, a linear layer's `out_features`
and a layer norm's `normalized_shape` the last. Operations that keep, move or drop axes hand it on. Where neither is so,
the axis isn't known: it is not guessed.
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from eric_fast.capture.kinds import ACTIVATIONS, BLOCKS, CHANNEL_NORMS, CONVOLUTIONS, DROPOUTS, FEATURE_NORMS, MAX_POOLS
from eric_fast.capture.probes import check_named_axis

CLASS_TOKEN = "@class"
# Kinds of operations (see `graph`) by what they do with axes; channels are on axis 1, features on the last one.
_OF_CHANNELS = (CONVOLUTIONS | CHANNEL_NORMS) | {"pixelshuffle", "pixel_shuffle", "pixelunshuffle", "pixel_unshuffle"}
_OF_FEATURES = frozenset({"linear", "bilinear", "embedding", "multiheadattention"}) | BLOCKS
_OF_HEADS = frozenset({"scaled_dot_product_attention"})  # [n, heads, tokens, features], as torch has it
_MOVING = frozenset(
    """permute transpose swapaxes swapdims movedim moveaxis unsqueeze mean sum amax amin logsumexp std var select narrow
    roll flip getitem""".split()  # noqa: SIM905
)
_REGROUPING = frozenset("flatten unflatten view reshape squeeze".split())  # noqa: SIM905
_KEEPING = (DROPOUTS | MAX_POOLS) | frozenset(
    """add iadd sub isub rsub mul imul div truediv itruediv floordiv pow neg exp erf abs sqrt rsqrt square sign where
    cat concat concatenate identity clone contiguous detach float half bfloat16 to type softmax log_softmax
    avgpool1d avgpool2d avgpool3d avg_pool1d avg_pool2d avg_pool3d
    adaptiveavgpool1d adaptiveavgpool2d adaptiveavgpool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    adaptivemaxpool1d adaptivemaxpool2d adaptivemaxpool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
    lppool2d upsample interpolate zeropad2d reflectionpad2d replicationpad2d constantpad2d crossmaplrn2d
    chunk split tensor_split""".split()  # noqa: SIM905
)
_PROBE = 1_000_003  # makes a size that differs from all others


class UnitView(NamedTuple):
    """How a layer's tensor is read: the axis of its units, which tokens (`class`: the first; empty: all), and the axis
    of images, which comes first when it is read.
    """

    axis: int
    tokens: str = ""
    images: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether maps `[n, units, height, width]` may be read as they are."""
        return self == UnitView(1)


def arrange_units(values: Tensor, view: UnitView) -> Tensor:
    """Arrange a tensor as maps of its units: `[n, units, height, width]`.

    Tokens and time steps are one row, or a square if their number is a square; a volume's slices lie one below the
    other; a vector's maps have one pixel.
    """
    values = values.movedim(view.images, 0)
    if view.tokens:
        return values[:, 0, :, None, None]
    values = values.movedim(view.axis, 1)
    if values.ndim == 2:
        return values[:, :, None, None]
    if values.ndim == 3:
        n_positions = values.shape[2]
        side = math.isqrt(n_positions)
        return values.reshape(*values.shape[:2], *((side, side) if side * side == n_positions else (1, n_positions)))
    return values.flatten(2, -2) if values.ndim > 4 else values


class Shaped(NamedTuple):
    """The shape of an operation's result, and the axis of its units; None if that isn't known."""

    shape: tuple[int, ...]
    axis: int | None


def find_unit_axis(
    kind: str,
    module: nn.Module | None,
    shape: Sequence[int],
    inputs: Sequence[Shaped],
    options: Sequence[Any] = (),
    probe: Callable[[Tensor], Any] | None = None,
) -> int | None:
    """Find the axis of the units in the result of an operation, or None.

    Args:
        kind: what it does; see `graph`.
        module: the module that does it, if one does.
        shape: of the result.
        inputs: its tensors.
        options: its other positional arguments.
        probe: does it to another tensor in the place of its first.
    """
    n_axes, first = len(shape), inputs[0] if inputs else Shaped((), None)
    if kind in _OF_CHANNELS:
        return 1 if n_axes > 1 else None
    if kind in _OF_HEADS and n_axes == 4:
        return 1
    if kind in _OF_FEATURES:
        return n_axes - 1
    if kind in FEATURE_NORMS:
        normalised = getattr(module, "normalized_shape", options[0] if options else ())
        return n_axes - 1 if isinstance(normalised, Sequence | int) and _count(normalised) == 1 else first.axis
    if kind in _MOVING and first.axis is not None:
        return _follow_probe(first, n_axes, probe)
    if kind in _REGROUPING and first.axis is not None:
        return _follow_regrouping(first.shape, first.axis, shape)
    return _hand_on(kind, shape, inputs)


def _count(shape: Sequence[int] | int) -> int:
    return 1 if isinstance(shape, int) else len(shape)


def _follow_probe(first: Shaped, n_axes: int, probe: Callable[[Tensor], Any] | None) -> int | None:
    """Do the operation to an empty tensor whose axis of units has a size of its own, and look where that is."""
    if probe is None or first.axis is None:
        return None
    sizes = [size + _PROBE * (axis == first.axis) for axis, size in enumerate(first.shape)]
    try:
        result = probe(torch.empty(sizes, device="meta"))
    except Exception:  # it needs the real sizes: then the axis isn't known
        return None
    if not isinstance(result, Tensor) or result.ndim != n_axes or sizes[first.axis] not in result.shape:
        return None
    return list(result.shape).index(sizes[first.axis])


def _follow_regrouping(before: Sequence[int], axis: int, after: Sequence[int]) -> int | None:
    """The axis of the same size with as many values before it, which a regrouping of the others leaves alone."""
    ahead = math.prod(before[:axis])
    found = [place for place, size in enumerate(after) if size == before[axis] and math.prod(after[:place]) == ahead]
    return found[-1] if len(found) == 1 or (found and before[axis] > 1) else None


def _hand_on(kind: str, shape: Sequence[int], inputs: Sequence[Shaped]) -> int | None:
    """The axis that all inputs of as many axes agree on; of an unknown operation only where no other axis fits."""
    axes = {given.axis for given in inputs if given.axis is not None and len(given.shape) == len(shape)}
    if len(axes) != 1:
        return None
    (axis,) = axes
    if kind in _KEEPING or kind in ACTIVATIONS:
        return axis
    sizes = {given.shape[axis] for given in inputs if given.axis == axis and len(given.shape) == len(shape)}
    is_clear = sizes == {shape[axis]} and list(shape).count(shape[axis]) == 1
    return axis if is_clear else None


class ShapeRecorder(fx.Interpreter):
    """Runs the graph once and records the shape and the unit axis of every float result of at least two axes."""

    def __init__(
        self,
        module: fx.GraphModule,
        kinds: Mapping[fx.Node, str],
        named: Mapping[fx.Node, int] | None = None,
    ) -> None:
        """`named`: operation -> the axis of its units that a user named."""
        super().__init__(module)
        self._kinds = kinds
        self._named = named or {}
        self._all: dict[fx.Node, Shaped] = {}  # of tuples, the first tensor
        self.found: dict[fx.Node, Shaped] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        parts = result if isinstance(result, tuple | list) else (result,)
        first = next((part for part in parts if isinstance(part, Tensor)), None)
        if first is None or not first.is_floating_point():
            return result
        shape = tuple(first.shape)
        axis = None
        if n in self._named:
            axis = check_named_axis(self._named[n], shape)
        elif n.op.startswith("call_"):
            axis = self._find_axis(n, shape)
        self._all[n] = Shaped(shape, axis)
        if first is result and first.ndim > 1:
            self.found[n] = self._all[n]
        return result

    def _find_axis(self, n: fx.Node, shape: tuple[int, ...]) -> int | None:
        source = n.args[0] if n.args else None
        if n.target is operator.getitem and isinstance(source, fx.Node) and source not in self.found:
            is_part = source in self._all and (self._kinds[source] != "multiheadattention" or n.args[1] == 0)
            return self._all[source].axis if is_part and len(self._all[source].shape) == len(shape) else None
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        module = self.module.get_submodule(str(n.target)) if n.op == "call_module" else None

        def probe(values: Tensor) -> Any:
            target: Any = module or (getattr(values, str(n.target)) if n.op == "call_method" else n.target)
            return target(*args[1:], **kwargs) if n.op == "call_method" else target(values, *args[1:], **kwargs)

        inputs = [self._all[before] for before in n.all_input_nodes if before in self._all]
        return find_unit_axis(self._kinds[n], module, shape, inputs, args[1:], probe)
