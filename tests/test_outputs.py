"""What a network answers: logits by name, tasks, and models as people have them."""

import dataclasses
from collections import OrderedDict, namedtuple
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import TensorDataset

from eric_fast.capture import capture_activations, load_model, open_data, wrap_model
from eric_fast.capture.maps import capture_maps
from eric_fast.capture.outputs import NetworkHead, take_logits
from eric_fast.errors import CaptureError, ModelError, SettingError
from eric_fast.evaluator.match import check_capture
from eric_fast.explain import explain_image
from eric_fast.runs import approximate_model, evaluate_chains
from eric_fast.show.page import build_report
from eric_fast.store import open_capture, print_manifest

Pair = namedtuple("Pair", "features scores")


@dataclasses.dataclass
class Answer:
    scores: torch.Tensor
    hidden: tuple
    loss: torch.Tensor | None = None


class ModelOutput(OrderedDict):
    """As Hugging Face's: an ordered mapping with its items as attributes."""

    def __getattr__(self, name):
        return self[name]


class Net(nn.Module):
    def __init__(self, form, n_outputs=3):
        super().__init__()
        self.form = form
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(6, n_outputs)
        with torch.no_grad():
            self.head.weight.mul_(60)

    def logits(self, x):
        return self.head(self.body(x))

    def forward(self, x):
        features = self.body(x)
        return self.form(features, self.head(features))


def make_net(form, n_outputs=3):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Net(form, n_outputs).eval()


IMAGES = torch.randn(70, 3, 10, 10, generator=torch.Generator().manual_seed(4))
DATA = TensorDataset(IMAGES, torch.zeros(70, dtype=torch.int64))
BARE = make_net(lambda f, y: y)

MULTICLASS = {
    "tensor": (None, lambda f, y: y),
    "tuple of one": (None, lambda f, y: (y,)),
    "with feature maps": (None, lambda f, y: (f[:, :, None, None].expand(-1, -1, 2, 2), y)),
    "with a loss": (None, lambda f, y: (y.sum(), y)),
    "one by one map": (None, lambda f, y: y[:, :, None, None]),
    "named logits": (None, lambda f, y: {"features": f, "logits": y}),
    "logits in a tuple": (None, lambda f, y: {"features": f, "logits": (y, "text")}),
    "Hugging Face": (None, lambda f, y: ModelOutput(loss=f.sum(), features=f, logits=y)),
    "dataclass": (None, lambda f, y: Answer(y, (f[:, None], f[:, None]))),
    "by index": (1, lambda f, y: (f, y)),
    "by index as text": ("1", lambda f, y: (f, y)),
    "by key": ("main", lambda f, y: {"aux": -y, "main": y}),
    "by field": ("scores", lambda f, y: Pair(f, y)),
    "by place in a mapping": (1, lambda f, y: {"aux": -y, "main": y}),
    "nested": ("heads.1", lambda f, y: {"features": f, "heads": [-y, y]}),
    "not the one called logits": ("main", lambda f, y: {"logits": -y, "main": y}),
}


@pytest.mark.parametrize("is_traced", [True, False])
@pytest.mark.parametrize("kind", MULTICLASS)
def test_predictions_are_the_networks_own(kind, is_traced, monkeypatch):
    output, form = MULTICLASS[kind]
    net = make_net(form)
    if not is_traced:
        net.forward = lambda x, own=net.forward: own(x) if bool(x.isfinite().any()) else None
    found = capture_activations(wrap_model(net, output=output), DATA, batch_size=32)
    expected = BARE.logits(IMAGES)
    assert torch.equal(found.predictions, expected.argmax(1))
    assert len(set(found.predictions.tolist())) > 1
    assert found.classes == ("0", "1", "2")
    assert torch.allclose(found.logits.float(), expected, atol=0.05)


BINARY = {
    "column": lambda f, y: y,
    "vector": lambda f, y: y[:, 0],
    "one by one map": lambda f, y: y[:, :, None, None],
    "in a mapping": lambda f, y: {"features": f, "logits": y},
    "sigmoid": lambda f, y: y.sigmoid(),
    "sigmoid as a function, squeezed": lambda f, y: torch.sigmoid(y).squeeze(1),
    "sigmoid as a module": lambda f, y: nn.Sigmoid()(y.flatten()),
}


@pytest.mark.parametrize("is_traced", [True, False])
@pytest.mark.parametrize("kind", BINARY)
def test_one_output_is_two_classes(kind, is_traced, caplog):
    net = make_net(BINARY[kind], 1)
    with torch.no_grad():
        net.head.bias -= net.logits(IMAGES).median()
    if not is_traced:
        net.forward = lambda x, own=net.forward: own(x) if bool(x.isfinite().any()) else None
    truth = (net.logits(IMAGES)[:, 0] > 0).long()
    found = capture_activations(wrap_model(net, classes=["no", "yes"]), TensorDataset(IMAGES, truth), batch_size=32)
    assert "is taken to tell two classes apart" in caplog.text
    assert found.classes == ("no", "yes")
    assert torch.equal(found.predictions, truth)
    assert torch.equal(found.labels, truth)
    assert 10 < int(truth.sum()) < 60
    assert torch.equal(found.logits.argmax(1), truth)
    assert evaluate_chains(approximate_model(found, threshold="mean", min_leaf=5), found)[0].fidelity > 0.7


