"""How a network runs: layouts, autocast, compiled; batches in flight."""

import pytest
import torch
from torch import nn

from eric_fast.capture import capture_activations, forward, open_data, wrap_model
from eric_fast.capture.batches import ImageBatch
from eric_fast.capture.options import CaptureOptions
from eric_fast.errors import ModelError
from tests.test_capture_run import SCALE, make_folder, make_net


@pytest.fixture
def data(tmp_path):
    return open_data(make_folder(tmp_path / "data"))


@pytest.fixture
def model():
    return wrap_model(make_net(), SCALE, ["cat", "dog", "owl"], "tiny")


def watch(monkeypatch):
    """What the network's graph is given: (dtype, whether channels-last, images, whether autocast is on)."""
    seen = []
    original = forward.trace_norms

    def spy(*args, **settings):
        tracer = original(*args, **settings)

        def note(module, inputs):
            images = inputs[0]
            is_last = images.is_contiguous(memory_format=torch.channels_last)
            weights = next(tracer.parameters())
            lies_last = weights.is_contiguous(memory_format=torch.channels_last) and not weights.is_contiguous()
            seen.append(
                (images.dtype, is_last and lies_last, len(images), torch.is_autocast_enabled("cpu"), weights.dtype)
            )

        tracer.register_forward_pre_hook(note)
        return tracer

    monkeypatch.setattr(forward, "trace_norms", spy)
    return seen


@pytest.mark.parametrize("memory_format", ["contiguous", "channels-last"])
@pytest.mark.parametrize(
    "transform", [SCALE, lambda image: SCALE(image).permute(1, 2, 0).contiguous().permute(2, 0, 1)]
)
def test_maps_lie_as_asked_whatever_the_transform_gives(model, data, memory_format, transform, monkeypatch):
    expected = capture_activations(model, data, device="cpu", batch_size=4)
    seen = watch(monkeypatch)
    given = wrap_model(model.module, transform, model.classes)
    found = capture_activations(given, data, device="cpu", batch_size=4, memory_format=memory_format)
    is_last = memory_format == "channels-last"
    assert seen == [(torch.float32, is_last, n, False, torch.float32) for n in (4, 4, 4, 3)]
    assert found.settings.memory_format == memory_format
    for layer in expected.layers:
        assert torch.allclose(found.norms[layer], expected.norms[layer], rtol=1e-5)
        assert is_last or torch.equal(found.norms[layer], expected.norms[layer])
    assert next(model.module.parameters()).is_contiguous()


@pytest.mark.parametrize("dtype", ["autocast-bfloat16", "autocast-float16"])
def test_autocast_keeps_weights_and_chooses_for_each_operation(model, data, dtype, monkeypatch):
    full = capture_activations(model, data, device="cpu")
    seen = watch(monkeypatch)
    half = capture_activations(model, data, device="cpu", dtype=dtype)
    assert seen == [(torch.float32, False, 15, True, torch.float32)]
    assert half.settings.dtype == dtype
    for layer in full.layers:
        assert half.norms[layer].dtype == torch.float32
        assert not torch.equal(half.norms[layer], full.norms[layer])
        assert torch.allclose(half.norms[layer], full.norms[layer], rtol=0.05, atol=0.02)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own, in compile
def test_compiled_networks_see_batches_of_one_size(model, data, monkeypatch):
    expected = capture_activations(model, data, device="cpu", batch_size=4)
    seen, graphs = watch(monkeypatch), []

    def backend(graph, examples):
        graphs.append(graph)
        return graph.forward

    original = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, **kwargs: original(self, backend=backend, **kwargs))
    found = capture_activations(model, data, device="cpu", batch_size=4, compile=True)
    assert [n for _, _, n, _, _ in seen] == [4, 4, 4, 4]
    assert len(graphs) == 1
    assert found.settings.dtype == "float32 compiled"
    assert found.n_images == 15
    for layer in expected.layers:
        assert torch.allclose(found.norms[layer], expected.norms[layer], rtol=1e-5)
    assert torch.equal(found.predictions, expected.predictions)


def test_what_cannot_be_traced_cannot_be_compiled(data):
    class Untraceable(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = make_net()

        def forward(self, x):
            return self.net(x) if x.sum() > -1 else x

    with pytest.raises(ModelError, match="can't be compiled, as it can't be traced; leave --compile out"):
        capture_activations(wrap_model(Untraceable().eval(), SCALE), data, device="cpu", compile=True)


@pytest.mark.parametrize("n_ahead", [0, 1])
def test_answers_come_in_the_order_of_batches(model, n_ahead):
    images = torch.rand(10, 3, 10, 12, generator=torch.Generator().manual_seed(0))
    launched = []

    def feed():
        for rows in ([0, 1, 2], [], [3, 4], [5, 6, 7, 8, 9]):
            launched.append(len(rows))
            yield ImageBatch(images[rows] if rows else torch.empty(0), rows, rows, [], len(rows))

    runner = forward.NetworkRunner(model, CaptureOptions(device="cpu", batch_size=5))
    runner._n_ahead = n_ahead  # as on a GPU
    answers = []
    with torch.inference_mode():
        for answer in runner.run(feed(), [str(i) for i in range(10)]):
            answers.append(answer)
            assert len(launched) == min(len(answers) + n_ahead, 4)
        expected = model.module(images)
    assert [answer.batch.indices for answer in answers] == [[0, 1, 2], [], [3, 4], [5, 6, 7, 8, 9]]
    assert [len(answer.batch.images) for answer in answers] == [0] * 4
    assert (answers[1].logits, answers[1].norms) == (None, {})
    logits = torch.cat([answer.logits for answer in answers if answer.logits is not None])
    assert torch.allclose(logits, expected, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "autocast-bfloat16"])
@pytest.mark.parametrize("memory_format", ["contiguous", "channels-last"])
def test_batches_in_flight_on_a_gpu_give_what_the_cpu_gives(model, data, dtype, memory_format):
    settings = {"batch_size": 4, "memory_format": memory_format}
    cpu = capture_activations(model, data, device="cpu", **settings)
    gpu = capture_activations(model, data, device="cuda", dtype=dtype, workers=1, **settings)
    loose = {} if dtype == "float32" else {"rtol": 0.05, "atol": 0.02}
    for layer in cpu.layers:
        assert gpu.norms[layer].device.type == "cpu"
        assert torch.allclose(cpu.norms[layer], gpu.norms[layer], **(loose or {"rtol": 1e-4, "atol": 1e-6}))
