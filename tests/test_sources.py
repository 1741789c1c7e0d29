"""Data sets other than folders: torch's, torchvision's, Hugging Face's, tar files; by object and by name."""

import gc
import io
import json
import struct
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, Subset
from torchvision import datasets as vision

from eric_fast.capture import ImageData, capture_activations, open_data
from eric_fast.capture.tars import expand_tars
from eric_fast.capture.torchvision_sets import SETS
from eric_fast.errors import DataError
from eric_fast.store.activations import UNKNOWN
from tests.optional import import_optional
from tests.test_capture_run import SCALE, make_folder, make_net, wrap_model

NAMES = ("cat", "dog", "owl")


def encode(image, kind="PNG"):
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def make_images(n, size=(12, 10)):
    rng = np.random.default_rng(3)
    return [Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)) for _ in range(n)]


def write_tar(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def model():
    return wrap_model(make_net(), SCALE, NAMES, "tiny")


def assert_equal_captures(found, expected):
    assert all(torch.equal(found.norms[layer], expected.norms[layer]) for layer in expected.layers)
    assert torch.equal(found.predictions, expected.predictions)
    assert found.labels.tolist() == expected.labels.tolist()


class Items:
    """A data set by number."""

    def __init__(self, items, **attributes):
        self.items = items
        vars(self).update(attributes)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        if isinstance(self.items[index], Exception):
            raise self.items[index]
        return self.items[index]


class Stream(IterableDataset):
    def __init__(self, items):
        self.items = items
        self.n_read = 0

    def __iter__(self):
        for item in self.items:
            self.n_read += 1
            if isinstance(item, Exception):
                raise item
            yield item


def fork_items(image, label):
    """One image and its label as data sets give them."""
    array = np.asarray(image)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    return {
        "tuple": (image, label),
        "three": (image, torch.tensor(label), "more"),
        "array": (array, np.int64(label)),
        "uint8": [tensor, label],
        "mapping": {"__key__": "x", "jpg": image, "cls": label},
        "float": (SCALE(image).permute(1, 2, 0).contiguous().permute(2, 0, 1), label),
    }


@pytest.mark.parametrize("kind", fork_items(Image.new("RGB", (1, 1)), 0))
def test_items_of_every_kind_give_what_a_folder_gives(model, tmp_path, kind):
    folder = open_data(make_folder(tmp_path / "data"))
    expected = capture_activations(model, folder, device="cpu", batch_size=4)
    samples = [folder.load_sample(i) for i in range(len(folder))]
    found = capture_activations(
        model, Items([fork_items(*sample)[kind] for sample in samples], classes=NAMES), device="cpu", batch_size=4
    )
    assert_equal_captures(found, expected)
    assert found.ids[:2] == ("00", "01")
    own = kind == "float"
    assert found.settings.preprocessing == ("of the data: Items" if own else expected.settings.preprocessing)
    assert found.settings.data == "Items"


def test_torchvision_sets_and_subsets(model, caplog):
    whole = vision.FakeData(9, (3, 12, 10), num_classes=3)
    found = capture_activations(model, Subset(whole, [4, 2, 7]), device="cpu")
    assert found.labels.tolist() == [int(whole[i][1]) for i in (4, 2, 7)]
    ready = vision.FakeData(9, (3, 12, 10), num_classes=3, transform=SCALE)
    again = capture_activations(model, Subset(ready, [4, 2, 7]), device="cpu")
    assert_equal_captures(again, found)
    assert again.settings.preprocessing.startswith("of the data: Compose(")
    assert not caplog.records
    many = vision.FakeData(9, (3, 12, 10), num_classes=1000)
    labels = capture_activations(model, many, device="cpu").labels
    assert labels.tolist() == [UNKNOWN] * 9
    assert "the model has 3 outputs" in caplog.text


def test_loaders_are_taken_apart_and_cut_again(model, tmp_path):
    items = [(SCALE(image), i % 3) for i, image in enumerate(make_images(11))]
    expected = capture_activations(model, Items(items), device="cpu", batch_size=4)
    plain = open_data(DataLoader(Items(items), batch_size=3, num_workers=1))
    assert (plain.workers, plain.is_stream) == (1, False)
    streams = [
        DataLoader(Items(items), batch_size=3, collate_fn=lambda batch: torch.utils.data.default_collate(batch)),
        DataLoader(Stream(items), batch_size=3),
        DataLoader(Stream([{"image": image, "label": label} for image, label in items]), batch_size=2),
        DataLoader(Stream(items), batch_size=None),
        Stream(items),
    ]
    for source in (plain, *streams):
        assert open_data(source).is_stream == (source is not plain)
        assert_equal_captures(capture_activations(model, source, device="cpu", batch_size=4), expected)
    some = capture_activations(model, Stream(items), device="cpu", limit=3)
    assert some.ids == ("00", "03", "07")
    assert torch.allclose(some.norms["4"], expected.norms["4"][[0, 3, 7]], atol=1e-6)
    dropping = DataLoader(Items(items), batch_size=3, drop_last=True)
    assert len(open_data(dropping)) == capture_activations(model, dropping, device="cpu").n_images == 9
    with pytest.raises(DataError, match="the loader shuffles.*shuffle=False"):
        open_data(DataLoader(Items(items), shuffle=True))


def test_a_stream_is_read_in_order_and_only_as_far_as_needed():
    source = Stream([(image, 0) for image in make_images(8)])
    data = open_data(source)
    source.n_read = 0
    assert [data.load_sample(i).label for i in (2, 3, 6)] == [0, 0, 0]
    assert source.n_read == 7
    data.load_sample(1)  # from the beginning
    assert source.n_read == 9


def test_bad_items_are_named_and_left_out(model):
    items = [(image, i % 3) for i, image in enumerate(make_images(7))]
    items[0], items[4] = OSError("broken data stream"), ValueError("two\nlines")
    with pytest.raises(
        DataError, match=r"item 0 of Items can't be read \(OSError: broken data stream\).*--skip-bad"
    ) as error:
        capture_activations(model, Items(items), device="cpu")
    assert "\n" not in str(error.value)
    found = capture_activations(model, DataLoader(Items(items), 2), device="cpu", skip_bad_images=True)
    assert found.ids == tuple("12356")
    assert found.labels.tolist() == [1, 2, 0, 2, 0]
    assert found.settings.n_bad_images == 2
    with pytest.raises(DataError, match="fails after 4 items .ValueError: two.; give a data set with items by number"):
        capture_activations(model, Stream(items[1:4] + items[1:2] + [items[4]]), device="cpu", skip_bad_images=True)


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (7, "data can't be a int"),
        ((x for x in ()), "data can't be a generator"),
        (Items([("cat.png", 0)]), "item 0 of Items is not an image but tuple; items must be images"),
        (Items([torch.zeros(())]), r"is not an image but torch.float32 \[\]"),
        (Items([torch.zeros(5, 4, 4, dtype=torch.uint8)]), "has 5 channels of uint8"),
        (Items([]), "Items has no images"),
        (Stream([]), "Stream has no images"),
        (Items([Image.new("L", (4, 4)), torch.zeros(1, 4, 4)]), "has both tensors and images"),
    ],
)
def test_data_sets_that_cannot_be_used(model, data, part):
    with pytest.raises(DataError, match=part):
        capture_activations(wrap_model(make_net(), SCALE), data, device="cpu", skip_bad_images=True)


