"""`LayerGraph`: which layers of a network feed which, and the sets of layers that every path crosses."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from eric_fast.errors import CaptureError, ProgramError, suggest_nearest

# The ends of a graph, which are no layers. In an edge, the images are a source and never a target, the classes a target
# and never a source, so the two can share the one text that names no layer.
FROM_IMAGES = ""
TO_CLASSES = ""
Edge = tuple[str, str]  # a layer, and one that it feeds without another layer between
StartLayers = str | Sequence[str] | None  # as `LayerGraph.find_start` takes it


@dataclass(frozen=True)
class LayerGraph:
    """Layers of a network, and which feed which.

    Attributes:
        layers: each behind all that feed it.
        edges: pairs of a layer and one that it feeds, or `TO_CLASSES`. A layer without a source is fed by the images;
            if it has others too, by the pair `(FROM_IMAGES, layer)`. Empty for a straight pipe: each feeds the next.
    """

    layers: tuple[str, ...]
    edges: tuple[Edge, ...] = ()

    @classmethod
    def from_edges(cls, layers: Sequence[str], edges: Iterable[Edge]) -> "LayerGraph":
        """A graph in its plain form: edges in the order of layers, each once, and none of a straight pipe."""
        place = {name: number for number, name in enumerate((*layers, TO_CLASSES))}
        fed = {target for source, target in edges if source != FROM_IMAGES}
        kept = {(a, b) for a, b in edges if a != FROM_IMAGES or b in fed}
        ordered = sorted(kept, key=lambda edge: (place[edge[1]], -1 if edge[0] == FROM_IMAGES else place[edge[0]]))
        is_pipe = ordered == [*pairwise(layers), *((name, TO_CLASSES) for name in layers[-1:])]
        if not ordered and layers:  # none leads anywhere
            ordered = [(FROM_IMAGES, layers[0])]
        return cls(tuple(layers), () if is_pipe else tuple(ordered))

    @cached_property
    def sources(self) -> Mapping[str, tuple[str, ...]]:
        """What feeds each layer, and `TO_CLASSES`: layers in their order, `FROM_IMAGES` aside."""
        edges = self.edges or (*pairwise(self.layers), *((name, TO_CLASSES) for name in self.layers[-1:]))
        found: dict[str, set[str]] = {name: set() for name in (*self.layers, TO_CLASSES)}
        for source, target in edges:
            if source != FROM_IMAGES:
                found[target].add(source)
        return {target: tuple(name for name in self.layers if name in own) for target, own in found.items()}

    @cached_property
    def lowest(self) -> tuple[str, ...]:
        """The layers that no other feeds."""
        return tuple(name for name in self.layers if not self.sources[name])

    @property
    def highest(self) -> tuple[str, ...]:
        """The layers that feed the classes."""
        return self.sources[TO_CLASSES]

    @cached_property
    def partial(self) -> frozenset[str]:
        """The layers that images reach past all others, too."""
        return frozenset(target for source, target in self.edges if source == FROM_IMAGES and self.sources[target])

    def restrict(self, layers: Collection[str]) -> "LayerGraph":
        """The graph of some of the layers: one feeds another if a path between them crosses no third."""
        chosen = tuple(name for name in self.layers if name in layers)
        if not self.edges:
            return LayerGraph(chosen)
        feeds: dict[str, set[str]] = {}  # layer -> what feeds it: chosen layers and `FROM_IMAGES`
        for name in (*self.layers, TO_CLASSES):
            own = {FROM_IMAGES} if name in self.partial or (name and not self.sources[name]) else set[str]()
            feeds[name] = own.union(*({s} if s in layers else feeds[s] for s in self.sources[name]))
        pairs = [(source, name) for name in chosen for source in feeds[name]]
        last = [(source, TO_CLASSES) for source in feeds[TO_CLASSES] if source != FROM_IMAGES]
        return LayerGraph.from_edges(chosen, [*pairs, *last])

    def select(self, layers: Collection[str]) -> "LayerGraph":
        """As `restrict`, for a program: what rules can be learned for, and what they draw on.

        A layer that images reach past the others, too, has no sources here, as its kernels don't follow from these.
        Layers from which no path leads to the classes go, if one does from any. Those without sources stand first.
        """
        graph = self.restrict(layers)
        if not graph.edges:
            return graph
        sources = {name: () if name in graph.partial else own for name, own in graph.sources.items()}
        live = _find_before(TO_CLASSES, sources)
        if not live:
            return LayerGraph(graph.layers)
        kept = [name for name in graph.layers if name in live]
        ordered = sorted(kept, key=lambda name: bool(sources[name]))  # stable
        return LayerGraph.from_edges(ordered, [(s, t) for t in (*kept, TO_CLASSES) for s in sources[t]])

    def take_above(self, cut: Collection[str]) -> "LayerGraph":
        """The layers of a cut, which nothing feeds now, and those of `list_above`."""
        if not self.edges:
            return LayerGraph(tuple(name for name in self.layers if name in cut) + self.list_above(cut))
        above = self.list_above(cut)
        layers = (*(name for name in self.layers if name in cut), *above)
        return LayerGraph.from_edges(layers, [(s, t) for t in (*above, TO_CLASSES) for s in self.sources[t]])

    def find_start(self, start: StartLayers) -> tuple[str, ...]:
        """The layers whose bits are given from a start: a cut, which every path from the images to the classes crosses.

        Args:
            start: a layer, for it with what runs beside it; several, as a list or with commas between; None for the
                lowest layers.

        Raises:
            ProgramError: no such layer, or a path past the given ones, which is named.
        """
        if not self.layers:
            raise ProgramError("the program has no input atoms, so there is no layer to start from")
        if start is None:
            return self.lowest
        if isinstance(start, str) and start in self.layers:
            return self.find_cut(start)
        names = self.split_start(start) if isinstance(start, str) else start
        for name in names:
            if name not in self.layers:
                raise ProgramError(f"the program has no layer '{name}'{suggest_nearest(name, self.layers)}")
        path = self.find_path(names)
        if path is not None:
            instead = self.find_cut(names[0]) if names else self.lowest
            raise ProgramError(
                f"can't start at '{name_start(names)}': the path {' -> '.join(('images', *path, 'classes'))} avoids "
                f"{'it' if len(names) == 1 else 'them'}; start at '{name_start(instead)}'"
            )
        return self._drop_covered(names)

    def split_start(self, start: str) -> list[str]:
        """The layers that `name_start` joined. A layer's own name may have commas: the longest that fits is taken."""
        parts, names = start.split(","), list[str]()
        while parts:
            joined = (",".join(parts[:n]) for n in range(len(parts), 0, -1))
            name = next((name for name in joined if name in self.layers), parts[0])
            del parts[: name.count(",") + 1]
            names.append(name if name in self.layers else name.strip())
        return names

    def find_cut(self, layer: str) -> tuple[str, ...]:
        """The cut of a layer and what runs beside it: layers that don't build on it, but feed layers that do, or the
        classes.
        """
        after: set[str] = set()
        for name in self.layers:
            if not {layer, *after}.isdisjoint(self.sources[name]):
                after.add(name)
        return self.find_border([name for name in self.layers if name not in after])

    def find_border(self, layers: Collection[str]) -> tuple[str, ...]:
        """Of layers that are given with all that feed them, those that feed other layers or the classes: a cut."""
        others = {name for name in (*self.layers, TO_CLASSES) if name not in layers}
        feeding = {source for name in others for source in self.sources[name]}
        return tuple(name for name in self.layers if name in layers and name in feeding)

    def list_cuts(self) -> list[tuple[str, ...]]:
        """The lowest layers, and the cuts of all layers in their order, each once."""
        return list(dict.fromkeys([self.lowest, *map(self.find_cut, self.layers)])) if self.layers else []

    def list_above(self, cut: Collection[str]) -> tuple[str, ...]:
        """The layers that follow from those of a cut, and that the classes read other than through these."""
        known = set(cut)
        for name in self.layers:
            if self.sources[name] and known.issuperset(self.sources[name]):
                known.add(name)
        read = self._find_read(cut)
        return tuple(name for name in self.layers if name in known and name in read and name not in cut)

    def find_path(self, avoided: Collection[str]) -> tuple[str, ...] | None:
        """The layers of a path from the images to the classes that avoids some layers; None if there is none."""
        path_to: dict[str, tuple[str, ...]] = {}
        for name in (*self.layers, TO_CLASSES):
            if name in avoided:
                continue
            before = next((path_to[source] for source in self.sources[name] if source in path_to), None)
            if before is not None or name in self.partial or (name and not self.sources[name]):
                path_to[name] = (*(before or ()), *((name,) if name else ()))
        return path_to.get(TO_CLASSES)

    def _drop_covered(self, cut: Collection[str]) -> tuple[str, ...]:
        """Without layers from which every path to the classes crosses another of the cut."""
        read = self._find_read(cut)
        return tuple(name for name in self.layers if name in cut and name in read)

    def _find_read(self, cut: Collection[str]) -> set[str]:
        """The layers from which a path leads to the classes without crossing a layer of the cut behind them."""
        return _find_before(TO_CLASSES, {t: () if t in cut else own for t, own in self.sources.items()})


