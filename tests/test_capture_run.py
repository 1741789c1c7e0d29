"""Running a network over images: norms, labels, bad images, settings."""

import hashlib
import os
import sys
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.transforms import v2 as transforms

from eric_fast.capture import ImageData, capture_activations, load_model, open_data, wrap_model
from eric_fast.errors import CaptureError, DataError, ModelError, SettingError
from eric_fast.store.activations import UNKNOWN

SCALE = transforms.Compose([transforms.ToImage(), transforms.ToDtype(torch.float32, scale=True)])


def make_net(n_outputs=3):
    with torch.random.fork_rng():
        torch.manual_seed(2)
        parts = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU()]
        return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, n_outputs)).eval()


def make_folder(root, names=("cat", "dog", "owl"), n_each=5):
    rng = np.random.default_rng(0)
    for name in names:
        (root / name).mkdir(parents=True)
        for i in range(n_each):
            Image.fromarray(rng.integers(0, 255, (10, 12, 3), dtype=np.uint8)).save(root / name / f"{i}.png")
    return root


def truncate(path):
    """A JPEG that opens, and ends too early."""
    Image.effect_noise((64, 64), 50).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


@pytest.fixture
def data(tmp_path):
    return open_data(make_folder(tmp_path / "data"))


@pytest.fixture
def model():
    return wrap_model(make_net(), SCALE, ["cat", "dog", "owl"], "tiny")


def test_norms_and_predictions_are_those_of_a_plain_run(model, data):
    found = capture_activations(model, data, device="cpu", batch_size=4)
    images = torch.stack([SCALE(data.load_image(i)) for i in range(len(data))])
    net, maps = model.module, {}
    handles = [net[i].register_forward_hook(lambda m, x, y, i=i: maps.update({i: y})) for i in (2, 4)]
    with torch.inference_mode():
        logits = net(images)
    for handle in handles:
        handle.remove()
    assert found.layers == ("2", "4")
    for layer in found.layers:
        assert torch.allclose(found.norms[layer], maps[int(layer)].abs().sum((2, 3)) / maps[int(layer)][0, 0].numel())
    assert torch.equal(found.predictions, logits.argmax(1))
    assert found.labels.tolist() == list(data.folder_labels)
    assert found.ids == data.ids
    assert not any(tensor.is_inference() for tensor in (*found.norms.values(), found.predictions, found.labels))
    settings = found.settings
    assert (settings.model, settings.fingerprint, settings.data) == ("tiny", model.fingerprint, data.name)
    assert (settings.norm, settings.dtype, settings.device, settings.batch_size) == ("l1", "float32", "cpu", 4)
    assert settings.memory_format == "contiguous"
    assert "ToDtype" in settings.preprocessing
    assert settings.n_bad_images == 0


def test_workers_change_nothing_and_warn_of_nothing(model, data):
    here = capture_activations(model, data, device="cpu", batch_size=4)
    state = torch.random.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        there = capture_activations(model, data, device="cpu", batch_size=4, workers=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(here.norms[layer], there.norms[layer]) for layer in here.layers)
    assert torch.equal(here.predictions, there.predictions)
    assert here.settings == there.settings


def test_a_transform_that_cannot_be_pickled_works_in_workers(data):
    model = wrap_model(make_net(), lambda image: SCALE(image), name="tiny")
    assert capture_activations(model, data, device="cpu", workers=1).n_images == 15


@pytest.mark.parametrize("workers", [0, 1])
def test_bad_images_are_refused_or_left_out(model, tmp_path, caplog, workers):
    whole = capture_activations(model, open_data(make_folder(tmp_path / "data")), device="cpu", batch_size=4)
    truncate(tmp_path / "data" / "dog" / "0a.jpg")
    (tmp_path / "data" / "cat" / "0.png").write_bytes(b"")
    data = open_data(tmp_path / "data")
    with pytest.raises(DataError, match=r"cat/0\.png.*--skip-bad-images") as error:
        capture_activations(model, data, device="cpu", batch_size=4, workers=workers)
    assert "\n" not in str(error.value)
    found = capture_activations(model, data, device="cpu", batch_size=4, workers=workers, skip_bad_images=True)
    assert found.settings.n_bad_images == 2
    assert found.ids == whole.ids[1:]
    assert found.labels.tolist() == [0] * 4 + [1] * 5 + [2] * 5
    assert torch.allclose(found.norms["4"], whole.norms["4"][1:], atol=1e-6)
    notes = [record.getMessage() for record in caplog.records]
    assert [name in note for name, note in zip(("cat/0.png", "dog/0a.jpg"), notes, strict=True)] == [True, True]
    assert "skip-bad-images" not in caplog.text


