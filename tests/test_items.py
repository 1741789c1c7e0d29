"""Data are read strictly: names before position, labels of every form, fixed orders, levels kept."""

import logging
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image, features
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)
from torchvision import transforms as T

from eric_fast.capture import capture_activations, open_data, wrap_model
from eric_fast.capture.data import _warn_of_dark_greys, convert_to_rgb
from eric_fast.capture.items import read_item
from eric_fast.capture.sources import pick_image
from eric_fast.errors import DataError
from eric_fast.explain import explain_image
from eric_fast.runs import approximate_model
from eric_fast.store.activations import UNKNOWN

IMAGES = torch.rand(30, 3, 12, 12, generator=torch.Generator().manual_seed(0))
A, B, DEPTH = IMAGES[0], IMAGES[1], torch.zeros(3, 12, 12)
Item = namedtuple("Item", "depth image y")


@dataclass
class Example:
    mask: torch.Tensor
    pixel_values: torch.Tensor
    labels: int


def make_model(**settings):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
        net = nn.Sequential(*parts).eval()
        with torch.no_grad():  # answers of all classes
            net[4].weight.mul_(100)
            net[4].bias -= net(IMAGES).mean(0)
        return wrap_model(net, **settings)


class Items(Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


@pytest.mark.parametrize(
    "item",
    [
        A,
        (A, 2),
        [A, 2, "more"],
        {"depth": DEPTH, "image": A, "label": 2},
        {"depth": DEPTH, "img": A, "target": 2},
        {"x": A, "image_id": 7, "y": 2},
        {"mask": DEPTH, "pixel_values": A, "labels": 2},
        {"picture": A, "label": 2},
        Item(DEPTH, A, 2),
        Example(DEPTH, A, 2),
    ],
)
def test_images_are_found_by_name_before_position(item):
    sample = read_item(item, "item 0")
    assert torch.equal(sample.image, A)
    assert sample.label == (UNKNOWN if item is A else 2)


@pytest.mark.parametrize(
    ("parts", "label"),
    [
        ((16_000, "yes", "speaker", 0), "yes"),
        ((torch.tensor(8_000), [0, 1]), (False, True)),
        ((44_100,), UNKNOWN),
        ((3, "speaker"), 3),
    ],
)
def test_the_sample_rate_of_sound_is_no_label(parts, label):
    sample = read_item((torch.zeros(1, 50), *parts), "item 0")
    assert sample.image.shape == (1, 50)
    assert sample.label == label
    assert read_item((A, 16_000, "yes"), "item 0").label == 16_000  # an image has none


def test_several_images_without_a_name_are_refused():
    with pytest.raises(
        DataError, match="item 0 has several images, 'left', 'right'; call the one for the network 'image'"
    ):
        read_item({"left": A, "right": B, "label": 1}, "item 0")


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (2, 2),
        (np.int64(2), 2),
        (torch.tensor(2), 2),
        (torch.tensor([2]), 2),
        (np.array(2.0), 2),
        (2.0, 2),
        (True, 1),
        ("cat", "cat"),
        (np.str_("cat"), "cat"),
        (torch.tensor([0, 0, 1]), (False, False, True)),
        (np.array([0.0, 1.0]), (False, True)),
        ([0, 0, 1], (False, False, True)),
        ([False, True], (False, True)),
        (torch.tensor([1, 0, 1]), (True, False, True)),
        ([1, 2, 0], UNKNOWN),
        ([0.2, 0.8], UNKNOWN),
        ([0.5, 1], UNKNOWN),
        (["a", "b"], {"a", "b"}),
        (("a",), {"a"}),
        ([], frozenset()),
        (0.5, UNKNOWN),
        (-3, UNKNOWN),
        (float("nan"), UNKNOWN),
        (float("inf"), UNKNOWN),
        (torch.zeros(2, 2), UNKNOWN),
        (None, UNKNOWN),
        ({}, UNKNOWN),
    ],
)
def test_labels_of_every_form(value, label):
    assert read_item((A, value), "item 0").label == label