def test_a_stream_shorter_than_its_length(model):
    short = Stream([(image, 0) for image in make_images(3)])
    short.__class__ = type("Short", (Stream,), {"__len__": lambda self: 5})
    with pytest.raises(DataError, match="Short ends before item 3; its length must be"):
        capture_activations(model, short, device="cpu")


def write_mnist(root, split, n=5):
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    pixels = np.arange(n * 28 * 28, dtype=np.uint8).reshape(n, 28, 28)
    stem = {"train": "train", "test": "t10k"}[split]
    (raw / f"{stem}-images-idx3-ubyte").write_bytes(struct.pack(">HBB3I", 0, 8, 3, n, 28, 28) + pixels.tobytes())
    (raw / f"{stem}-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, n) + bytes(range(n)))
    return pixels


def test_torchvision_sets_by_name(tmp_path):
    for split in ("train", "test"):
        pixels = write_mnist(tmp_path, split)
    data = open_data(f"mnist:{tmp_path}/test")
    assert data.name == f"mnist:{tmp_path}/test"
    assert data.folders[3] == "3 - three"
    assert [data.load_sample(i).label for i in range(5)] == [0, 1, 2, 3, 4]
    assert np.array_equal(np.asarray(data.load_image(2)), pixels[2])
    for name, part in [
        (f"mnits:{tmp_path}/test", "'mnits' in .* is not a kind of data; did you mean 'mnist'"),
        (f"mnist:{tmp_path}/tset", "must end in a split: write mnist:ROOT/train; did you mean 'test'"),
        ("mnist:test", "must end in a split"),
        (f"mnist:{tmp_path}/gone/test", "can't be read .Dataset not found.*; give the folder that torchvision"),
        (f"cifar10:{tmp_path}/test", "pickles, which can contain code"),
        (f"stl10:{tmp_path}/test", "can't be read"),
    ]:
        with pytest.raises(DataError, match=part) as error:
            open_data(name)
        assert "\n" not in str(error.value)


def test_every_named_set_has_its_splits(tmp_path):
    """Each class knows its splits, and refuses before it looks for files where it doesn't."""
    for kind, (_, splits) in SETS.items():
        for split in splits:
            with pytest.raises(DataError, match="can't be read") as error:
                open_data(f"{kind}:{tmp_path}/{split}")
            assert "nknown value" not in str(error.value), (kind, split)
            assert "unexpected keyword" not in str(error.value), kind


def test_names_that_are_nearly_right(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path / "photos")
    for name, part in [("digits/tran", "did you mean 'digits/train'"), ("photo", "did you mean 'photos'")]:
        with pytest.raises(DataError, match=part):
            open_data(name)
    (tmp_path / "photos").rename(tmp_path / "mnist:b")  # what is there is meant first
    assert len(open_data("mnist:b")) == 15


@pytest.fixture
def sharded(tmp_path):
    """Three tars in WebDataset's layout, of 15 images, and the folder that they hold."""
    folder = open_data(make_folder(tmp_path / "data"))
    for shard in range(3):
        members = []
        for i in range(shard * 5, shard * 5 + 5):
            image, label = folder.load_sample(i)
            members += [(f"{i:04d}.cls", str(label).encode()), (f"{i:04d}.png", encode(image))]
            members += [(f"{i:04d}.json", b"{}"), (f"{i:04d}.mask.png", encode(Image.new("L", (3, 3))))]
        write_tar(tmp_path / "tars" / f"shard-{shard:03d}.tar", members)
    return tmp_path


def test_webdataset_tars_give_what_the_folder_gives(model, sharded):
    expected = capture_activations(model, open_data(sharded / "data"), device="cpu", batch_size=4)
    for pattern in ("shard-{000..002}.tar", "shard-*.tar", "shard-00{0,1,2}.tar"):
        data = open_data(f"{sharded}/tars/{pattern}")
        assert data.ids[4:6] == ("shard-000.tar/0004.png", "shard-001.tar/0005.png")
        found = capture_activations(model, data, device="cpu", batch_size=4, workers=1)
        assert_equal_captures(found, expected)
    assert open_data(sharded / "tars" / "shard-002.tar").ids[0] == "0010.png"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves its files open
def test_webdataset_pipelines_are_streams(model, sharded):
    wds = import_optional("webdataset")
    expected = capture_activations(model, open_data(sharded / "data"), device="cpu", batch_size=4)
    pipeline = wds.WebDataset([f"{sharded}/tars/shard-{i:03d}.tar" for i in range(3)], shardshuffle=False)
    streamed = pipeline.decode("pil").to_tuple("png", "cls")
    assert_equal_captures(capture_activations(model, streamed, device="cpu", batch_size=4), expected)
    gc.collect()


def test_a_tar_of_class_folders(model, tmp_path):
    folder = open_data(make_folder(tmp_path / "data"))
    expected = capture_activations(model, folder, device="cpu", batch_size=4)
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(tmp_path / "data", "./root/train")
    data = open_data(tmp_path / "photos.tar")
    assert data.folders == NAMES
    assert sorted(data.ids)[0] == "root/train/cat/0.png"
    order = [data.ids.index(f"root/train/{name}") for name in folder.ids]
    found = capture_activations(model, data, device="cpu", batch_size=15)
    assert found.labels[order].tolist() == expected.labels.tolist()
    assert torch.allclose(found.norms["4"][order], expected.norms["4"], atol=1e-6)
    one = write_tar(tmp_path / "one.tar", [(f"x/cat/{i}.a.png", encode(make_images(1)[0])) for i in range(2)])
    assert open_data(one).folders == ("cat",)
    loose = write_tar(tmp_path / "loose.tar", [("a.b.png", b""), ("a.c.png", b""), ("._a.png", b""), ("t.txt", b"")])
    assert open_data(loose).ids == ("a.b.png", "a.c.png")
    assert open_data(loose).folders == ()
    named = write_tar(tmp_path / "named.tar", [("0.cls", b"owl\n"), ("0.png", b""), ("1.png", b""), ("1.cls", b"cat")])
    assert open_data(named).folders == ("cat", "owl")


def test_bad_images_in_tars_and_rows(model, tmp_path):
    images = [encode(image) for image in make_images(6)]
    images[2] = images[2][:40]
    images[4] = b""
    path = write_tar(tmp_path / "x.tar", [(f"d/{NAMES[i % 3]}/{i}.png", image) for i, image in enumerate(images)])
    with pytest.raises(DataError, match=r"x\.tar: d/owl/2\.png can't be read \(.*--skip-bad-images"):
        capture_activations(model, open_data(path), device="cpu")
    found = capture_activations(model, open_data(path), device="cpu", skip_bad_images=True, workers=1)
    assert found.ids == tuple(f"d/{NAMES[i % 3]}/{i}.png" for i in (0, 1, 3, 5))
    data = open_data(path)
    path.write_bytes(path.read_bytes()[:2048])  # cut off while the capture runs
    with pytest.raises(DataError, match=r"5\.png can't be read"):
        data.load_sample(5)


def test_tars_that_cannot_be_used(tmp_path):
    whole = write_tar(tmp_path / "whole.tar", [("a/1.png", b"x" * 5000), ("a/2.png", b"y")]).read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:3000])
    (tmp_path / "text.tar").write_text("no tar" * 1000)
    with tarfile.open(tmp_path / "packed.tar", "w:gz") as tar:
        tar.add(tmp_path / "text.tar", "a/1.png")
    write_tar(tmp_path / "none.tar", [("a.txt", b"x")])
    write_tar(tmp_path / "twice.tar", [("a/1.png", b"x"), ("a/1.png", b"x")])
    for name, part in [
        ("cut.tar", "damaged .unexpected end of data"),
        ("text.tar", "is not a tar file"),
        ("packed.tar", "is not a tar file, is compressed, or is damaged"),
        ("x.tar.gz", "is compressed, so its images can't be read by number"),
        ("none.tar", "has no images"),
        ("twice.tar", "two images have the name 'a/1.png'"),
        ("whol.tar", r"whol\.tar: there is no such tar file; did you mean .*whole\.tar'"),
        ("gone-{0..3}.tar", r"gone-0\.tar: there is no such tar file"),
        ("gone*.tar", "there is no such tar file"),
        ("gone/x.tar", "there is no such tar file; give uncompressed .tar files"),
    ]:
        with pytest.raises(DataError, match=part) as error:
            open_data(f"{tmp_path}/{name}")
        assert "\n" not in str(error.value)


