"""onnxruntime, and what skl2onnx writes."""

from typing import Any

import numpy as np

from tests.optional import import_optional

helper = import_optional("onnx").helper
TensorProto = import_optional("onnx").TensorProto
runtime = import_optional("onnxruntime")
to_onnx = import_optional("skl2onnx").to_onnx

ONE_THREAD = runtime.SessionOptions()
ONE_THREAD.intra_op_num_threads = 1


def run(model: Any, rows: Any) -> Any:
    """The graph's outputs, as onnxruntime computes them."""
    session = runtime.InferenceSession(model.SerializeToString(), ONE_THREAD, providers=["CPUExecutionProvider"])
    dtype = np.float64 if session.get_inputs()[0].type == "tensor(double)" else np.float32
    return session.run(None, {session.get_inputs()[0].name: rows.astype(dtype)})


def convert(source: Any, features: Any, monkeypatch: Any, dtype: Any = np.float32) -> Any:
    """What skl2onnx writes, in one test."""
    monkeypatch.setattr(helper, "make_attribute", _make_plain)
    return _write(source, features, dtype)


def write_graph(source: Any, features: Any, dtype: Any = np.float32) -> Any:
    """What skl2onnx writes."""
    helper.make_attribute = _make_plain
    try:
        return _write(source, features, dtype)
    finally:
        helper.make_attribute = _make_attribute


_make_attribute = helper.make_attribute


def _make_plain(key: str, value: Any, **options: Any) -> Any:
    """skl2onnx gives `onnx` bools and NumPy's integers where this version takes plain ones."""
    if isinstance(value, list):
        value = [int(item) if hasattr(item, "__index__") else item for item in value]
    return _make_attribute(key, value, **options)


def _write(source: Any, features: Any, dtype: Any) -> Any:
    options = {"zipmap": False} if hasattr(source, "classes_") else {}
    model = to_onnx(source, features[:1].astype(dtype), options=options, target_opset={"": 18, "ai.onnx.ml": 3})
    if dtype == np.float64:
        model.graph.output[-1].type.tensor_type.elem_type = TensorProto.FLOAT  # where skl2onnx says double
    return model
