"""Image folders and the digits."""

import os

import numpy as np
import pytest
from PIL import Image

from eric_fast.capture import ImageData, Sample, open_data
from eric_fast.capture.labels import find_label, match_labels
from eric_fast.errors import DataError
from eric_fast.store.activations import UNKNOWN


def save_image(path, mode="RGB", size=(6, 5), value=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode in ("L", "P", "I;16") else (value,) * len(mode)).save(path)


def check_line(error, *parts):
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


def test_folder_is_sorted_by_class_and_path(tmp_path, caplog):
    for name in ["b/z.PNG", "b/a.png", "a/deep/er/x.jpeg", "a/y.JPG", "a/.hidden.png", ".git/c.png", "a/notes.txt"]:
        save_image(tmp_path / name) if not name.endswith("txt") else (tmp_path / name).write_text("x")
    save_image(tmp_path / "loose.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "b" / "link.png").symlink_to(tmp_path / "a" / "y.JPG")
    (tmp_path / "b" / "round").symlink_to(tmp_path / "b")
    data = open_data(tmp_path)
    assert data.ids == ("a/deep/er/x.jpeg", "a/y.JPG", "b/a.png", "b/link.png", "b/z.PNG")
    assert data.folders == ("a", "b")
    assert data.folder_labels == (0, 0, 1, 1, 1)
    assert len(data) == 5
    assert data.name == str(tmp_path)
    assert data.load_image(3).size == (6, 5)
    assert "empty has no images" in caplog.text
    assert "1 images outside of class folders" in caplog.text


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "png"), ("CMYK", "jpg"), ("RGBA", "png"), ("P", "png"), ("LA", "png")]
)
def test_every_mode_becomes_rgb(tmp_path, mode, suffix):
    save_image(tmp_path / "a" / f"x.{suffix}", mode)
    assert open_data(tmp_path).load_image(0).mode == "RGB"


def test_palette_with_transparency_and_sixteen_bit_grey(tmp_path):
    (tmp_path / "a").mkdir()
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(tmp_path / "a" / "p.png", transparency=b"\x00\xff")
    Image.fromarray(np.full((2, 2), 0x8000, dtype=np.uint16)).save(tmp_path / "a" / "wide.png")
    data = open_data(tmp_path)
    assert data.load_image(0).getpixel((0, 0)) == (10, 20, 30)
    assert data.load_image(1).getpixel((0, 0)) == (128, 128, 128)


def test_damaged_images_are_named(tmp_path):
    save_image(tmp_path / "a" / "cut.jpg", size=(64, 64))
    whole = (tmp_path / "a" / "cut.jpg").read_bytes()
    (tmp_path / "a" / "cut.jpg").write_bytes(whole[: len(whole) * 3 // 4])
    (tmp_path / "a" / "empty.png").write_bytes(b"")
    (tmp_path / "a" / "text.png").write_text("not an image")
    data = open_data(tmp_path)
    for i, name in enumerate(["cut.jpg", "empty.png", "text.png"]):
        with pytest.raises(DataError) as error:
            data.load_image(i)
        check_line(error, name, "can't be read (")
        assert "skip-bad-images" not in str(error.value)  # the remedy, which capture adds where it refuses the image


def test_unusable_folders(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "void").mkdir()
    (tmp_path / "hollow" / "a").mkdir(parents=True)
    for name, part in [
        ("absent", "no such folder"),
        ("file", "not a folder"),
        ("void", "no sub-folder with images"),
        ("hollow", "no sub-folder with images"),
        ("a" * 300, "can't be read (File name too long); give a folder"),
    ]:
        with pytest.raises(DataError) as error:
            open_data(tmp_path / name)
        check_line(error, name, part)
    with pytest.raises(DataError, match="the name of the data is empty; give a folder"):
        open_data("")


def test_links_never_lead_to_images_of_another_class(tmp_path, caplog):
    root = tmp_path / "data"
    for name in ("airplane/a.png", "bird/b.png", "../pool/cat/c.png", "../pool/dog/d.png"):
        save_image(root / name)
    (root / "airplane" / "loop").symlink_to("..")
    (root / "airplane" / "sibling").symlink_to("../bird")
    (root / "airplane" / "link.png").symlink_to("../bird/b.png")
    (root / "itself").symlink_to(".")
    (root / "above").symlink_to("..")
    (root / "alias").symlink_to("airplane")
    (root / "cat").symlink_to(tmp_path / "pool" / "cat")  # a class that lies elsewhere
    (tmp_path / "pool" / "cat" / "up").symlink_to("..")
    data = open_data(root)
    assert data.ids == ("airplane/a.png", "airplane/link.png", "bird/b.png", "cat/c.png")
    assert data.folders == ("airplane", "bird", "cat")
    for name in ("itself", "above", "alias"):
        assert f"{root / name} is a link back to" in caplog.text
    for name in ("airplane/loop", "airplane/sibling", "cat/up"):
        assert f"{root / name} is a link to a folder, which is not followed" in caplog.text


def test_names_that_are_not_utf8_are_escaped(tmp_path):
    odd = os.fsdecode(b"caf\xe9")
    save_image(tmp_path / odd / f"{odd}.png", size=(3, 4))
    save_image(tmp_path / "é" / "x.png")
    data = open_data(tmp_path)
    assert data.folders == ("caf\\udce9", "é")
    assert data.ids == ("caf\\udce9/caf\\udce9.png", "é/x.png")
    assert data.load_image(0).size == (3, 4)
    (tmp_path / odd / f"{odd}.png").write_bytes(b"")
    with pytest.raises(DataError, match="can't be read") as error:
        data.load_image(0)
    str(error.value).encode()
    save_image(tmp_path / odd / "caf\\udce9.png")
    with pytest.raises(DataError, match="two images have the name .* rename one"):
        open_data(tmp_path)


def test_digits_are_split_without_overlap():
    whole, train, test = (open_data(name) for name in ("digits", "digits/train", "digits/test"))
    assert len(whole) == 1797
    assert (len(train), len(test)) == (1347, 450)
    assert not set(train.ids) & set(test.ids)
    assert sorted(train.ids + test.ids) == list(whole.ids)
    assert list(train.ids) == sorted(train.ids)
    assert whole.ids[:2] == ("digits/0000", "digits/0001")
    assert whole.folders == tuple("0123456789")
    shares = np.bincount(test.folder_labels) / np.bincount(whole.folder_labels)
    assert np.all(abs(shares - 0.25) < 0.01)


def test_digits_have_the_pixels_of_scikit_learn():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    test = open_data("digits/test")
    row = int(test.ids[7].removeprefix("digits/"))
    image = test.load_image(7)
    assert (image.mode, image.size) == ("L", (8, 8))
    expected = [[round(v * 255 / 16) for v in line] for line in bunch.images[row].tolist()]
    assert np.asarray(image).tolist() == expected
    assert test.folder_labels[7] == bunch.target[row]


def test_digits_is_a_word_and_not_a_path(tmp_path, monkeypatch):
    save_image(tmp_path / "digits" / "a" / "x.png")
    monkeypatch.chdir(tmp_path)
    assert len(open_data("digits")) == 1797
    assert len(open_data("./digits")) == 1


def test_a_name_that_no_folder_has_is_unknown_of_one_image_too():
    class Named(ImageData):
        name, ids, folders = "named", ("0",), ("cat", "dog")

        def load_sample(self, index):
            return Sample(Image.new("L", (1, 1)), "bird")

    classes = ("cat", "dog", "bird")
    assert find_label(Named(), 0, classes) == UNKNOWN
    assert match_labels(["bird"], Named.folders, classes).tolist() == [UNKNOWN]
