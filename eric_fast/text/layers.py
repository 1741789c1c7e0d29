"""What a program's text says of layers: which feed which, and which are given from a start."""

from collections.abc import Sequence

from eric_fast.errors import ProgramError
from eric_fast.program.layer_graph import TO_CLASSES, Edge, find_edge_fault
from eric_fast.text.statements import Statements


def read_edges(said: Statements, layers: Sequence[str]) -> tuple[Edge, ...]:
    """The edges of `LayerGraph`. Raises ProgramError for one that is between no layers, or goes down."""
    edges = list(said.facts["feeds"].values())
    for _, target, at in edges:
        if target == TO_CLASSES:
            raise said.error(at, "a layer that is fed needs a name; if the classes are meant, write feeds_classes")
    edges += [(source, TO_CLASSES, at) for source, at in said.facts["feeds_classes"].values()]
    for source, target, at in edges:
        fault = find_edge_fault(layers, (source, target))
        if fault is not None:
            raise said.error(at, fault)
    return tuple((source, target) for source, target, _ in edges)


def read_starts(said: Statements) -> tuple[tuple[str, ...], ...]:
    """The layers of each start; the fact `start(NUMBER)` is for clingo, and names the lowest. Raises ProgramError."""
    starts: dict[int, list[str]] = {}
    for number, layer, at in said.facts["starts"].values():
        if not 0 <= number < len(said.facts["starts"]):
            raise said.error(at, f"starts must be numbered from 0 without gaps, and {number} is not among them")
        starts.setdefault(number, []).append(layer)
    if sorted(starts) != list(range(len(starts))):
        raise ProgramError(f"{said.source}: starts must be numbered from 0 without gaps")
    chosen = said.facts["start"].get(())
    if chosen is not None and chosen[0] not in starts:
        raise said.error(chosen[1], f"there is no fact starts({chosen[0]},LAYER)")
    return tuple(tuple(starts[number]) for number in range(len(starts)))