def test_a_skipped_image_leaves_a_gap_in_its_batch(model, tmp_path):
    data = open_data(make_folder(tmp_path / "data"))
    (tmp_path / "data" / "cat" / "1.png").write_bytes(b"")
    sizes = []
    net = make_net()
    tracked = wrap_model(net, SCALE, name="tiny")
    import eric_fast.capture.forward as forward

    original = forward.trace_norms

    def spy(*args, **settings):
        tracer = original(*args, **settings)
        tracer.register_forward_hook(lambda module, inputs, outputs: sizes.append(len(inputs[0])))
        return tracer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forward, "trace_norms", spy)
        capture_activations(tracked, data, device="cpu", batch_size=4, skip_bad_images=True)
    assert sizes == [3, 4, 4, 3]


def test_no_image_left(model, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of the 1 images"):
        capture_activations(model, open_data(tmp_path), device="cpu", skip_bad_images=True)


def test_the_order_of_images_changes_only_the_order_of_results(model, data):
    class Reversed(ImageData):
        name, folders, ids = data.name, data.folders, data.ids[::-1]

        def load_sample(self, index):
            return data.load_sample(len(data) - 1 - index)

    there = capture_activations(model, data, device="cpu", batch_size=5)
    back = capture_activations(model, Reversed(), device="cpu", batch_size=5)
    assert back.ids == there.ids[::-1]
    assert back.labels.tolist() == there.labels.tolist()[::-1]
    assert torch.allclose(back.norms["2"], there.norms["2"].flip(0), atol=1e-6)


def test_limit_takes_images_of_every_class(model, data):
    assert capture_activations(model, data, device="cpu", limit=3).ids == ("cat/0.png", "dog/0.png", "owl/0.png")
    assert capture_activations(model, data, device="cpu", limit=10**30).n_images == 15


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_the_networks_and_not_the_norms(model, data, dtype):
    full = capture_activations(model, data, device="cpu")
    half = capture_activations(model, data, device="cpu", dtype=dtype)
    assert half.settings.dtype == dtype
    for layer in full.layers:
        assert half.norms[layer].dtype == torch.float32
        assert not torch.equal(half.norms[layer], full.norms[layer])
        assert torch.allclose(half.norms[layer], full.norms[layer], rtol=0.05, atol=0.02)
    assert all(p.dtype == torch.float32 for p in model.module.parameters())


def test_labels_by_name_in_order_or_unknown(tmp_path, caplog):
    data = open_data(make_folder(tmp_path / "data", n_each=1))

    def labels(n_outputs, classes):
        caplog.clear()
        found = capture_activations(wrap_model(make_net(n_outputs), SCALE, classes), data, device="cpu")
        return found.labels.tolist(), found.classes

    assert labels(3, ["owl", "cat", "dog"]) == ([1, 2, 0], ("owl", "cat", "dog"))
    assert labels(3, ["x", "y", "z"]) == ([0, 1, 2], ("x", "y", "z"))
    assert "classes in order: 'cat' is 'x', 'dog' is 'y', 'owl' is 'z'" in caplog.text
    assert caplog.records[-1].levelname == "WARNING"
    assert labels(3, None) == ([0, 1, 2], ("cat", "dog", "owl"))
    assert not caplog.records
    assert labels(3, ["owl", "ant", "bee"])[0] == [UNKNOWN, UNKNOWN, 0]
    assert "2 folders don't have the name of a class" in caplog.text
    assert labels(2, None) == ([UNKNOWN] * 3, ("0", "1"))
    assert "accuracy will be null" in caplog.text
    with pytest.raises(ModelError, match="3 outputs but 2 class names; CLASSES must name each output"):
        labels(3, ["a", "b"])


@pytest.mark.parametrize(("dtype", "end"), [("float32", "and the image$"), ("float16", "with --dtype float32$")])
def test_nan_is_refused_with_layer_and_image(data, dtype, end):
    net = make_net()
    with torch.no_grad():
        net[3].weight[5] = float("nan")
    with pytest.raises(CaptureError, match=rf"layer '4', kernel 5.*nan.*'cat/0\.png'.*{end}"):
        capture_activations(wrap_model(net, SCALE), data, device="cpu", dtype=dtype)
    net = make_net()
    with torch.no_grad():
        net[7].bias[1] = float("nan")
    with pytest.raises(CaptureError, match=rf"output 1 is nan.*'cat/0\.png'.*{end}"):
        capture_activations(wrap_model(net, SCALE), data, device="cpu", dtype=dtype)


class Failing(nn.Module):
    """Fails on a batch of four."""

    def __init__(self, error):
        super().__init__()
        self.conv, self.act, self.head = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 3)
        self.error = error

    def forward(self, x):
        if len(x) == 4:
            raise self.error
        return self.head(self.act(self.conv(x)).mean((2, 3)))


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (RuntimeError("two\nlines"), "RuntimeError: two; its forward must take any number of images"),
        (
            torch.OutOfMemoryError("CUDA out of memory"),
            "OutOfMemoryError: CUDA out of memory; give a smaller --batch-size",
        ),
        (MemoryError(), "MemoryError; give a smaller --batch-size"),
        (SystemExit(0), "SystemExit: 0; its forward must take any number of images"),
    ],
)
def test_a_network_that_fails_on_a_later_batch_is_named_with_its_images(data, error, part):
    with pytest.raises(ModelError) as found:
        capture_activations(wrap_model(Failing(error).eval(), SCALE), data, device="cpu", batch_size=11)
    assert str(found.value) == f"the model fails on a batch of 4 images, 'owl/1.png' to 'owl/4.png': {part}"