def test_braces_are_those_of_a_shell(tmp_path):
    for name in ("s-08", "s-09", "s-10", "a1", "b1"):
        write_tar(tmp_path / f"{name}.tar", [])
    names = [path.stem for path in expand_tars(f"{tmp_path}/s-{{08..10}}.tar")]
    assert names == ["s-08", "s-09", "s-10"]
    assert [path.stem for path in expand_tars(f"{tmp_path}/{{a,b}}{{1..1}}.tar")] == ["a1", "b1"]


@pytest.fixture(scope="module")
def hugging():
    return import_optional("datasets")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_hugging_face_sets_give_what_a_folder_gives(hugging, model, tmp_path):
    folder = open_data(make_folder(tmp_path / "data"))
    expected = capture_activations(model, folder, device="cpu", batch_size=4)
    samples = [folder.load_sample(i) for i in range(len(folder))]
    features = hugging.Features(
        {"id": hugging.Value("int64"), "img": hugging.Image(), "label": hugging.ClassLabel(names=list(NAMES))}
    )
    content = {"id": list(range(15)), "img": [s.image for s in samples], "label": [s.label for s in samples]}
    made = hugging.Dataset.from_dict(content, features=features)
    found = capture_activations(model, made, device="cpu", batch_size=4, workers=1)
    assert_equal_captures(found, expected)
    made.save_to_disk(tmp_path / "saved")
    hugging.DatasetDict({"train": made, "test": made.select(range(3))}).save_to_disk(tmp_path / "splits")
    assert_equal_captures(capture_activations(model, f"hf:{tmp_path}/saved", device="cpu", batch_size=4), expected)
    assert len(open_data(f"hf:{tmp_path}/splits:test")) == 3
    ready = made.with_transform(lambda rows: {"x": [SCALE(image) for image in rows["img"]], "label": rows["label"]})
    streamed = made.to_iterable_dataset()
    for source in (ready, streamed, DataLoader(ready, 2)):
        again = capture_activations(model, source, device="cpu", batch_size=4)
        assert torch.equal(again.norms["4"], expected.norms["4"])
        assert again.labels.tolist() == [s.label for s in samples]
    named = hugging.Dataset.from_dict({"image": [s.image for s in samples], "label": [NAMES[s.label] for s in samples]})
    named = named.cast_column("image", hugging.Image())
    assert_equal_captures(capture_activations(model, named, device="cpu", batch_size=4), expected)
    for name, part in [
        ("splits", "has several splits.*there are 'train', 'test'"),
        ("splits:tset", "has no split 'tset'; did you mean 'test'"),
        ("saved:other", "single data set without splits; leave ':other' out"),
        ("nowhere", "can't be loaded"),
    ]:
        with pytest.raises(DataError, match=part) as error:
            open_data(f"hf:{tmp_path}/{name}")
        assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="data is a dict of splits; give one of them: train"):
        open_data(hugging.DatasetDict({"train": made}))


