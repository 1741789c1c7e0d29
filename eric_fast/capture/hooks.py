"""Find the layers of a network that can't be traced, with hooks on its modules."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from eric_fast.capture.edges import FlowRecorder
from eric_fast.capture.graph import MOST_AXES, ArgumentOf
from eric_fast.capture.kinds import (
    ACTIVATIONS,
    CONVOLUTIONS,
    find_image_axis,
    find_module_kind,
    is_module_never_negative,
)
from eric_fast.capture.outputs import NetworkHead, find_tensor
from eric_fast.capture.pick_layers import FoundLayers
from eric_fast.capture.probes import ProbedNetwork, check_axes, check_named_axis, check_place
from eric_fast.capture.units import CLASS_TOKEN, Shaped, UnitView, arrange_units, find_unit_axis
from eric_fast.errors import ModelError
from eric_fast.program.layer_graph import FROM_IMAGES, TO_CLASSES, Edge, LayerGraph

Call = tuple[str, int]  # a module's path, and which of its calls in one forward pass: 0, 1, ...


@dataclass(frozen=True)
class ObservedNetwork:
    """The calls of a network's modules in one forward pass.

    Attributes:
        network: the network itself.
        modules: path -> module, of the network and of its probes (`sae`, `sae.0`).
        places: name of a probe -> the layer on whose result it runs.
        calls: name -> call of a module whose result has known units, in execution order. Tokens are there once more,
            with the class token alone: `encoder.ln@class`.
        views: name -> where its units are.
        found: the layers to choose from. Activations are modules with units on axis 1, after the first convolution.
            Blocks are modules of a `ModuleList` or `Sequential`: of a transformer, if they give tokens (of the class
            token, where the network has a parameter of that name); of maps, if their result has their input's shape.
    """

    network: nn.Module
    modules: Mapping[str, nn.Module]
    places: Mapping[str, str]
    calls: Mapping[str, Call]
    views: Mapping[str, UnitView]
    found: FoundLayers


def observe_network(network: nn.Module, example: Tensor, probed: ProbedNetwork | None = None) -> ObservedNetwork:
    """Run `network`, in evaluation mode, on `example` `[n_images, ...]`, and record its calls.

    Args:
        probed: `network` with probes, and axes that a user named.

    Raises:
        ModelError: a probe, or a named axis, of a layer that isn't there.
    """
    modules = {path: module for path, module in network.named_modules() if path}
    probes = {} if probed is None else probed.probe_of_name
    unit_axes = {} if probed is None else probed.unit_axes
    places = {} if probed is None else probed.places
    for name, probe in probes.items():
        if name in modules:
            raise ModelError(f"probe '{name}' has the name of a layer; give it another")
        modules |= {f"{name}.{path}".rstrip("."): part for path, part in probe.named_modules()}
    calls: dict[str, Call] = {}
    views: dict[str, UnitView] = {}
    doubtful: dict[str, tuple[int, ...]] = {}
    defaults: list[str] = []
    convolutions: list[str] = []
    blocks: list[str] = []
    residuals: dict[int, str] = {}  # id of the result, which `axes` keeps -> name
    has_class_token = any("cls_token" in name or "class_token" in name for name, _ in network.named_parameters())
    axes = _Axes()

    def note(call: Call, inputs: Any, result: Tensor) -> None:
        layer = record(call, inputs, result)
        for probe in (own for own, place in places.items() if place == layer):
            probes[probe](result)

    def record(call: Call, inputs: Any, result: Tensor) -> str:
        path, n_before = call
        name = path if not n_before else f"{path}_{n_before}"
        while n_before and (name in modules or name in calls):
            n_before += 1
            name = f"{path}_{n_before}"
        module = modules[path]
        axis, images = axes.find(module, inputs, result, unit_axes.get(name)), find_image_axis(module)
        shape = tuple(result.movedim(images, 0).shape)
        if not axis or axis == images or shape[0] != len(example) or len(shape) > MOST_AXES:
            doubtful[name] = tuple(result.shape)
            return name
        calls[name], views[name] = call, UnitView(axis, images=images)
        is_tokens = len(shape) == 3 and axis == 2 and shape[1] > 1
        is_large = math.prod(shape[1:]) > shape[axis]
        is_block = any(module.children()) and isinstance(
            modules.get(path.rpartition(".")[0]), nn.ModuleList | nn.Sequential
        )
        if is_tokens:
            calls[name + CLASS_TOKEN], views[name + CLASS_TOKEN] = call, UnitView(2, "class", images)
        if is_block and is_tokens:
            blocks.append(name + CLASS_TOKEN if has_class_token else name)
        elif is_block and is_large and inputs and tuple(getattr(inputs[0], "shape", ())) == shape:
            residuals.setdefault(id(result), name)
        kind = find_module_kind(module)
        if kind in CONVOLUTIONS and is_large:
            convolutions.append(name)
        elif kind in ACTIVATIONS and convolutions and axis == 1 and is_large:
            defaults.append(name)
        return name

    with _watch(modules, note):
        network(example)
    for name, layer in places.items():
        check_place(name, layer, [*calls, *doubtful])
    if probed is not None:
        check_axes(probed, [*calls, *doubtful])
    found = FoundLayers(
        defaults=(*defaults, *_list_later(defaults, [*blocks, *residuals.values()], list(calls))),
        convolutions=tuple(convolutions),
        blocks=tuple(blocks),
        residuals=tuple(residuals.values()),
        dense=(),  # not looked for
        doubtful=doubtful,
    )
    return ObservedNetwork(network, modules, places, calls, views, found)


def _list_later(defaults: list[str], blocks: list[str], order: list[str]) -> list[str]:
    """The blocks that run after the last of the default layers, and hold none: attention that follows convolutions."""
    last = max(map(order.index, defaults), default=len(order))
    later = [name for name in blocks if order.index(name) > last]
    inside = {name: f"{name.removesuffix(CLASS_TOKEN)}." for name in later}
    return [name for name in later if not any(layer.startswith(inside[name]) for layer in defaults)]


def record_edges(
    observed: ObservedNetwork, layers: tuple[str, ...], example: Tensor, head: NetworkHead
) -> tuple[Edge, ...]:
    """Run the network once more, and record which layers feed which; see `LayerGraph`."""
    edges: list[Edge] = []
    places = {
        name: observed.calls.get(layer) or (layer, 0)
        for name, layer in observed.places.items()
        if any(own.partition(".")[0] == name for own in layers)
    }
    with FlowRecorder(example) as flow:

        def note(call: Call, inputs: Any, result: Tensor) -> None:
            own = [layer for layer in layers if observed.calls[layer] == call]
            edges.extend((source, layer) for layer in own for source in flow.find(result))
            if own:
                flow.mark(result, own)
            probes = [name for name, place in places.items() if place == call]
            for name in probes:
                observed.modules[name](result)
            if probes:
                flow.mark(result, [layer for layer in layers if layer.partition(".")[0] in probes])

        with _watch(observed.modules, note):
            output = observed.network(example)
        edges += [(source, TO_CLASSES) for source in flow.find(find_tensor(output, head)) if source != FROM_IMAGES]
    return LayerGraph.from_edges(layers, edges).edges


class _Axes:
    """The axis of units in the results of modules, as far as modules say it.

    A module without one of its own hands on that of its input, where this is the result of another module. The result
    of a function in between has units on the axis whose size some convolution, or some layer of features, has named
    before; it isn't known where both have, or neither.
    """

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Tensor, int | None]] = {}  # id -> result, kept alive, and its axis
        self._channels: set[int] = set()
        self._features: set[int] = set()

    def find(self, module: nn.Module, inputs: Any, result: Tensor, named: int | None = None) -> int | None:
        """`named`: the axis that a user named."""
        shape = tuple(result.shape)
        if named is not None:
            self._seen[id(result)] = result, check_named_axis(named, shape)
        if id(result) in self._seen:  # a module around the one that made it
            return self._seen[id(result)][1]
        known = [
            Shaped(tuple(given.shape), self._seen[id(given)][1])
            for given in (inputs if isinstance(inputs, tuple) else ())
            if isinstance(given, Tensor) and id(given) in self._seen
        ]
        kind = find_module_kind(module)
        own = find_unit_axis(kind, module, shape, [], ())
        axis = (
            own if own is not None else None if any(module.children()) else find_unit_axis(kind, module, shape, known)
        )
        if axis is None:
            axis = self._match_sizes(shape)
        elif own is not None and len(shape) > 2:
            (self._channels if own == 1 else self._features).add(shape[own])
        self._seen[id(result)] = result, axis
        return axis

    def _match_sizes(self, shape: tuple[int, ...]) -> int | None:
        if len(shape) < 3:
            return 1 if len(shape) == 2 else None
        is_first, is_last = shape[1] in self._channels, shape[-1] in self._features
        return None if is_first == is_last else 1 if is_first else len(shape) - 1


class HookedNetwork(nn.Module):
    """A module `images -> (output of the network, [result of `read` for each layer])`.

    Its hooks last for one forward pass. For `read` and `argument_of` see `insert_reads`.
    """

    def __init__(
        self,
        observed: ObservedNetwork,
        layers: tuple[str, ...],
        read: Callable[[Tensor, Any], Tensor],
        argument_of: ArgumentOf,
    ) -> None:
        super().__init__()
        self.network = observed.network
        self._layers = layers
        self._calls = {layer: observed.calls[layer] for layer in layers}
        self._views = {layer: observed.views[layer] for layer in layers}
        self._read = read
        modules = {layer: observed.modules[path] for layer, (path, _) in self._calls.items()}
        running = {path.partition(".")[0] for path, _ in self._calls.values()}.intersection(observed.places)
        self._watched = {path: observed.modules[path] for path, _ in self._calls.values()}
        self._probes: dict[Call, list[nn.Module]] = {}  # call -> probes that run on its result
        for name in running:
            call = observed.calls.get(observed.places[name]) or (observed.places[name], 0)
            self._probes.setdefault(call, []).append(observed.modules[name])
            self._watched[call[0]] = observed.modules[call[0]]
        self._arguments = {layer: argument_of(layer, is_module_never_negative(m)) for layer, m in modules.items()}

    def forward(self, images: Tensor) -> tuple[Any, list[Tensor]]:
        """Raises ModelError if a layer doesn't run."""
        found: dict[str, Tensor] = {}

        def note(call: Call, inputs: Any, result: Tensor) -> None:
            for layer in self._layers:
                if self._calls[layer] == call:
                    view = self._views[layer]
                    maps = result if view.is_plain and result.ndim == 4 else arrange_units(result, view)
                    found[layer] = self._read(maps, self._arguments[layer])
            for probe in self._probes.get(call, ()):
                probe(result)

        with _watch(self._watched, note):
            output = self.network(images)
        for layer in self._layers:
            if layer not in found:
                raise ModelError(f"layer '{layer}' runs on the first image, but not on every batch; leave it out")
        return output, [found[layer] for layer in self._layers]


@contextmanager
def _watch(modules: Mapping[str, nn.Module], seen: Callable[[Call, Any, Tensor], None]) -> Iterator[None]:
    """Call `seen` for every float result of at least two axes of `modules` within the context; of a tuple the first."""
    n_calls: Counter[str] = Counter()

    def make_hook(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, result: Any) -> None:
            call = (path, n_calls[path])
            n_calls[path] += 1
            if isinstance(result, tuple) and result:
                result = result[0]
            if isinstance(result, Tensor) and result.ndim > 1 and result.is_floating_point():
                seen(call, inputs, result)

        return hook

    handles = [module.register_forward_hook(make_hook(path)) for path, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