@pytest.mark.parametrize("workers", [0, 2])
def test_names_are_the_models_classes(workers, caplog):
    names = ["emu", "cat", "dog", "yak"]
    data = Items([(image, names[i % 4]) for i, image in enumerate(IMAGES[:8])])
    found = capture_activations(make_model(classes=["cat", "dog", "emu"]), data, batch_size=3, workers=workers)
    assert found.labels.tolist() == [2, 0, 1, UNKNOWN] * 2
    assert "'yak'" in caplog.text
    data.classes = ["emu", "cat", "dog", "yak"]
    assert capture_activations(make_model(classes=["cat", "dog", "emu"]), data).labels.tolist() == [2, 0, 1, -1] * 2
    program = approximate_model(found, min_leaf=2)
    assert explain_image(program, make_model(classes=["cat", "dog", "emu"]), open_data(data), 1).label == 0
    batches = DataLoader(data, batch_size=3, collate_fn=lambda items: tuple(zip(*items, strict=True)))
    assert capture_activations(make_model(classes=["cat", "dog", "emu"]), batches).labels.tolist() == [2, 0, 1, -1] * 2


def test_several_classes_are_unknown_where_the_model_answers_with_one(caplog):
    several = [torch.tensor([0, 1, 0]), torch.tensor([1, 1, 0]), ["dog"], ["dog", "cat"]]
    found = capture_activations(
        make_model(classes=["cat", "dog", "emu"]), Items(list(zip(IMAGES[:4], several, strict=True)))
    )
    assert found.labels.tolist() == [1, UNKNOWN, 1, UNKNOWN]
    assert "the labels of 2 images are unknown, as they have several classes or none" in caplog.text


def test_what_is_read_as_what_is_said_once(caplog):
    caplog.set_level(logging.INFO)
    open_data(Items([{"depth": DEPTH, "image": A, "label": 0.25}] * 5))
    assert caplog.text.count("the image is 'image', the label 'label'") == 1
    assert caplog.text.count("labels are unknown, as 'label' is 0.25") == 1


class Reversed(Sampler):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(range(self.n - 1, -1, -1))

    def __len__(self):
        return self.n


class Sneaky(Reversed):
    """Shuffles by a generator that no class of torch shows."""

    def __init__(self, n):
        super().__init__(n)
        self.random = np.random.default_rng(0)

    def __iter__(self):
        return iter(self.random.permutation(self.n).tolist())


LABELLED = TensorDataset(IMAGES, torch.arange(30) % 3)


@pytest.mark.parametrize(
    "settings",
    [
        {"shuffle": True},
        {"sampler": SubsetRandomSampler(range(30))},
        {"sampler": WeightedRandomSampler([1.0] * 30, 30)},
        {"sampler": RandomSampler(LABELLED, generator=torch.Generator().manual_seed(0))},
        {"sampler": Sneaky(30)},
        {"sampler": Sneaky(2)},
        {"batch_sampler": BatchSampler(Sneaky(30), 4, drop_last=False)},
        {"sampler": Sneaky(30), "collate_fn": lambda items: torch.utils.data.default_collate(items)},
    ],
)
def test_orders_that_change_are_refused(settings):
    state = torch.random.get_rng_state()
    with pytest.raises(DataError, match=r"the loader shuffles \(\w+\).*shuffle=False"):
        open_data(DataLoader(LABELLED, **settings))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("make", "order"),
    [
        (lambda: DataLoader(LABELLED, batch_size=7), range(30)),
        (lambda: DataLoader(LABELLED, batch_size=7, sampler=Reversed(30)), range(29, -1, -1)),
        (lambda: DataLoader(LABELLED, batch_size=None, sampler=Reversed(9)), range(8, -1, -1)),
        (lambda: DataLoader(LABELLED, batch_sampler=[[4, 2], [1]]), [4, 2, 1]),
        (lambda: DataLoader(LABELLED, sampler=SequentialSampler(range(5)), batch_size=2), range(5)),
        (lambda: DataLoader(Subset(LABELLED, [7, 3]), batch_size=2), None),
    ],
)
def test_ids_name_the_items_of_a_fixed_order(make, order):
    data = open_data(make())
    assert data.ids == (("0", "1") if order is None else tuple(f"{i:02d}" for i in order))
    items = [7, 3] if order is None else list(order)
    assert all(torch.equal(data.load_image(i), IMAGES[item]) for i, item in enumerate(items))


def test_an_order_with_repeats_stays_a_stream():
    data = open_data(DataLoader(LABELLED, batch_sampler=[[4, 4], [1]]))
    assert data.is_stream
    assert len(data) == 3


