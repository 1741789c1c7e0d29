"""The process of a rival in an environment of its own (`bench.apart`): `NAME MODEL` loads a model, then obeys requests.

It runs on that environment's Python, which has NumPy and the rival; of ours it imports what needs nothing else.
"""

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.harness import N_CORES, time_call, time_calls

Answer = Callable[[NDArray[Any]], Any]
THREADED_ROWS = 1_000  # from here on lleaves gains by threads
PACKED = 64  # samples that torchlogix's circuit takes at once


def load_lleaves(model: Path) -> Answer:
    import lleaves

    compiled = lleaves.Model(model_file=str(model))
    compiled.compile()
    return lambda rows: compiled.predict(rows, n_jobs=N_CORES if len(rows) >= THREADED_ROWS else 1)


def load_onedal(model: Path) -> Answer:
    """daal4py's model builder, of a file of LightGBM's, XGBoost's or treelite's."""
    import lightgbm
    import treelite
    import xgboost
    from daal4py import mb

    readers: dict[str, Callable[[], Any]] = {
        ".txt": lambda: lightgbm.Booster(model_file=str(model)),
        ".ubj": lambda: xgboost.Booster(model_file=str(model)),
        ".treelite": lambda: treelite.Model.deserialize(model),
    }
    built = mb.convert_model(readers[model.suffix]())
    return built.predict if built._is_regression else built.predict_proba  # type: ignore[no-any-return]


def load_torchlogix(model: Path) -> Answer:
    """Its circuit of dense layers, simplified and compiled; rows become bits within the time."""
    import torch
    from torchlogix import Circuit
    from torchlogix.layers import GroupSum, LogicDense

    arrays = np.load(model)
    layers = []
    for i in range(int(arrays["n_layers"])):
        wires, weight = (torch.from_numpy(arrays[f"{name}{i}"]) for name in ("wires", "weight"))
        layer = LogicDense(int(arrays[f"n_inputs{i}"]), len(weight))
        layer.load_state_dict({"weight": weight, "connections.indices": wires})
        layers.append(layer)
    network = torch.nn.Sequential(*layers, GroupSum(int(arrays["n_groups"]))).eval()
    circuit = Circuit.from_model(network, input_shape=[layers[0].in_dim])
    circuit.simplify()
    circuit.compile(opt_level=3, pack_bits=PACKED)

    def answer(rows: NDArray[Any]) -> Any:
        bits = np.zeros((-(-len(rows) // PACKED) * PACKED, rows.shape[1]), np.bool_)
        bits[: len(rows)] = rows
        return circuit(bits, use_compiled=True)[: len(rows)]

    return answer


LOADERS: dict[str, tuple[Callable[[Path], Answer], tuple[str, ...]]] = {  # and what is imported before the clock
    "lleaves": (load_lleaves, ("lleaves",)),
    "onedal": (load_onedal, ("daal4py.mb", "lightgbm", "treelite", "xgboost")),
    "torchlogix": (load_torchlogix, ("torchlogix",)),
}


def main() -> None:
    """Reply to each line of standard input."""
    with os.fdopen(os.dup(1), "w") as replies:
        os.dup2(2, 1)  # what a rival or its compiler prints is no reply
        load, modules = LOADERS[sys.argv[1]]
        for module in modules:
            import_module(module)
        answer, seconds = time_call(lambda: load(Path(sys.argv[2])))
        print(json.dumps(seconds), file=replies, flush=True)
        for line in sys.stdin:
            what, folder = json.loads(line)
            rows = np.load(Path(folder) / "rows.npy")
            reply = None
            if what == "time":
                reply = time_calls(lambda: answer(rows))  # noqa: B023
            else:
                np.save(Path(folder) / "answers.npy", np.asarray(answer(rows)))
            print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
