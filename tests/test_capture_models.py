"""Loading models: torchvision, a user's file, a module; and fingerprints."""

import os
import sys
import urllib.error
import warnings

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models as torchvision_models

from eric_fast.capture import fingerprint_model, load_model, wrap_model
from eric_fast.capture.models import make_unique
from eric_fast.errors import ModelError

FILE = """
import torch
from torch import nn
CLASSES = ["cat", "dog"]
def build():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
def transform():
    return lambda image: torch.zeros(3, 8, 8)
"""


FAILING = """
from torch import nn
transform = lambda: (lambda image: image)
class Net(nn.Module):
    def %s:
        1 / 0
def build():
    return Net()
"""


def check_line(error, *parts):
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert part in text


def test_random_torchvision_model_is_the_same_twice_and_leaves_the_generator_alone():
    state = torch.random.get_rng_state()
    a, b = (load_model("resnet18", "none") for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert a.fingerprint == b.fingerprint
    assert not a.module.training
    assert len(a.classes) == len(set(a.classes)) == 1000
    assert "crop_size=[224]" in a.transform_name
    assert "\n" not in a.transform_name


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_builders_that_warn_are_told_what_to_do(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load_model(name, "none").classes) == 1000


def test_weights_from_files(tmp_path):
    model = torchvision_models.mobilenet_v3_small(weights=None)
    weights = model.state_dict()
    save_file(weights, tmp_path / "w.safetensors")
    torch.save(weights, tmp_path / "w.pth")
    torch.save({"state_dict": {f"module.{k}": v for k, v in weights.items()}}, tmp_path / "wrapped.pth")
    found = {
        load_model("mobilenet_v3_small", str(tmp_path / f)).fingerprint
        for f in ("w.safetensors", "w.pth", "wrapped.pth")
    }
    assert found == {fingerprint_model(model)}


def test_fine_tuned_weights_have_their_own_number_of_outputs(tmp_path):
    save_file(torchvision_models.squeezenet1_1(weights=None, num_classes=7).state_dict(), tmp_path / "w.safetensors")
    model = load_model("squeezenet1_1", str(tmp_path / "w.safetensors"))
    assert model.classes is None
    assert model.module(torch.zeros(1, 3, 64, 64)).shape == (1, 7)


def test_googlenet_from_a_file_with_and_without_auxiliary_heads(tmp_path):
    for aux in (True, False):
        net = torchvision_models.googlenet(weights=None, init_weights=False, aux_logits=aux)
        torch.save(net.state_dict(), tmp_path / "w.pth")
        loaded = load_model("googlenet", str(tmp_path / "w.pth"))
        assert torch.equal(loaded.module.fc.weight, net.fc.weight)
        assert loaded.module.transform_input


class Evil:
    def __reduce__(self):
        return (open, ("/nonexistent/evil", "w"))


def test_hostile_and_wrong_weights(tmp_path):
    torch.save({"a": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0")
    torch.save([1, 2], tmp_path / "list.pth")
    archive = (tmp_path / "list.pth").read_bytes()
    (tmp_path / "odd.pth").write_bytes(archive.replace(b"PK\1\2", b"PK\0\2"))  # its list of members
    save_file({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    for file, part in [
        ("evil.pth", "more than tensors"),
        ("cut.safetensors", "damaged"),
        ("list.pth", "no state dict"),
        ("odd.pth", "damaged"),
        ("other.safetensors", "is not of model 'resnet18'"),
        ("absent.pth", "no such weights file"),
    ]:
        with pytest.raises(ModelError) as error:
            load_model("resnet18", str(tmp_path / file))
        check_line(error, file, part)


@pytest.mark.parametrize(
    ("name", "weights", "parts"),
    [
        ("resnet18", None, ["DEFAULT", "none", ".safetensors"]),
        ("resnet18", "best", ["'best'", "DEFAULT"]),
        ("resnet81", "none", ["'resnet18'"]),
        ("fcn_resnet50", "none", ["not an image classifier"]),
        ("quantized_resnet18", "none", ["not an image classifier"]),
        ("absent.py:build", None, ["absent.py", "no such file"]),
        ("absent.py", None, ["path/to/file.py:callable"]),
    ],
)
def test_unusable_names(name, weights, parts):
    with pytest.raises(ModelError) as error:
        load_model(name, weights)
    check_line(error, *parts)


@pytest.mark.parametrize(
    ("name", "weights", "part"),
    [
        ("a" * 300, "none", "not a torchvision model"),
        ("a" * 300 + ".py:build", None, "no such file"),
        ("resnet18", "a" * 300 + ".pth", "no such weights file"),
        ("resnet18", "", "--weights is empty: give DEFAULT, none, or a path"),
        ("net.py:build", "", "--weights is empty"),
        ("", "none", "'' is not a torchvision model"),
    ],
)
def test_empty_and_over_long_names(name, weights, part):
    with pytest.raises(ModelError) as error:
        load_model(name, weights)
    check_line(error, part)


def test_failed_download_names_the_remedy(monkeypatch):
    def fail(*args, **kwargs):
        raise urllib.error.URLError("no network\nhere")

    monkeypatch.setattr(torchvision_models, "get_model", fail)
    with pytest.raises(ModelError) as error:
        load_model("resnet18", "DEFAULT")
    check_line(error, "resnet18", "no network", "--weights path.safetensors")


def test_user_file(tmp_path):
    path = tmp_path / "random.py"  # must not hide the module of that name
    path.write_text(FILE)
    model = load_model(f"{path}:build")
    assert model.classes == ("cat", "dog")
    assert not model.module.training
    assert model.transform(None).shape == (3, 8, 8)
    assert "random" not in sys.modules or sys.modules["random"].__file__ != str(path)
    assert str(tmp_path) not in sys.path
    save_file({k: torch.ones_like(v) for k, v in model.module.state_dict().items()}, tmp_path / "w.safetensors")
    filled = load_model(f"{path}:build", str(tmp_path / "w.safetensors"))
    assert all(bool((v == 1).all()) for v in filled.module.state_dict().values())


def test_user_file_without_transform_is_warned_of(tmp_path, caplog):
    path = tmp_path / "net.py"
    path.write_text(FILE.split("def transform")[0])
    model = load_model(f"{path}:build", "none")
    assert "without normalisation" in caplog.text
    assert "ToDtype" in model.transform_name


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("def build(:", ["net.py", "SyntaxError"]),
        ("import no_such_module", ["net.py:1", "ModuleNotFoundError"]),
        ("raise SystemExit(3)", ["net.py:1", "SystemExit"]),
        ("def build():\n    raise ValueError('two\\nlines')", ["net.py:2", "build", "two"]),
        ("def build():\n    return 3", ["must return", "int"]),
        ("build = 3\ndef built(): pass", ["no callable 'build'", "'built'"]),
        ("def build(n): pass", ["TypeError"]),
        ("import sys\ndef build():\n    sys.exit(4)", ["net.py:3", "build fails (SystemExit: 4)"]),
        (FILE.replace('["cat", "dog"]', "3"), ["CLASSES", "or leave it out"]),
        (FILE.replace('["cat", "dog"]', "[]"), ["CLASSES", "or leave it out"]),
        (FILE.replace('["cat", "dog"]', "['cat', '']"), ["CLASSES", "or leave it out"]),
        (FAILING % "extra_repr(self)", ["can't be printed", "ZeroDivisionError", "fix its extra_repr()"]),
        (FAILING % "eval(self)", ["net.py:6", "eval() fails (ZeroDivisionError"]),
        (FAILING % "eval(self): import sys; sys.exit(0)\n    def other(self)", ["net.py:5", "SystemExit: 0"]),
        (FILE.replace("return lambda image: torch.zeros(3, 8, 8)", "return 3"), ["transform()"]),
    ],
)
def test_failing_user_files(tmp_path, text, parts):
    path = tmp_path / "net.py"
    path.write_text(text)
    known = set(sys.modules)
    with pytest.raises(ModelError) as error:
        load_model(f"{path}:build")
    check_line(error, *parts)
    if "net.py:1" in parts or "SyntaxError" in parts:  # nothing stays of a failed import
        assert not [name for name in set(sys.modules) - known if name.startswith("eric_fast_model")]


def test_the_failing_line_is_named_for_a_relative_path_too(tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    (tmp_path / "net.py").write_text("def build():\n    x = 1\n    return x / 0")
    monkeypatch.chdir(tmp_path / "below")
    for name in ("../net.py", ".././below/../net.py"):
        with pytest.raises(ModelError) as error:
            load_model(f"{name}:build")
        check_line(error, "net.py:3: build fails (ZeroDivisionError")


def test_a_file_whose_name_is_not_utf8(tmp_path):
    path = tmp_path / os.fsdecode(b"n\xe9t.py")
    path.write_text(FILE)
    model = load_model(f"{path}:build")
    assert model.name.endswith("n\\udce9t.py:build")


def test_user_file_has_no_default_weights_and_must_be_python(tmp_path):
    (tmp_path / "net.py").write_text(FILE)
    (tmp_path / "net.txt").write_text(FILE)
    for name, weights, part in [
        ("net.py:build", "DEFAULT", "no default weights"),
        ("net.txt:build", None, "not a Python"),
    ]:
        with pytest.raises(ModelError) as error:
            load_model(str(tmp_path / name), weights)
        check_line(error, part)


def test_wrapping_does_not_change_the_mode_of_the_callers_module():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    model = wrap_model(net, classes=["a", "a"])
    assert net.training
    assert not any(part.training for part in model.module.modules())
    assert model.classes == ("a", "a (1)")
    assert model.name == "Sequential"
    assert wrap_model(net.eval()).module is net
    assert wrap_model(nn.DataParallel(net)).module is net
    with pytest.raises(ModelError, match=r"torch\.nn\.Module, not str"):
        wrap_model("net")


def test_modules_and_transforms_that_fail_while_they_are_wrapped():
    class Sulky(nn.Module):
        def train(self, mode=True):
            raise ValueError("no")

        def __repr__(self):
            raise ValueError("two\nlines")

    with pytest.raises(ModelError) as error:
        wrap_model(Sulky())
    check_line(error, "can't be put in evaluation mode", "ValueError: no")
    with pytest.raises(ModelError) as error:
        wrap_model(nn.Conv2d(3, 4, 3).eval(), transform=Sulky())
    check_line(error, "transform can't be printed", "ValueError: two")


def test_names_stay_unique_where_a_number_is_already_taken():
    assert make_unique(["crane", "owl", "crane"]) == ("crane", "owl", "crane (2)")
    assert len(set(make_unique(["a (2)", "a", "a", "a"]))) == 4


def test_fingerprint_sees_architecture_names_dtypes_and_every_weight():
    def build(change=None, **kwargs):
        net = nn.Sequential(nn.Conv2d(3, 4, 3, **kwargs), nn.BatchNorm2d(4), nn.ReLU())
        with torch.no_grad():
            for i, tensor in enumerate(net.state_dict().values()):
                tensor.fill_(i + 1)
        if change is not None:
            change(net)
        return fingerprint_model(net)

    def bump(net, name):
        net.state_dict()[name].view(-1)[-1] += 1

    base = build()
    assert base == build()
    assert base == build(lambda net: net.to(memory_format=torch.channels_last))
    others = [
        build(lambda net: bump(net, "0.weight")),
        build(lambda net: bump(net, "1.num_batches_tracked")),
        build(stride=2),
        build(lambda net: net.append(nn.Identity())),
        build(lambda net: net.bfloat16()),
        build(lambda net: net.register_buffer("extra", torch.zeros(1))),
    ]
    assert len({base, *others}) == 7
    with pytest.raises(ModelError, match="can't be read"):
        fingerprint_model(nn.LazyConv2d(3, 3))


def test_the_name_of_a_transform_holds_no_address():
    names = {wrap_model(nn.Conv2d(1, 1, 1), lambda image: image).transform_name for _ in range(2)}
    assert len(names) == 1
    assert "0x" not in names.pop()