@pytest.mark.parametrize("p", [0.5, 0.5 + 2**-24, 0.5 - 2**-25, 1.0, 0.0])
def test_a_probability_has_its_edge_at_one_half(p):
    logits = take_logits(torch.full((3, 1), p), 3, NetworkHead((), "binary", is_probability=True))
    assert logits.argmax(1).tolist() == [int(p > 0.5)] * 3
    assert bool(logits.isfinite().all())


def test_the_second_class_may_be_named_alone():
    found = capture_activations(wrap_model(make_net(lambda f, y: y, 1), classes=["tumour"], task="binary"), DATA)
    assert found.classes == ("not tumour", "tumour")


@pytest.mark.parametrize(
    ("form", "n_outputs", "settings", "parts"),
    [
        (lambda f, y: (f, y), 3, {}, ["'0' [1, 6], '1' [1, 3]", "--model-output"]),
        (lambda f, y: {"a": [y, -y]}, 3, {}, ["'a.0' [1, 3], 'a.1' [1, 3]"]),
        (lambda f, y: {"logits": (y, -y)}, 3, {}, ["'logits.0'"]),
        (lambda f, y: y, 3, {"output": "logits"}, ["has no 'logits'", "one tensor"]),
        (lambda f, y: {"main": y}, 3, {"output": "mein"}, ["did you mean 'main'"]),
        (lambda f, y: (f, y), 3, {"output": 2}, ["has no '2'"]),
        (lambda f, y: y.long(), 3, {}, ["must be (or hold) logits [1, n_classes], not [1, 3] torch.int64"]),
        (lambda f, y: y[:, :, None, None].expand(-1, -1, 4, 4), 3, {}, ["not [1, 3, 4, 4]"]),
        (lambda f, y: None, 3, {}, ["not NoneType"]),
        (lambda f, y: y, 1, {"task": "multilabel"}, ["1 outputs", "--task binary"]),
        (lambda f, y: y, 3, {"task": "binary"}, ["3 outputs", "--task multiclass"]),
        (lambda f, y: y, 1, {"task": "multiclass"}, ["1 outputs", "--task binary"]),
        (lambda f, y: y, 1, {"task": "regression"}, ["is a regression"]),
    ],
)
def test_doubtful_outputs_are_refused(form, n_outputs, settings, parts):
    with pytest.raises(ModelError) as error:
        capture_activations(wrap_model(make_net(form, n_outputs), **settings), DATA)
    for part in parts:
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_sigmoids_of_several_classes_may_be_taken_as_one_class():
    net = make_net(lambda f, y: y.sigmoid())
    found = capture_activations(wrap_model(net, task="multiclass"), DATA)
    assert torch.equal(found.predictions, BARE.logits(IMAGES).argmax(1))
    with pytest.raises(SettingError, match="did you mean 'multiclass'"):
        wrap_model(net, task="multiclas")


def test_one_output_and_labels_of_many_classes_are_a_regression():
    data = TensorDataset(IMAGES, torch.arange(70) % 5)
    net = make_net(lambda f, y: y, 1)
    with pytest.raises(ModelError, match="5 classes: it is a regression"):
        capture_activations(wrap_model(net), data)
    assert len(capture_activations(wrap_model(net, task="binary"), data).classes) == 2


