"""Find the layers of a network with torch.fx."""

import math
import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from eric_fast.capture.exported import name_exported
from eric_fast.capture.gates import find_gates
from eric_fast.capture.joins import find_join, find_later_blocks, find_read, find_skip_sum, find_sources
from eric_fast.capture.kinds import (
    ACTIVATIONS,
    BLOCKS,
    CONVOLUTIONS,
    PASSING,
    changes_input,
    find_node_kind,
    is_node_never_negative,
)
from eric_fast.capture.outputs import NetworkHead
from eric_fast.capture.pick_layers import FoundLayers
from eric_fast.capture.probes import ProbedNetwork, insert_probes
from eric_fast.capture.tracer import ImageInput, NetworkTracer
from eric_fast.capture.units import CLASS_TOKEN, Shaped, ShapeRecorder, UnitView, arrange_units

MOST_AXES = 5
ArgumentOf = Callable[[str, bool], Any]  # a layer, and whether it is never negative -> the second argument of `read`


@dataclass(frozen=True)
class TracedNetwork:
    """A network as a graph, and its operations whose results have units.

    Attributes:
        module: the traced graph; it shares the network's parameters.
        output: its output on the example.
        nodes: name -> operation, in execution order; only those with a float result whose units are known. Tokens are
            there once more, with the class token alone: `encoder.ln@class`.
        views: name -> where its units are.
        logits: the operation that makes the logits; the output if they are not asked for, or no operation makes them.
        shapes: operation -> shape of its result on the example.
        found: the layers to choose from.
        never_negative: names of operations whose results are known to be never negative.
    """

    module: fx.GraphModule
    output: Any
    logits: fx.Node
    nodes: Mapping[str, fx.Node]
    views: Mapping[str, UnitView]
    shapes: Mapping[fx.Node, tuple[int, ...]]
    found: FoundLayers
    never_negative: frozenset[str]


def trace_network(
    network: nn.Module, example: Tensor, head: NetworkHead | None = None, probed: ProbedNetwork | None = None
) -> TracedNetwork:
    """Trace `network`, in evaluation mode, and run it once on `example` `[n_images, ...]`.

    Args:
        head: where the logits are: default layers are those that they depend on.
        probed: `network` with probes, and axes that a user named.

    Raises:
        Exception: any error that stops the tracer; for probes see `insert_probes`.
    """
    root = ImageInput(network)
    tracer = NetworkTracer()
    graph = tracer.trace(root)
    names = tracer.name_nodes(graph) | name_exported(network, graph)
    modules = tracer.name_results(set(names.values()))
    named: dict[fx.Node, int] = {}
    if probed is not None:
        of_name = {name: node for node, name in names.items()}
        of_name |= {path: node for node, paths in modules.items() for path in paths}
        names |= insert_probes(root, graph, probed, of_name)
        named = {node: probed.unit_axes[name] for name, node in of_name.items() if name in probed.unit_axes}
    module = fx.GraphModule(root, graph)
    kinds = {node: find_node_kind(node, module) for node in graph.nodes}
    shapes = ShapeRecorder(module, kinds, named)
    output = shapes.run(example)
    gates = find_gates(graph, kinds, ACTIVATIONS)
    inner = {node for gate in gates.values() for node in gate.inner}

    def find_active(sources: Collection[fx.Node]) -> list[fx.Node]:
        """Activations at which the result of one of these arrives without another on the way."""
        arrives: dict[fx.Node, bool] = {}
        active = []
        for node in graph.nodes:  # in execution order
            is_gate = node in gates and arrives[gates[node].source] and node not in inner
            is_reached = any(arrives[before] for before in node.all_input_nodes)
            if is_gate or (kinds[node] in ACTIVATIONS and is_reached and node not in inner):
                active.append(node)
            arrives[node] = node in sources or (kinds[node] in PASSING and is_reached and not is_gate)
        return active

    known = {node: shaped for node, shaped in shapes.found.items() if node in names and _has_units(shaped, example)}
    large = [node for node, shaped in known.items() if _count_positions(shaped) > 1]
    read = find_read(graph, head)
    used = find_sources(read)
    convolutions = [node for node in graph.nodes if kinds[node] in CONVOLUTIONS]
    # What a linear layer makes of maps whose channels are last is a convolution of 1x1
    pointwise = [node for node, shaped in known.items() if kinds[node] == "linear" and len(shaped.shape) == 4]
    active, dense = (
        [node for node in find_active(sources) if node in used or changes_input(node, module)]
        for sources in (convolutions, pointwise)
    )
    join = find_join(graph, [node for node in large if node in active], set(large), read)
    nodes: dict[str, fx.Node] = {}
    views: dict[str, UnitView] = {}
    for node, shaped in known.items():
        for name in (names[node], *modules.get(node, ())):
            nodes[name], views[name] = node, UnitView(shaped.axis or 0)
            if _is_tokens(shaped):
                nodes[name + CLASS_TOKEN], views[name + CLASS_TOKEN] = node, UnitView(2, "class")

    def name_innermost(node: fx.Node) -> str:
        return modules[node][-1] if node in modules and node not in encoders else names[node]

    def name_block(node: fx.Node) -> str:  # by the innermost module that its sum lies in
        around = [path for path in modules[node] if names[sums[node]].startswith(f"{path}.")]
        return (around or modules[node])[-1]

    def mark_class(node: fx.Node) -> str:
        return CLASS_TOKEN if reads_class and _is_tokens(known[node]) else ""

    def name_default(node: fx.Node) -> str:
        if node in later:
            return name_block(node) + mark_class(node)
        return name_innermost(node) if node in (*gates, join) else names[node]

    found = {node: find_skip_sum(node, kinds) for node in large if node in modules}
    sums = {node: added for node, added in found.items() if added is not None}
    later = find_later_blocks([node for node in large if node in active], sums, read)
    defaults = [node for node in large if node in active or node in (join, *later)]
    blocks, residuals = ([node for node in sums if _is_features(known[node]) is kind] for kind in (True, False))
    encoders = [node for node in large if kinds[node] in BLOCKS or node in tracer.turned.values()]
    blocks = [node for node in large if node in blocks or node in encoders]
    is_turned = bool(tracer.turned)
    reads_class = any(_takes_class_token(node, shapes.found, known, is_turned) for node in graph.nodes)
    doubtful = [node for node in shapes.found if node in names and node not in known]
    layers = FoundLayers(
        defaults=tuple(map(name_default, defaults)),
        convolutions=tuple(names[node] for node in large if kinds[node] in CONVOLUTIONS),
        blocks=tuple(name_innermost(node) + mark_class(node) for node in blocks),
        residuals=tuple(map(name_block, residuals)),
        dense=tuple(names[node] for node in large if node in dense),
        doubtful={names[node]: shapes.found[node].shape for node in doubtful},
    )
    return TracedNetwork(
        module=module,
        output=output,
        logits=read,
        nodes=nodes,
        views=views,
        shapes={node: shaped.shape for node, shaped in known.items()},
        found=layers,
        never_negative=frozenset(name for name, node in nodes.items() if is_node_never_negative(node, module)),
    )


