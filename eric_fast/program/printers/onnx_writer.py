"""`GraphWriter`: a graph of ONNX as it grows, node by node."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ProgramError
from eric_fast.version import __version__

SINGLE, INT64, TEXT, TRUTH, DOUBLE = 1, 7, 8, 9, 11  # element types of ONNX
_MOST_BYTES = 2**30  # of constants: a file of protocol buffers holds 2**31 at most


class GraphWriter:
    """Adds nodes, and gives the names of what they make, which are never those of inputs; inputs come first.

    Raises:
        ProgramError: the package `onnx` is missing, or constants take too much memory.
    """

    def __init__(self) -> None:
        try:
            import onnx
        except ImportError as error:
            raise ProgramError("writing ONNX needs the package 'onnx': pip install onnx") from error
        self._onnx: Any = onnx
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: dict[str, Any] = {}
        self._outputs: list[Any] = []
        self._n_bytes = 0

    def add_input(self, name: str, kind: int, width: int) -> str:
        """An input `[n_rows, width]`."""
        self._inputs[name] = self._onnx.helper.make_tensor_value_info(name, kind, ["n_rows", width])
        return name

    def add_output(self, tensor: str, name: str, kind: int, width: int | None = None) -> None:
        """An output `[n_rows, width]`, or `[n_rows]`, that is this tensor; `name_` if an input has this name."""
        name = self._avoid_inputs(name)
        self._nodes.append(self._onnx.helper.make_node("Identity", [tensor], [name]))
        shape: list[str | int] = ["n_rows"] if width is None else ["n_rows", width]
        self._outputs.append(self._onnx.helper.make_tensor_value_info(name, kind, shape))

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """The name of what the node makes."""
        made = self._avoid_inputs(f"{operator}_{len(self._nodes)}")
        self._nodes.append(self._onnx.helper.make_node(operator, inputs, [made], domain=domain, **attributes))
        return made

    def add_constant(self, values: NDArray[Any] | Sequence[Any], dtype: Any = None) -> str:
        array = np.asarray(values, dtype)
        self.charge(array.nbytes)
        name = self._avoid_inputs(f"constant_{len(self._constants)}")
        self._constants.append(self.make_tensor(array, name))
        return name

    def make_tensor(self, array: NDArray[Any], name: str) -> Any:
        """For an attribute."""
        return self._onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)

    def charge(self, n_bytes: int) -> None:
        """Count what a constant takes, before it is made."""
        self._n_bytes += n_bytes
        if self._n_bytes > _MOST_BYTES:
            raise ProgramError(
                f"as matrices of ONNX this program takes more than {_MOST_BYTES / 2**30:.0f} GiB; write it as asp, "
                "python or c, or simplify it first"
            )

    def _avoid_inputs(self, name: str) -> str:
        while name in self._inputs:
            name += "_"
        return name

    def write(self) -> bytes:
        helper = self._onnx.helper
        graph = helper.make_graph(self._nodes, "program", list(self._inputs.values()), self._outputs, self._constants)
        opsets = [helper.make_opsetid("", 19), helper.make_opsetid("ai.onnx.ml", 5)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=9, producer_name="eric_fast", producer_version=__version__
        )
        content: bytes = model.SerializeToString(deterministic=True)
        return content
