"""Labels from segmentation masks: a network whose kernels see known colours, masks that say where those are."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.transforms import v2

from eric_fast.analyse import MaskFolder, measure_concepts
from eric_fast.analyse.masks import view_mask
from eric_fast.capture import open_data, wrap_model
from eric_fast.errors import CaptureError, DataError, SettingError
from eric_fast.program import ClassRule, Program
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.text import load_program, save_program

NETWORK = """
import torch
from torch import nn
from torchvision.transforms import v2
CLASSES = ["a", "b"]
def transform():
    return v2.Compose([v2.CenterCrop(12), v2.Resize(24), v2.ToImage(), v2.ToDtype(torch.float32, scale=True),
                       v2.Normalize([0.5] * 3, [0.25] * 3)])
def build():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for kernel in range(3):  # red, green, blue against the two others
            network[0].weight[kernel] = -0.5
            network[0].weight[kernel, kernel] = 1.0
        network[0].bias += -2.0
    return network
"""
SKY, GRASS = 1, 2
RED, GREEN, BLUE = (InputAtom("1", kernel, ">", 0.2) for kernel in range(3))


def draw_scene(rng):
    """An image of 16x16: blue above a slanted line, green below; and its mask."""
    line = rng.integers(5, 11) + np.arange(16)[None] // 8
    above = np.arange(16)[:, None] < line
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[..., 2], pixels[..., 1] = above * 255, ~above * 255
    return Image.fromarray(pixels), np.where(above, SKY, GRASS).astype(np.uint8)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """(folder of images, folder of masks, file of the network); the last image has no mask."""
    root = tmp_path_factory.mktemp("scenes")
    (root / "net.py").write_text(NETWORK)
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (root / "data" / name).mkdir(parents=True)
        (root / "masks" / name).mkdir(parents=True)
        for i in range(4):
            image, mask = draw_scene(rng)
            image.save(root / "data" / name / f"{i}.png")
            if (name, i) != ("b", 3):
                Image.fromarray(mask).save(root / "masks" / name / f"{i}.png")
    (root / "masks" / "concepts.json").write_text(json.dumps(["", "sky", "grass"]))
    return root


def make_program(**fields):
    rules = (ClassRule(0, (0, 1)), ClassRule(1, (2,)))
    return Program(Quantiser((RED, GREEN, BLUE, InputAtom("1", 3, ">", 0.2))), ("a", "b"), rules, **fields)


@pytest.fixture
def network(scenes):
    namespace = {}
    exec(NETWORK, namespace)
    return wrap_model(namespace["build"](), classes=("a", "b"), transform=namespace["transform"]())


def test_kernels_get_the_concept_that_they_see(scenes, network):
    found = measure_concepts(make_program(), network, open_data(scenes / "data"), MaskFolder(scenes / "masks"))
    assert [row.name for row in found] == ["1:0", "1:1", "1:2"]  # no rule mentions the fourth
    red, green, blue = found
    assert red.shares == ()
    assert red.n_images == 0
    assert red.choose_label() is None
    assert green.choose_label(0.9) == "grass"
    assert blue.choose_label(0.9) == "sky"
    assert blue.n_images == 7  # the eighth has no mask
    assert sum(share for _, share in blue.shares) == pytest.approx(1)
    few = measure_concepts(
        make_program(), network, open_data(scenes / "data"), MaskFolder(scenes / "masks"), n_strongest=2
    )
    assert few[2].n_images == 2


def test_a_quarter_is_active_within_itself(scenes, network):
    atoms = (InputAtom("1", 2, ">", 0.2), *(InputAtom("1", 2, ">", 0.2, f"{side}-left") for side in ("upper", "lower")))
    program = Program(Quantiser(atoms), ("a", "b"), (ClassRule(0, (0, 1, 2)),))
    masks = MaskFolder(scenes / "masks")
    whole, upper, lower = measure_concepts(program, network, open_data(scenes / "data"), masks)
    assert [row.name for row in (upper, lower)] == ["1:2@upper-left", "1:2@lower-left"]
    assert whole.n_images == upper.n_images == 7
    assert 0 < lower.n_images < 7  # in some scenes the sky ends in the upper half
    assert upper.choose_label(0.9) == "sky"


def test_masks_go_where_the_transform_puts_them(scenes, network):
    mask = np.zeros((16, 16), np.int64)
    mask[2:8, 2:14] = SKY  # the upper half of the crop
    mask[0, 0] = GRASS  # cropped away
    lies = view_mask(network, Image.new("RGB", (16, 16)), mask)
    assert lies[SKY].shape == (24, 24)
    assert lies[SKY][:11].all()
    assert not lies[SKY][13:].any()
    assert not lies[GRASS].any()
    as_it_is = view_mask(network, torch.zeros(3, 16, 16), mask)  # an image that its data prepared
    assert (as_it_is[SKY] == (mask == SKY)).all()


def test_transforms_that_lose_white_are_refused():
    blind = wrap_model(nn.Flatten(), classes=("a",), transform=v2.Compose([v2.ToImage(), v2.Lambda(torch.zeros_like)]))
    with pytest.raises(DataError, match="tell black from white"):
        view_mask(blind, Image.new("L", (16, 16)), np.ones((16, 16), np.int64))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("concepts.json", '{"7": "wheel", "1": " sky ", "255": ""}', {1: "sky", 7: "wheel"}),
        ("concepts.json", '["", "sky", "grass"]', {1: "sky", 2: "grass"}),
        ("concepts.txt", "\nsky\n\ngrass\n", {1: "sky", 3: "grass"}),
    ],
)
def test_concepts_are_named(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text)
    assert MaskFolder(tmp_path).concepts == expected


@pytest.mark.parametrize("text", ['{"one": "sky"}', "[1, 2]", "3", "{", "[" * 100000])
def test_damaged_names_are_refused(tmp_path, text):
    (tmp_path / "concepts.json").write_text(text)
    with pytest.raises(DataError, match="concepts.json is neither a list of names"):
        MaskFolder(tmp_path)


def test_masks_that_do_not_fit_are_refused(tmp_path, scenes, network):
    with pytest.raises(DataError, match="neither concepts.json nor concepts.txt"):
        MaskFolder(tmp_path)
    (tmp_path / "concepts.txt").write_text("\nsky\n")
    (tmp_path / "a").mkdir()
    masks, data = MaskFolder(tmp_path), open_data(scenes / "data")
    with pytest.raises(DataError, match="no mask for any of the 8 images"):
        measure_concepts(make_program(), network, data, masks)
    path = tmp_path / "a" / "0.png"

    def fail(picture, message):
        picture.save(path)
        with pytest.raises(DataError, match=message):
            measure_concepts(make_program(), network, data, masks)

    fail(Image.new("L", (8, 16)), "is 8x16, but its image is 16x16")
    fail(Image.new("RGB", (16, 16)), r"holds colours \(mode RGB\)")
    fail(Image.new("L", (16, 16), 9), "concept number 9, which")
    path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="can't be read"):
        masks.load_mask("a/0.png", (16, 16))
    with pytest.raises(DataError, match="no mask for image 'b/0.png'"):
        masks.load_mask("b/0.png", (16, 16))
    assert masks.find_mask("../../etc/passwd") is None
    with pytest.raises(SettingError, match="n_strongest is 0; concepts need at least one image"):
        measure_concepts(make_program(), network, data, masks, n_strongest=0)
    with pytest.raises(CaptureError, match="another model"):
        measure_concepts(make_program(fingerprint="other"), network, data, masks)


def test_an_image_that_shares_its_stem_has_a_mask_of_its_own(tmp_path):
    (tmp_path / "concepts.txt").write_text("\nsky\n")
    Image.fromarray(np.full((2, 3), 1, np.uint16)).save(tmp_path / "7.jpg.png")
    Image.new("L", (3, 2), 255).save(tmp_path / "7.png")
    masks = MaskFolder(tmp_path)
    assert masks.load_mask("7.jpg", (3, 2)).tolist() == [[1] * 3] * 2
    assert masks.load_mask("7.bmp", (3, 2)).tolist() == [[0] * 3] * 2


def test_the_command_labels_from_masks(scenes, eric, refuse, tmp_path):
    path = tmp_path / "p.lp"
    save_program(make_program(labels=((1, "meadow"),)), path)
    given = ["--masks", scenes / "masks", "--model", f"{scenes / 'net.py'}:build", "--data", scenes / "data"]
    code, out, err = eric("label", path, "1:0=red", *given, "--json", tmp_path / "l.json")
    assert code == 0, err
    assert out.splitlines()[:3] == ["1:0=red", "1:1=meadow", "1:2=sky"]  # what a person said stays
    assert "2 of 3 kernels cover one concept by 50 % or more" in out
    concepts = {row["name"]: row["shares"] for row in json.loads((tmp_path / "l.json").read_text())["concepts"]}
    assert concepts["1:1"]["grass"] > 0.9
    assert eric("label", path, *given, "--relabel")[0] == 0
    assert load_program(path).label_of_atom == {0: "red", 1: "grass", 2: "sky"}
    assert "--masks needs the network" in refuse("label", path, "--masks", scenes / "masks")
    assert "--least must be" in refuse("label", path, *given, "--least", "0")
    assert "there are no --masks, so --strongest has no meaning" in refuse("label", path, "--strongest", "3")
