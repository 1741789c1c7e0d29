"""Explanations as a person asks for them: text, JSON, pictures, and what is refused."""

import csv
import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from eric_fast.capture import capture_activations, load_model, open_data
from eric_fast.capture.sources import pick_image
from eric_fast.errors import DataError
from eric_fast.explain import explain_image
from eric_fast.extract import TreeOptions
from eric_fast.program.words import describe_body
from eric_fast.runs import approximate_model, predict_activations
from eric_fast.show.proof_plot import draw_explanation
from eric_fast.store import load_activations
from eric_fast.text import load_program, save_program
from tests.command_fixtures import NETWORK


@pytest.fixture(scope="module")
def program(made):
    return load_program(made / "p.lp")


@pytest.mark.parametrize("start", ["1", "3"])
def test_an_explanation_is_of_what_the_program_predicts(made, eric, tmp_path, program, start):
    network = f"{made / 'net.py'}:build"
    assert eric("predict", made / "p.lp", made / "test", "--start", start, "-o", tmp_path / "p.csv")[0] == 0
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    test = load_activations(made / "test")
    arguments = ["--program", made / "p.lp", "--model", network, "--start", start]
    code, out, err = eric(
        "explain", "digits/test:17", *arguments, "--json", tmp_path / "e.json", "--png", tmp_path / "e.png"
    )
    assert code == 0, err
    content = json.loads((tmp_path / "e.json").read_text())
    assert content["image"] == test.ids[17] == rows[17]["id"]
    assert content["program"] == rows[17]["prediction"]
    assert content["fired"][0]["rule"] == int(rows[17]["rule"])
    assert content["model"] == test.classes[test.predictions[17]]
    assert content["label"] == test.classes[test.labels[17]]
    assert [one["rule"] for one in content["blocked"]] == list(range(1, content["fired"][0]["rule"]))
    assert len(content["counterfactuals"]) == 9
    steps = {step["atom"]: step for step in content["steps"]}
    for atom, step in steps.items():
        layer, _, kernel = atom.partition(":")
        norm = test.norms[layer][17, int(kernel)].item()
        assert step["norm"] == pytest.approx(norm, rel=1e-5)
        assert (step["because"] == "given") == (layer == start)
        assert step["model"] == (norm > step["threshold"])
    failing = [name for one in content["blocked"] for name in one["literals"]]
    assert len(failing) == len(content["blocked"])
    assert all(steps[name["atom"]]["true"] == name["negated"] for name in failing)
    with Image.open(tmp_path / "e.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000
    rule = program.class_rules[content["fired"][0]["rule"] - 1]
    assert f"{content['program']}, because class rule {content['fired'][0]['rule']} (support " in out
    assert describe_body(program, rule).split(" and ")[0] in out
    assert f"the model says {content['model']}, the program {content['program']}: they " in out
    # The same image by its name.
    code, by_name, _ = eric("explain", f"digits/test#{test.ids[17]}", *arguments)
    assert code == 0
    assert by_name.strip() == out.replace(f"wrote {tmp_path / 'e.png'}", "").strip()


def test_what_is_printed_follows_its_options(made, eric):
    arguments = ["explain", "digits/test:40", "--program", made / "p.lp", "--model", f"{made / 'net.py'}:build"]
    lengths = [len(eric(*arguments, "--depth", depth)[1].splitlines()) for depth in (1, 2, 0)]
    assert lengths[0] < lengths[1] == lengths[2]
    short, long = (eric(*arguments, *more)[1] for more in ([], ["--earlier"]))
    assert "--earlier shows why" in short or "earlier rule" not in long
    assert "with the literals that fail" in long
    assert "--earlier shows why" not in long


def test_an_image_file_is_explained(made, eric, tmp_path):
    data = open_data("digits/test")
    (tmp_path / "seven:#").mkdir()
    path = tmp_path / "seven:#" / "a.png"
    data.load_image(3).convert("RGB").save(path)
    grey = tmp_path / "grey.py"
    grey.write_text(
        NETWORK + "from torchvision.transforms import v2\ndef transform():\n"
        "    return v2.Compose([v2.Grayscale(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])\n"
    )
    arguments = ["--program", made / "p.lp", "--model", f"{grey}:build", "--json", tmp_path / "e.json"]
    code, _, err = eric("explain", path, *arguments)
    assert code == 0, err
    assert "folder" not in err  # it lies in none, and that is nothing to say
    content = json.loads((tmp_path / "e.json").read_text())
    assert (content["image"], content["label"]) == (str(path), None)
    test = load_activations(made / "test")
    assert content["model"] == test.classes[test.predictions[3]]
    expected = predict_activations(load_program(made / "p.lp"), test).classes[3]
    assert content["program"] == test.classes[expected]


def test_images_are_picked_by_number_and_by_name(tmp_path):
    root = tmp_path / "a:b#c"
    (root / "cat").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(root / "cat" / "1.png")
    for source, expected in ((f"{root}:0", "cat/1.png"), (f"{root}#cat/1.png", "cat/1.png")):
        data, index = pick_image(source)
        assert data.ids[index] == expected
    data, index = pick_image(str(root / "cat" / "1.png"))
    assert (len(data), index, data.folders) == (1, 0, ("cat",))
    for source, message in (
        (f"{root}:1", "has no image number 1, only 0 to 0"),
        (f"{root}#cat/2.png", "has no image 'cat/2.png'; did you mean 'cat/1.png'?"),
        (f"{root}/dog.png", "is not an image: there is no such file"),
        (str(root), "is not an image: there is no such file"),
        ("", "is not an image"),
    ):
        with pytest.raises(DataError, match=message.replace("?", r"\?")):
            pick_image(source)


def test_what_makes_no_sense_is_refused(made, refuse, tmp_path):
    network = ["--model", f"{made / 'net.py'}:build"]
    good = ["--program", made / "p.lp", *network]
    assert "only 0 to 449" in refuse("explain", "digits/test:450", *good)
    assert "must end in .png or .svg" in refuse("explain", "digits/test:1", *good, "--png", tmp_path / "a.gif")
    assert "has no layer '2'" in refuse("explain", "digits/test:1", *good, "--start", "2")
    assert "--depth must be 0" in refuse("explain", "digits/test:1", *good, "--depth", "-1")
    (tmp_path / "net.py").write_text(NETWORK.replace("manual_seed(1)", "manual_seed(2)"))
    other = ["--program", made / "p.lp", "--model", f"{tmp_path / 'net.py'}:build"]
    assert "extracted from another model" in refuse("explain", "digits/test:1", *other)
    (tmp_path / "t.lp").write_text('format(1). column(0,"age","float64"). classes(0,"a"). decision("first").')
    assert refuse("explain", "digits/test:1", "--program", tmp_path / "t.lp", *network)


def test_real_images_are_explained(shared, tmp_path):
    """Forty of CIFAR-10, and cifar10_vgg: a chain of two layers, from each of them."""
    with tarfile.open(shared / "data" / "cifar10.tar.gz") as tar:
        members = (member for member in tar if member.isfile())
        for member, _ in zip(members, range(40), strict=False):
            tar.extract(member, tmp_path, filter="data")
    (split,) = tmp_path.iterdir()
    model, data = load_model(f"{shared / 'models' / 'cifar10_vgg.py'}:build"), open_data(split)
    layers = ["features.16", "features.19"]
    activations = capture_activations(model, data, layers=layers)
    # Fewer classes than the network has are among so few images: what it says is split by chance, to have rules.
    torch.manual_seed(0)
    mixed = torch.randint(0, 10, (len(data),))
    object.__setattr__(activations, "predictions", mixed)
    program = approximate_model(activations, layers="all", options=TreeOptions(min_leaf=2))
    save_program(program, tmp_path / "p.lp")
    for start in layers:
        explanation = explain_image(program, model, data, 7, start=start)
        assert explanation.proof.answer == predict_activations(program, activations, start=start).classes[7]
        assert len(explanation.counterfactuals) + 1 == 10
        maps = explanation.maps
        assert np.array_equal(maps.images[0].numpy(), np.asarray(data.load_image(7)))
        assert {layer: values.shape[2:] for layer, values in maps.maps.items()}["features.19"] == (8, 8)
        figure = draw_explanation(explanation)
        titles = [axes.get_title() for part in figure.subfigs for axes in part.axes]
        assert "norms against thresholds" in titles
        assert sum(": norm " in title for title in titles) == sum(len(k) for k in maps.kernels.values())


def test_votes_of_a_start_are_explained_where_they_draw_on_its_own_bits():
    """Class rules for other starts don't count; bits below the highest layer stay as they are."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [part for n in (3, 8, 8) for part in (torch.nn.Conv2d(n, 8, 3), torch.nn.ReLU())]
        net = torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 3))
        images = torch.randn(150, 3, 9, 9) * torch.rand(150, 1, 1, 1) * 3
    with torch.no_grad():
        net[-1].weight *= 50
        net[-1].bias -= net.eval()(images).mean(0)
    data = torch.utils.data.TensorDataset(images, torch.zeros(150, dtype=torch.int64))
    activations = capture_activations(net, data)
    program = approximate_model(activations, layers="all", rules="weights", vote_layers="all", n_votes=8)
    for start, below in (("1", {"1", "3"}), ("3", {"3"}), ("5", set())):
        explanation = explain_image(program, net, open_data(data), 3, start=start, with_maps=False)
        assert explanation.proof.answer == predict_activations(program, activations, start=start).classes[3]
        assert len(explanation.counterfactuals) == 2
        assert all(program.atoms[a].layer == "5" for one in explanation.counterfactuals for a in one.flips or ())
        named = explanation.note.removeprefix("the bits of ").partition(" that")[0].split(", ")
        assert set(filter(None, named)) <= below
