"""Modules that run on the results of a network's layers, and axes of units that a user names."""

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import fx, nn

from eric_fast.errors import ModelError, SettingError, suggest_nearest

PLACE = "place"  # key of what a probe's operations know: the operation on whose result the probe runs
Probes = Mapping[str, nn.Module | tuple[str, nn.Module]]


class ProbedNetwork(nn.Module):
    """A network with probes: it answers as the network does, and a capture finds the probes' results as layers.

    Attributes:
        network: the network.
        places: name of a probe -> the layer on whose result it runs.
        unit_axes: name of a layer -> the axis of its units, in place of the one that is found.
    """

    def __init__(
        self, network: nn.Module, probes: Mapping[str, tuple[str, nn.Module]], axes: Mapping[str, int]
    ) -> None:
        super().__init__()
        self.network = network
        self.probes = nn.ModuleList(module for _, module in probes.values())
        self.places = {name: layer for name, (layer, _) in probes.items()}
        self.unit_axes = dict(axes)

    @property
    def probe_of_name(self) -> dict[str, nn.Module]:
        return dict(zip(self.places, self.probes, strict=True))

    def forward(self, *arguments: Any, **options: Any) -> Any:
        return self.network(*arguments, **options)

    def extra_repr(self) -> str:
        """All that is no module; it is a part of the fingerprint."""
        return f"places={sorted(self.places.items())}, unit_axes={sorted(self.unit_axes.items())}"


def probe_network(
    module: nn.Module,
    probes: Probes | None,
    unit_axes: Mapping[str, int] | None,
    layers: Sequence[str] | None = None,
) -> nn.Module:
    """The network with probes and named axes, on top of those that it has; the same network if there are none.

    Args:
        probes: name -> (layer, module), or a module alone, which runs on the only one of `layers`.

    Raises:
        SettingError: a probe without a layer; a name that stands twice. ModelError: a probe that is no module.
    """
    if not probes and not unit_axes:
        return module
    found: dict[str, tuple[str, nn.Module]] = {}
    for name, probe in (probes or {}).items():
        if isinstance(probe, nn.Module):
            if layers is None or len(layers) != 1 or any(sign in layers[0] for sign in "*?["):
                raise SettingError(
                    f"probe '{name}' needs the name of the layer that it runs on; give "
                    f"probes={{'{name}': ('LAYER', module)}}, or that layer alone as layers"
                )
            probe = (layers[0], probe)
        layer, part = probe
        if not isinstance(part, nn.Module):
            raise ModelError(f"probe '{name}' must be a torch.nn.Module, not {type(part).__name__}")
        if not name or "." in name or "@" in name or ":" in name:
            raise SettingError(f"'{name}' can't be the name of a probe: it must be a word without . @ and :")
        found[name] = layer, copy.deepcopy(part).eval() if any(own.training for own in part.modules()) else part
    if not isinstance(module, ProbedNetwork):
        return ProbedNetwork(module, found, unit_axes or {})
    own = {name: (module.places[name], part) for name, part in module.probe_of_name.items()}
    return ProbedNetwork(module.network, own | found, module.unit_axes | dict(unit_axes or {}))


def parse_unit_axes(texts: Sequence[str] | None) -> dict[str, int]:
    """Parse `blocks.3=2`, as the command line has it. Raises SettingError."""
    axes = {}
    for text in texts or ():
        layer, _, axis = text.rpartition("=")
        if not layer or not axis.removeprefix("-").isdecimal():
            raise SettingError(f"--unit-axis '{text}' is not LAYER=AXIS, such as blocks.3=2")
        axes[layer] = int(axis)
    return axes


def insert_probes(
    root: nn.Module, graph: fx.Graph, probed: ProbedNetwork, of_name: dict[str, fx.Node]
) -> dict[fx.Node, str]:
    """Insert the probes into the graph of a network, each behind its layer; returns their results and names.

    A probe that torch.fx can trace is inserted operation by operation, so that its axis of units is found as in the
    network; any other as one module.

    Args:
        root: the module of the graph; it gets the probes as `probe_NAME`.
        of_name: name of a layer -> its operation; the probes are added.

    Raises:
        ModelError: a probe on, or an axis of, a layer that isn't there; a name that a layer has.
    """
    names = {}
    for name, probe in probed.probe_of_name.items():
        layer = probed.places[name]
        check_place(name, layer, of_name)
        if name in of_name:
            raise ModelError(f"probe '{name}' has the name of a layer; give it another")
        root.add_module(f"probe_{name}", probe)
        try:
            inner = fx.Tracer().trace(probe)
        except Exception:  # any error of the probe's own code: it is then one module
            inner = None
        last = None if inner is None else _copy_probe(graph, inner, of_name[layer], f"probe_{name}")
        if last is None:
            with graph.inserting_after(of_name[layer]):
                last = graph.call_module(f"probe_{name}", (of_name[layer],))
            last.meta[PLACE] = of_name[layer]
        of_name[name], names[last] = last, name
    check_axes(probed, of_name)
    return names


def check_place(name: str, layer: str, known: Collection[str]) -> None:
    """Raise ModelError unless the layer of a probe is known."""
    if layer not in known:
        raise ModelError(f"probe '{name}': the model has no layer '{layer}'{suggest_nearest(layer, known)}")


def check_axes(probed: ProbedNetwork, known: Collection[str]) -> None:
    """Raise ModelError unless all layers with named axes are known."""
    for layer in probed.unit_axes:
        if layer not in known:
            raise ModelError(f"unit axis: the model has no layer '{layer}'{suggest_nearest(layer, known)}")


def _copy_probe(graph: fx.Graph, inner: fx.Graph, place: fx.Node, path: str) -> fx.Node | None:
    """Copy a probe's graph behind `place`; None if it takes more than one input, or gives anything but one tensor."""
    nodes = list(inner.nodes)
    result = nodes[-1].args[0]
    if sum(node.op == "placeholder" for node in nodes) != 1 or not isinstance(result, fx.Node):
        return None
    copies: dict[fx.Node, fx.Node] = {}
    last = place
    for node in nodes[:-1]:
        if node.op == "placeholder":
            copies[node] = place
            continue
        with graph.inserting_after(last):
            last = copies[node] = graph.node_copy(node, copies.__getitem__)
        last.meta[PLACE] = place
        if node.op in ("call_module", "get_attr"):
            last.target = f"{path}.{node.target}"
    return copies[result] if copies[result] is not place else None


def check_named_axis(axis: int, shape: Sequence[int]) -> int:
    """The axis that a user named, counted from the front. Raises ModelError if it is none, or that of images."""
    place = axis + len(shape) * (axis < 0)
    if not 0 < place < len(shape):
        raise ModelError(
            f"axis {axis} of a result {list(shape)} can't count its units; give one from 1 to {len(shape) - 1}"
        )
    return place