def _has_units(shaped: Shaped, example: Tensor) -> bool:
    """Whether a result has known units behind the axis of images."""
    return shaped.axis not in (None, 0) and shaped.shape[0] == len(example) and len(shaped.shape) <= MOST_AXES


def _count_positions(shaped: Shaped) -> int:
    assert shaped.axis is not None
    return math.prod(shaped.shape[1:]) // max(1, shaped.shape[shaped.axis])


def _is_tokens(shaped: Shaped) -> bool:
    return len(shaped.shape) == 3 and shaped.axis == 2 and shaped.shape[1] > 1


def _is_features(shaped: Shaped) -> bool:
    """Whether a result is tokens, or maps with the units last: what blocks of transformers hand on."""
    return len(shaped.shape) in (3, 4) and shaped.axis == len(shaped.shape) - 1


def _takes_class_token(
    node: fx.Node, found: Mapping[fx.Node, Shaped], known: Mapping[fx.Node, Shaped], is_turned: bool
) -> bool:
    """Whether an operation takes the first of tokens: `x[:, 0]`; of `[tokens, n, d]`, where these are seen, `x[0]`."""
    before, index = node.args[:2] if node.target is operator.getitem else (None, None)
    if not (isinstance(before, fx.Node) and before in found):
        return False
    if is_turned and index == 0 and before not in known:
        return len(found[before].shape) == 3
    return isinstance(index, tuple) and index[:2] == (slice(None), 0) and before in known and _is_tokens(known[before])


def insert_reads(
    traced: TracedNetwork, layers: tuple[str, ...], read: Callable[[Tensor, Any], Tensor], argument_of: ArgumentOf
) -> fx.GraphModule:
    """Make a module `images -> (output of the network, [result of `read` for each layer])`.

    Each map is read as soon as it is made. So it is freed as early as in the plain network, and no in-place operation
    can change it first. (`create_feature_extractor` keeps every map: 0.94 GB for vgg16 at batch 32, instead of 4 MB.)

    Args:
        read: maps `[n_images, n_kernels, height, width]` (see `arrange_units`) and the result of `argument_of` for the
            layer (a text, numbers, or tuples of them) -> a tensor that shares no memory with the maps.
    """
    graph = traced.module.graph
    found = []
    for layer in layers:
        node = traced.nodes[layer]
        with graph.inserting_after(node):
            maps = node
            if not traced.views[layer].is_plain or len(traced.shapes[node]) != 4:
                maps = graph.call_function(arrange_units, (node, traced.views[layer]))
            argument = argument_of(layer, layer in traced.never_negative)
        with graph.inserting_after(maps):
            found.append(graph.call_function(read, (maps, argument)))
    output = next(node for node in reversed(graph.nodes) if node.op == "output")
    output.args = ((output.args[0], found),)
    graph.lint()
    return fx.GraphModule(traced.module, graph)


def cut_rest(network: fx.GraphModule, logits: fx.Node | None) -> fx.GraphModule:
    """Cut the module of `insert_reads` after its last read and the logits: `images -> (logits or None, [results])`.

    Earlier operations stay even if their results are unused, as they may change a map in place.
    """
    output = next(node for node in reversed(network.graph.nodes) if node.op == "output")
    found: Any = output.args[0][1]
    needed = found if logits is None else [*found, logits]
    last = max(needed, key=list(network.graph.nodes).index)
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in network.graph.nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
        if node is last:
            break
    graph.output((None if logits is None else copies[logits], [copies[node] for node in found]))
    short = fx.GraphModule(network, graph)
    short.delete_all_unused_submodules()
    return short