def test_a_batch_that_cannot_be_loaded_is_an_error_of_one_line(data):
    model = wrap_model(make_net(), lambda image: os._exit(1))  # as where the system kills a worker
    with pytest.raises(DataError, match=r"can't be loaded with 1 workers \(RuntimeError.*--workers 0") as error:
        capture_activations(model, data, device="cpu", workers=1)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("batch_size", [1, 16])
@pytest.mark.parametrize("workers", [0, 1])
def test_images_of_different_shapes_are_named(model, tmp_path, batch_size, workers):
    make_folder(tmp_path / "data", n_each=2)
    Image.new("RGB", (20, 30)).save(tmp_path / "data" / "dog" / "1.png")
    with pytest.raises(DataError, match=r"'dog/1\.png' has shape \[3, 30, 20\].*'cat/0\.png' has shape \[3, 10, 12\]"):
        capture_activations(model, open_data(tmp_path / "data"), device="cpu", batch_size=batch_size, workers=workers)


def fail(image):
    raise RuntimeError("two\nlines")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("transform", "part"),
    [
        (fail, r"fails \(RuntimeError: two"),
        (lambda image: sys.exit(0), r"fails \(SystemExit: 0"),
        (lambda image: image, "not Image"),
        (transforms.PILToTensor(), r"not torch.uint8 \[3, 10, 12\]"),
    ],
)
def test_a_transform_that_does_not_fit_is_named(data, transform, part, workers):
    model = wrap_model(make_net(), transform)
    with pytest.raises(DataError, match=rf"'cat/0\.png'.*{part}") as error:
        capture_activations(model, data, device="cpu", workers=workers, skip_bad_images=True)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"batch_size": 0}, "--batch-size must be at least 1"),
        ({"batch_size": 10**30}, "--batch-size must be at most 1048576"),
        ({"workers": -1}, "--workers must be at least 0"),
        ({"workers": 10**30}, "--workers must be at most 1024"),
        ({"limit": 0}, "--limit must be at least 1"),
        ({"norm": "l11"}, "'l1'"),
        ({"dtype": "int8"}, "float32, bfloat16, float16"),
        ({"device": "tpu"}, "auto, cpu, cuda"),
        ({"memory_format": "nhwc"}, "contiguous, channels-last"),
    ],
)
def test_settings_that_mean_nothing(model, data, settings, part):
    with pytest.raises(SettingError, match=part):
        capture_activations(model, data, **settings)


def test_an_absent_gpu_is_refused(model, data, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SettingError, match="no CUDA device"):
        capture_activations(model, data, device="cuda")
    assert capture_activations(model, data, device="auto", limit=1).settings.device == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_agrees_with_cpu(model, data):
    cpu, gpu = (capture_activations(model, data, device=device) for device in ("cpu", "cuda"))
    assert gpu.settings.device == "cuda"
    for layer in cpu.layers:
        assert gpu.norms[layer].device.type == "cpu"
        assert torch.allclose(cpu.norms[layer], gpu.norms[layer], rtol=1e-4, atol=1e-6)


def test_progress_ends_at_the_total(model, data):
    seen = []
    capture_activations(model, data, device="cpu", batch_size=4, progress=lambda *step: seen.append(step))
    assert seen == [("capture", n, 15) for n in (0, 4, 8, 12, 15)]


def test_the_model_is_left_as_it_was(model, data):
    before = hashlib.sha256(str(model.module.state_dict()).encode()).hexdigest()
    capture_activations(model, data, device="cpu", dtype="bfloat16")
    assert hashlib.sha256(str(model.module.state_dict()).encode()).hexdigest() == before
    assert not any(part._forward_hooks for part in model.module.modules())


def test_digits(tmp_path):
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)).eval()
    found = capture_activations(wrap_model(net, SCALE), open_data("digits/test"), device="cpu", limit=50)
    assert found.classes == tuple("0123456789")
    assert set(found.labels.tolist()) == set(range(10))


@pytest.mark.shared
def test_trained_network_with_its_own_file(shared, tmp_path):
    model = load_model(f"{shared}/models/cifar10_vgg.py:build")
    assert model.classes[0] == "airplane"
    data = open_data(make_folder(tmp_path / "data", model.classes, n_each=1))
    found = capture_activations(model, data, device="cpu")
    assert found.layers == tuple(f"features.{i}" for i in (2, 5, 9, 12, 16, 19))
    assert found.labels.tolist() == list(range(10))
