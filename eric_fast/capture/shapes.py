"""Run a traced network once, and record the shape and the unit axis of what every operation gives."""

import operator
from collections.abc import Mapping
from typing import Any

from torch import Tensor, fx

from eric_fast.capture.probes import check_named_axis
from eric_fast.capture.units import Shaped, find_unit_axis


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