def find_edge_fault(layers: Sequence[str], edge: Edge) -> str | None:
    """What is wrong with an edge of a program's layers, whose order is `layers`; None if nothing is."""
    source, target = edge
    if source == target and source in layers:
        return f"layer '{source}' can't feed itself"
    for name in (source, target) if target != TO_CLASSES else (source,):
        if name not in layers:
            return f"the program has no layer '{name}'{suggest_nearest(name, layers)}"
    if target != TO_CLASSES and layers.index(source) >= layers.index(target):
        return (
            f"'{source}' can't feed '{target}', whose kernels stand before its own; put them after those of '{source}'"
        )
    return None


def check_edges(layers: Sequence[str], edges: Sequence[Edge]) -> None:
    """Raise CaptureError for an edge that isn't between these layers, or goes against their order."""
    place = {name: number for number, name in enumerate(layers)}
    for source, target in edges:
        is_known = all(name in place or name == FROM_IMAGES for name in (source, target)) and (source or target)
        if not is_known or (source and target and place[source] >= place[target]):
            raise CaptureError(f"layer '{source}' can't feed '{target}': list each layer after those that feed it")


def check_graph(graph: LayerGraph) -> None:
    """Raise ProgramError unless each layer of a program feeds something, and the lowest stand first."""
    feeding = {source for source, _ in graph.edges}
    for name in graph.layers if graph.edges else ():
        if name not in feeding:
            raise ProgramError(f"layer '{name}' feeds neither a layer nor the classes; say what it feeds, or remove it")
    for name, after in zip(graph.layers, graph.layers[1:], strict=False):
        if graph.sources[name] and not graph.sources[after]:
            raise ProgramError(
                f"no layer feeds '{after}', so its kernels must stand before those of '{name}', which others feed; "
                f"move them up, or say what feeds '{after}'"
            )


def _find_before(target: str, sources: Mapping[str, Collection[str]]) -> set[str]:
    """All layers from which a path leads to `target`."""
    seen: set[str] = set()
    waiting = list(sources[target])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += sources[name]
    return seen


def name_start(cut: Sequence[str]) -> str:
    """A start as `--start` and `LayerGraph.find_start` take it: `features.19`, or `wide,slim`."""
    return ",".join(cut)
