"""Choose the layers of a network to capture, and build a module that computes their norms."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor, nn

from eric_fast.capture.edges import trace_edges
from eric_fast.capture.graph import ArgumentOf, cut_rest, insert_reads, trace_network
from eric_fast.capture.hooks import HookedNetwork, observe_network, record_edges
from eric_fast.capture.norms import Reduction, reduce_norm, reduce_regions, unknown_norm
from eric_fast.capture.outputs import (
    OWN_CHOICE,
    NetworkHead,
    OutputChoice,
    SigmoidWatch,
    find_head,
    find_tensor,
    take_logits,
)
from eric_fast.capture.pick_layers import pick_layers
from eric_fast.capture.probes import ProbedNetwork
from eric_fast.errors import EricError, ModelError, SettingError
from eric_fast.program.atoms import GRIDS, NORMS
from eric_fast.program.layer_graph import Edge

_log = logging.getLogger(__name__)


class NormTracer(nn.Module):
    """A network that also computes norms of its feature maps, or something else of them; it shares the parameters.

    It stays in evaluation mode, even if `train()` is called on it or on a module that contains it.

    Attributes:
        layers: names of the layers, in execution order.
        is_traced: false if the network couldn't be traced, and is observed with module hooks.
        head: where the logits are, and what they mean; None if they are not computed.
        edges: which layers feed which; see `LayerGraph`.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: tuple[str, ...],
        *,
        is_traced: bool,
        head: NetworkHead | None,
        edges: tuple[Edge, ...] = (),
    ) -> None:
        super().__init__()
        self.network = network  # images -> (output of the network, [result of `read` for each layer])
        self.layers = layers
        self.is_traced = is_traced
        self.head = head
        self.edges = edges
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whatever `mode` is: in training mode batch norms would change."""
        return super().train(False)

    def forward(self, images: Tensor) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Compute logits and norms.

        Args:
            images: `[n_images, channels, height, width]`.

        Returns:
            Logits `[n_images, n_classes]` in the network's dtype (None without the head), and layer -> norms, float32
            `[n_images, n_kernels]` (or the results of `read` of `trace_layers`).

        Raises:
            ModelError: an output without logits; a layer that didn't run.
        """
        output, norms = self.network(images)
        logits = None if self.head is None else take_logits(output, len(images), self.head)
        return logits, dict(zip(self.layers, norms, strict=True))


def trace_norms(
    module: nn.Module,
    example: Tensor,
    layers: Sequence[str] | None = None,
    norm: str = "l1",
    *,
    grid: int = 1,
    with_head: bool = True,
    choice: OutputChoice = OWN_CHOICE,
) -> NormTracer:
    """Choose the layers of a network, and build a module that computes their norms.

    By default these are the activations (modules, functions or methods, or gates such as `x * sigmoid(x)`) that a
    convolution reaches through normalisation, dropout, max pooling, sum or concatenation, on maps larger than 1x1; and,
    where the head reads several of them, the sum or concatenation in which they meet. Of more than `MOST_DEFAULTS` the
    last are taken. Blocks of attention that follow count as the last layer. If there are none, the blocks of a
    transformer are captured, or else blocks that end in a sum, or the convolutions themselves; a warning is logged.
    Where the head reads a class token, so is that of each block: `blocks.3@class`.

    A unit is a kernel, a feature or a channel, on whichever axis of a layer's result; see `units`. Its map is what it
    gives for all pixels, tokens or time steps, of a vector a single value.

    If torch.fx can't trace the network, or the trace gives other results, the network is observed with hooks on its
    modules, and a warning is logged: then functional activations are not seen.

    Args:
        module: the network, in evaluation mode; it is not changed.
        example: one batch of images `[n_images, channels, height, width]`, for the shapes of maps.
        layers: names of layers (of any operation or module whose units are known, with `@class` for a class token
            alone) and shell patterns (over the default layers); `all` means all default layers, unless a layer has that
            name. By default those above, or, of a network with probes, the probes' results.
        norm: see `reduce_norm`.
        grid: 1, or 2 for the norms of quarters too; see `reduce_regions`.
        with_head: whether to compute logits. If not, the output may be anything, and operations after the last layer
            don't run (unless the network is observed with hooks).
        choice: which of the network's outputs are its logits.

    Raises:
        ModelError: no convolutions; a layer that is unknown, or whose units are; a network in training mode, or one
            that fails on `example`; for outputs see `find_head`.
        SettingError: an unknown norm or grid.
    """
    if norm not in NORMS:
        raise unknown_norm(norm)
    check_grid(grid)

    def choose_norm(layer: str, is_never_negative: bool) -> str:
        return "mean" if norm == "l1" and is_never_negative else norm  # the same value, without a pass for |x|

    def choose_reduction(layer: str, is_never_negative: bool) -> Reduction:
        return Reduction(choose_norm(layer, is_never_negative), grid)

    if grid == 1:
        return trace_layers(module, example, layers, reduce_norm, choose_norm, with_head=with_head, choice=choice)
    return trace_layers(module, example, layers, reduce_regions, choose_reduction, with_head=with_head, choice=choice)