def test_bad_rows_and_columns_of_hugging_face_sets(hugging, model):
    images = [{"bytes": encode(image), "path": None} for image in make_images(4)]
    images[1]["bytes"] = images[1]["bytes"][:50]
    images[2] = None
    features = hugging.Features({"image": hugging.Image(), "label": hugging.Value("int64")})
    made = hugging.Dataset.from_dict({"image": images, "label": [2, 1, 0, -1]}, features=features)
    with pytest.raises(DataError, match="image '1' of datasets.Dataset can't be read"):
        capture_activations(model, made, device="cpu")
    found = capture_activations(model, made, device="cpu", skip_bad_images=True)
    assert (found.ids, found.labels.tolist()) == (("0", "3"), [2, UNKNOWN])
    with pytest.raises(DataError, match="no column of images, only a"):
        open_data(hugging.Dataset.from_dict({"a": [1]}))
    two = hugging.Dataset.from_dict(
        {"a": images, "b": images}, features=hugging.Features({"a": hugging.Image(), "b": hugging.Image()})
    )
    with pytest.raises(DataError, match="several columns of images, a, b; rename one to 'image'"):
        open_data(two)


def test_without_hugging_face(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(DataError, match=r"install 'eric-fast\[datasets\]'"):
        open_data("hf:beans")


def test_names_on_the_command_line(eric, refuse, sharded):
    network = sharded / "net.py"
    network.write_text(
        "from torch import nn\ndef build():\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(320, 3)).eval()\n"
    )
    arguments = [f"{network}:build", f"{sharded}/tars/shard-{{000..002}}.tar", "-o", sharded / "c"]
    code, out, _ = eric("capture", *arguments, "--memory-format", "channels-last", "--dtype", "autocast-bfloat16")
    assert code == 0
    assert "captured 15 images" in out
    settings = json.loads((sharded / "c" / "manifest.json").read_text())["settings"]
    assert (settings["memory_format"], settings["dtype"]) == ("channels-last", "autocast-bfloat16")
    assert "did you mean 'mnist'" in refuse("capture", f"{network}:build", "mnits:x/test", "-o", sharded / "d")


def test_an_image_data_comes_back_as_it_is():
    data = open_data("digits/test")
    assert isinstance(data, ImageData)
    assert open_data(data) is data