def test_a_bypassed_transform_is_said(caplog):
    normal = T.Compose([T.ToTensor(), T.Normalize([0.5] * 3, [0.25] * 3)])
    pictures = [T.ToPILImage()(image) for image in IMAGES[:4]]
    tensors = Items([(T.ToTensor()(picture), 0) for picture in pictures])
    capture_activations(make_model(transform=normal), tensors)
    assert "the model's transform, Compose" in caplog.text
    assert "is not applied" in caplog.text
    caplog.clear()
    tensors.transform = normal  # as if it had made them
    capture_activations(make_model(transform=normal), tensors)
    capture_activations(make_model(), tensors)
    capture_activations(make_model(transform=normal), Items(pictures))
    assert caplog.text == ""
    capture_activations(make_model(), Items(pictures))
    assert "has no transform" in caplog.text


def test_levels_of_float_and_wide_greys(tmp_path, caplog):
    ramp = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    found = np.asarray(convert_to_rgb(Image.fromarray(ramp)))
    assert found[:, :, 0].ravel().tolist() == list(range(256))
    (tmp_path / "a").mkdir()
    for name, values in [("high", ramp * 2), ("low", -ramp), ("nan", ramp * np.float32("nan"))]:
        Image.fromarray(values).save(tmp_path / "a" / f"{name}.tiff")
    data = open_data(tmp_path)
    for i in range(3):
        with pytest.raises(DataError, match=r"\.tiff: has float values from .* scale them to 0\.\.1"):
            data.load_image(i)
    _warn_of_dark_greys.cache_clear()
    assert caplog.text == ""
    wide = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert len(np.unique(np.asarray(convert_to_rgb(Image.fromarray(wide))))) == 256
    assert caplog.text == ""
    for _ in range(2):
        convert_to_rgb(Image.fromarray(wide[:16]))  # up to 4,095
    assert caplog.text.count("as if it had 12") == 1


@pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")
def test_avif(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("RGB", (8, 8), (200, 10, 10)).save(tmp_path / "a" / "x.avif")
    assert open_data(tmp_path).load_image(0).size == (8, 8)


def save(path, value=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 12), (value, 50, 255 - value)).save(path)
    return path


def test_images_without_classes(tmp_path, caplog):
    for i in range(3):
        save(tmp_path / f"{i}.png", 80 * i)
    data = open_data(tmp_path)
    assert data.ids == ("0.png", "1.png", "2.png")
    assert "labels of its 3 images are unknown" in caplog.text
    one = open_data(str(tmp_path / "1.png"))
    model = make_model(classes=["a", "b", "c"], transform=T.ToTensor())
    for source, numbers in [(data, [0, 1, 2]), (one, [1])]:
        found = capture_activations(model, source)
        assert found.labels.tolist() == [UNKNOWN] * len(numbers)
        expected = [int(model.module(T.ToTensor()(data.load_image(i))[None]).argmax()) for i in numbers]
        assert found.predictions.tolist() == expected


def test_csv_lists_images_and_labels(tmp_path):
    for name in ("in/1.png", "in/2.png", "3.png", "4.png"):
        save(tmp_path / name)
    table = tmp_path / "photos.csv"
    table.write_text(f"label,path,note\ncat,in/2.png,x\nemu,3.png,\n,{tmp_path / '4.png'},\ncat,in/1.png,\n")
    data = open_data(table)
    assert data.ids == ("in/2.png", "3.png", str(tmp_path / "4.png"), "in/1.png")
    assert data.folders == ("cat", "emu")
    model = make_model(classes=["dog", "emu", "cat"], transform=T.ToTensor())
    assert capture_activations(model, str(table)).labels.tolist() == [2, 1, UNKNOWN, 2]
    assert pick_image(f"{table}#3.png")[1] == 1
    table.write_text("path,label\n3.png,2\n4.png,0\n")
    assert capture_activations(model, table).labels.tolist() == [2, 0]
    table.write_text("\ufefffilename\n3.png\n", encoding="utf-8")
    assert capture_activations(model, table).labels.tolist() == [UNKNOWN]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "has no column 'path', only none"),
        ("name,label\n3.png,1\n", "only 'name', 'label'"),
        ("path,label\n", "lists no images"),
        ("path,label\n3.png,1\n,2\n", "photos.csv:3 has no path"),
        ("path,label\n3.png,1,4\n", "photos.csv:2 has more values than columns"),
        ("path\n3.png\n3.png\n", "lists the image '3.png' twice"),
    ],
)
def test_unusable_csv_files(tmp_path, text, part):
    (tmp_path / "photos.csv").write_text(text)
    with pytest.raises(DataError, match=part):
        open_data(tmp_path / "photos.csv")