def test_a_hugging_face_config_names_classes_and_the_task():
    net = make_net(lambda f, y: ModelOutput(logits=y))
    net.config = SimpleNamespace(id2label={"1": "dog", "0": "cat", "2": "emu"}, problem_type=None)
    assert wrap_model(net).classes == ("cat", "dog", "emu")
    assert wrap_model(net, classes=["a", "b", "c"]).classes == ("a", "b", "c")
    net.config.id2label = {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert wrap_model(net).classes is None
    net.config.problem_type = "regression"
    with pytest.raises(ModelError, match="is a regression"):
        capture_activations(net, DATA)
    net.config.problem_type = "multi_label_classification"
    assert capture_activations(net, DATA).settings.has_labels


def test_a_program_remembers_which_output_it_answers_as():
    net = make_net(lambda f, y: {"main": y, "aux": -y})
    main, aux = (capture_activations(wrap_model(net, output=name), DATA) for name in ("main", "aux"))
    program = approximate_model(main, min_leaf=5)
    check_capture(program, main, [])
    with pytest.raises(CaptureError, match="as output main, but the capture has output aux"):
        check_capture(program, aux, [])


def test_a_plain_module_is_taken_wherever_a_model_is():
    net = BARE
    program = approximate_model(capture_activations(net, DATA), min_leaf=5)
    data = open_data(DATA)
    assert explain_image(program, net, data, 3).model_class == int(net(IMAGES[3:4]).argmax())
    assert capture_maps(net, data, [2], {"body.1": [0]}).maps["body.1"].shape == (1, 1, 8, 8)
    assert build_report(program, capture_activations(net, DATA), data=data, model=net).n_embedded == 70
    for wrong, part in [("resnet18", "'resnet18' is a text; load_model takes"), (3, "not int")]:
        with pytest.raises(ModelError, match=part):
            capture_activations(wrong, DATA)


def test_a_program_of_torch_export_is_taken():
    batch = torch.export.Dim("batch", min=1, max=128)
    program = torch.export.export(BARE, (IMAGES[:3],), dynamic_shapes=({0: batch},))
    found = capture_activations(program, DATA)
    expected = capture_activations(BARE, DATA)
    assert found.layers == ("body.1",)
    assert torch.allclose(found.norms["body.1"], expected.norms["body.1"], atol=1e-5)
    assert torch.equal(found.predictions, expected.predictions)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_torchscript_is_refused_as_what_it_is(tmp_path):
    script = torch.jit.trace(BARE, IMAGES[:2])
    with pytest.raises(ModelError, match="is a TorchScript module, whose layers can't be read"):
        capture_activations(script, DATA)
    script.save(tmp_path / "script.pt")
    torch.export.save(torch.export.export(BARE, (IMAGES[:2],)), tmp_path / "exported.pt2")
    (tmp_path / "net.py").write_text("import torch\ndef build(): return torch.nn.Conv2d(3, 4, 3)")
    for file, part in [("script.pt", "is a TorchScript program"), ("exported.pt2", "is a program of torch.export")]:
        with pytest.raises(ModelError, match=part):
            load_model(f"{tmp_path / 'net.py'}:build", str(tmp_path / file))


BUILD = """
from torch import nn
def build():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
"""


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (lambda own, other: {f"model.{k}": v for k, v in own.items()}, "the prefix 'model.'"),
        (lambda own, other: {"state_dict": {f"net.core.{k}": v for k, v in own.items()}}, "the prefix 'net.core.'"),
        (lambda own, other: {f"model.{k}": v for k, v in own.items()} | {"loss.w": other["0.bias"]}, "'loss.w'"),
        (lambda own, other: {"net": own, "ema": other}, "those of 'net', not of 'ema'"),
        (lambda own, other: {"ema": own, "epoch": 3}, "those of 'ema'"),
        (lambda own, other: {"model": {"state_dict": own}}, ""),
        (lambda own, other: own | {"total_ops": other["0.bias"], "0.total_params": other["0.bias"]}, "2 counters"),
    ],
)
def test_weights_are_found_in_checkpoints(wrap, said, tmp_path, caplog):
    (tmp_path / "net.py").write_text(BUILD)
    own, other = (
        {k: v + n for k, v in load_model(f"{tmp_path / 'net.py'}:build").module.state_dict().items()} for n in (1, 2)
    )
    torch.save(wrap(own, other), tmp_path / "w.pth")
    caplog.clear()
    found = load_model(f"{tmp_path / 'net.py'}:build", str(tmp_path / "w.pth")).module.state_dict()
    assert all(torch.equal(found[name], own[name]) for name in own)
    assert said in caplog.text


def test_weights_that_fit_in_two_ways_or_none_are_refused(tmp_path):
    (tmp_path / "net.py").write_text(BUILD)
    own = load_model(f"{tmp_path / 'net.py'}:build").module.state_dict()
    twice = {f"{side}.{k}": v.clone() for side in ("student", "teacher") for k, v in own.items()}
    part = {f"model.{k}": v for k, v in own.items() if k != "0.bias"}
    for weights, text in [(twice, "'student.' and 'teacher.'"), (part, "it lacks '0.weight' and 6 more")]:
        save_file(weights, tmp_path / "w.safetensors")
        with pytest.raises(ModelError, match=text):
            load_model(f"{tmp_path / 'net.py'}:build", str(tmp_path / "w.safetensors"))


def test_functions_and_modules_give_the_same_task():
    for form in (lambda f, y: F.sigmoid(y), lambda f, y: y.sigmoid_(), lambda f, y: torch.special.expit(y)):
        assert capture_activations(make_net(form), DATA).settings.task == "multilabel"


def test_a_capture_from_before_outputs_had_names_still_reads():
    """`tests/captures/before` was written before settings had an `output`, or a `grid`."""
    capture = open_capture(Path(__file__).parent / "captures" / "before")
    assert capture.settings.output == ""
    activations = capture.read_activations()
    assert activations.norms["1"].shape == (20, 4)
    assert activations.logits.shape == (20, 3)
    assert print_manifest(capture.manifest) == (capture.path / "manifest.json").read_text()
    named = replace(capture.manifest, settings=replace(capture.settings, output="output main"))
    assert '"output": "output main"' in print_manifest(named)
    check_capture(approximate_model(capture, target="label", min_leaf=2), capture, [])