def check_grid(grid: int) -> None:
    """Raise SettingError unless the grid is one of `GRIDS`."""
    if grid not in GRIDS:
        raise SettingError(f"--grid {grid} is not one of {', '.join(map(str, GRIDS))}")


def trace_layers(
    module: nn.Module,
    example: Tensor,
    layers: Sequence[str] | None,
    read: Callable[[Tensor, Any], Tensor],
    argument_of: ArgumentOf,
    *,
    with_head: bool,
    choice: OutputChoice = OWN_CHOICE,
) -> NormTracer:
    """As `trace_norms`, for any function `read` of a layer's maps; for it and `argument_of` see `insert_reads`.

    Raises:
        ModelError: see `trace_norms`.
    """
    module = unwrap_network(module)
    probed = module if isinstance(module, ProbedNetwork) else None
    if probed is not None:
        module, layers = unwrap_network(probed.network), layers or list(probed.places) or None
    if any(part.training for part in module.modules()):
        raise ModelError("the model is in training mode; call its eval() first")
    with torch.no_grad():  # inference_mode would mark constants of the trace
        what = f"the model fails on an image of shape {list(example.shape[1:])}"
        with report_failure(what, "check its transform"), SigmoidWatch() as watch:
            output = module(example)
        head = find_head(output, len(example), choice, watch) if with_head else None
        try:
            return _trace_graph(module, example, layers, read, argument_of, output, head, probed)
        except EricError:
            raise
        except (Exception, SystemExit) as error:  # any error of the network's own code
            reason = describe_error(error)
        _log.warning(
            "the model can't be traced (%s), so its layers are found with hooks on modules: functional activations are "
            "not seen",
            reason,
        )
        observed = observe_network(module, example, probed)
        chosen = pick_layers(observed.found, observed.calls, layers, len(example))
        edges = () if head is None else record_edges(observed, chosen, example, head)
    network = HookedNetwork(observed, chosen, read, argument_of)
    return NormTracer(network, chosen, is_traced=False, head=head, edges=edges)


def _trace_graph(
    module: nn.Module,
    example: Tensor,
    layers: Sequence[str] | None,
    read: Callable[[Tensor, Any], Tensor],
    argument_of: ArgumentOf,
    output: Any,
    head: NetworkHead | None,
    probed: ProbedNetwork | None,
) -> NormTracer:
    traced = trace_network(module, example, head, probed)
    # A trace takes one path through the code (`isinstance(x, Tensor)` is false in it): check that it is the right one.
    found, expected = find_tensor(traced.output, head), find_tensor(output, head)
    if not (isinstance(found, Tensor) and isinstance(expected, Tensor) and _is_near(found, expected)):
        raise RuntimeError("the trace gives other results than the model")
    chosen = pick_layers(traced.found, traced.nodes, layers, len(example))
    edges = trace_edges(traced.module, {layer: traced.nodes[layer] for layer in chosen}, traced.logits)
    network = insert_reads(traced, chosen, read, argument_of)
    if head is None:
        network = cut_rest(network, None)
    elif traced.logits.op != "output":
        network, head = cut_rest(network, traced.logits), head._replace(path=())
    return NormTracer(network, chosen, is_traced=True, head=head, edges=edges)


def _is_near(found: Tensor, expected: Tensor) -> bool:
    """Whether two tensors are equal except for the last digits; NaN equals NaN."""
    tolerance = 1e-3 * float(expected.abs().nan_to_num(0, 0, 0).max()) if expected.numel() else 0.0
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=0, atol=tolerance, equal_nan=True)


def unwrap_network(module: nn.Module) -> nn.Module:
    """Unwrap a network from torch.compile and parallel wrappers, which hide it from the tracer."""
    inner = getattr(module, "_orig_mod", None)
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        inner = module.module
    return unwrap_network(inner) if isinstance(inner, nn.Module) else module


def describe_error(error: BaseException) -> str:
    """Describe an exception in one line: its type, and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


@contextmanager
def report_failure(what: str, remedy: str) -> Iterator[None]:
    """Report an error of the user's code, or its call of `sys.exit()`, as a ModelError."""
    try:
        yield
    except EricError:
        raise
    except (Exception, SystemExit) as error:
        raise ModelError(f"{what}: {describe_error(error)}; {remedy}") from error
