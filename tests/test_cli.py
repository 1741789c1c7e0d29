"""The commands as a person runs them: what they print, write and refuse."""

import csv
import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from eric_fast.capture import load_activations, save_activations
from eric_fast.cli import main
from eric_fast.extract import TreeOptions
from eric_fast.pipeline import approximate_model
from eric_fast.program import Program
from eric_fast.quantise import fit_quantiser
from eric_fast.text import load_program, print_program

NETWORK = """
import torch
from torch import nn
CLASSES = [str(i) for i in range(10)]
def build():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10))
def without_convolutions():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
def not_a_number():
    model = build()
    model[0].weight.data[3] = float("nan")
    return model
"""
GREY = """
from torchvision.transforms import v2
def transform():
    return v2.Compose([v2.Grayscale(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
"""


@pytest.fixture
def eric(monkeypatch, capsys):
    """Run a command in this process: exit code, stdout, stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["eric-fast", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def refuse(eric):
    """Run a command that must be refused: exit code 2, and one line."""

    def run(*arguments):
        code, out, err = eric(*arguments)
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert code == 2, (code, out, err)
        assert len(lines) == 1, err
        assert "Traceback" not in err
        return lines[0].removeprefix("error: ")

    return run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A network's file, its captures of digits, and its program, made by the commands themselves."""
    root = tmp_path_factory.mktemp("made")
    (root / "net.py").write_text(NETWORK)
    model = f"{root / 'net.py'}:build"
    for arguments in (
        ["capture", model, "digits/train", "-o", root / "train", "--limit", "600", "--json", root / "capture.json"],
        ["capture", model, "digits/test", "-o", root / "test"],
        ["extract", root / "train", "-o", root / "p.lp", "--layers", "all", "--target", "label", "--min-leaf", "20"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "eric_fast", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    return root


def test_capture_extract_evaluate_predict_show(made, eric, tmp_path):
    figures = json.loads((made / "capture.json").read_text())
    assert figures["n_images"] == 600
    assert figures["layers"] == {"1": 6, "3": 8}
    code, out, _ = eric("evaluate", made / "p.lp", made / "test", "--chains", "--json", tmp_path / "e.json")
    assert code == 0
    assert "450 images; model accuracy" in out
    scores = json.loads((tmp_path / "e.json").read_text())
    assert {"n_images", "accuracy", "fidelity", "coverage", "model_accuracy", "n_rules", "n_literals"} < scores.keys()
    assert [row["start_layer"] for row in scores["chains"]] == ["1", "3"]
    assert scores["chains"][0]["n_rules"] == scores["n_rules"] > scores["chains"][1]["n_rules"]
    assert scores["n_images"] == 450
    # The same from images: the network runs now.
    network = ["--model", f"{made / 'net.py'}:build"]
    code, out, _ = eric("evaluate", made / "p.lp", "digits/test", *network, "--json", tmp_path / "d.json")
    assert code == 0
    again = json.loads((tmp_path / "d.json").read_text())
    assert {key: again[key] for key in again if key != "chains"} == {
        key: scores[key] for key in scores if key != "chains"
    }
    code, out, _ = eric("predict", made / "p.lp", made / "test", "-o", tmp_path / "p.csv")
    assert code == 0
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "prediction", "rule"]
    assert len(rows) == 450
    assert rows[0]["id"].startswith("digits/")
    program = load_program(made / "p.lp")
    for row in rows:
        assert program.classes[program.class_rules[int(row["rule"]) - 1].head] == row["prediction"]
    assert eric("predict", made / "p.lp", "digits/test", *network, "-o", tmp_path / "q.csv")[0] == 0
    assert (tmp_path / "q.csv").read_text() == (tmp_path / "p.csv").read_text()
    code, out, _ = eric("show", made / "p.lp", "--class", "3", "--limit", "1")
    assert code == 0
    assert "\n3  if  " in out
    assert "confidence" in out
    assert out.count("\n    rule ") == 1
    kernel = program.atoms[program.kernel_rules[0].head].name
    code, out, _ = eric("show", made / "p.lp", "--kernel", kernel)
    assert code == 0
    assert f"\n{kernel}  if  " in out


def test_help_is_quick_and_loads_no_torch():
    code = (
        "import sys; sys.argv = ['eric-fast', '--help']\n"
        "from eric_fast.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("capture", "extract", "evaluate", "predict", "show", "demo"):
        assert command in done.stdout


@pytest.mark.parametrize("command", ["capture", "extract", "evaluate", "predict", "show", "demo"])
def test_every_command_explains_itself(eric, command):
    code, out, _ = eric(command, "--help")
    assert code == 0
    assert "Usage: eric-fast" in out


@pytest.fixture
def photos(tmp_path):
    """An image folder of two classes, whose second image of the first class is cut short."""
    root = tmp_path / "photos"
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for i in range(3):
            noise = torch.randint(256, (8, 8), generator=torch.Generator().manual_seed(i), dtype=torch.uint8)
            Image.fromarray(noise.numpy()).save(root / name / f"{i}.jpg")
    content = (root / "cat" / "1.jpg").read_bytes()
    (root / "cat" / "1.jpg").write_bytes(content[: len(content) // 2])
    return root


def test_bad_images_are_named_and_skipped_only_on_request(made, refuse, eric, photos, tmp_path):
    (tmp_path / "grey.py").write_text(NETWORK + GREY)
    arguments = ["capture", f"{tmp_path / 'grey.py'}:build", photos, "-o", tmp_path / "c"]
    assert "cat/1.jpg" in (message := refuse(*arguments))
    assert "--skip-bad-images" in message
    assert not (tmp_path / "c").exists()
    code, out, err = eric(*arguments, "--skip-bad-images", "--json", tmp_path / "c.json")
    assert code == 0
    assert "left out 1 image that" in out
    assert "accuracy: unknown" in out
    figures = json.loads((tmp_path / "c.json").read_text())
    assert (figures["n_images"], figures["n_bad_images"], figures["model_accuracy"]) == (5, 1, None)
    assert "labels are unknown" in err


def test_models_and_data_that_cannot_be_used(made, refuse, tmp_path):
    network, capture = made / "net.py", ["-o", tmp_path / "c"]
    (tmp_path / "empty").mkdir()
    assert "empty" in refuse("capture", f"{network}:build", tmp_path / "empty", *capture)
    assert "convolution" in refuse("capture", f"{network}:without_convolutions", "digits", *capture)
    message = refuse("capture", f"{network}:not_a_number", "digits", *capture)
    assert "layer '1', kernel 3" in message
    assert "digits/0000" in message
    assert "'vgg16'" in refuse("capture", "vgg17", "digits", "--weights", "none", *capture)
    assert "--weights" in refuse("capture", "vgg16", "digits", *capture)
    assert "did you mean" in refuse("capture", f"{network}:build", "digits", "--layers", "11", *capture)
    assert "norm" in refuse("capture", f"{network}:build", "digits", "--norm", "l3", *capture)
    assert not (tmp_path / "c").exists()


def test_programs_that_cannot_be_used(made, refuse, tmp_path):
    text = (made / "p.lp").read_text()
    path = tmp_path / "p.lp"

    def refuse_text(new_text):
        path.write_text(new_text)
        return refuse("evaluate", path, made / "test")

    assert refuse_text(text.replace("classes(3,", "classes(3;")).startswith(f"{path}:")
    line = text[: text.index("classes(3,")].count("\n") + 1
    assert refuse_text(text.replace("classes(3,", "classes(3;")).startswith(f"{path}:{line}:10: expected")
    assert "a second fact norm" in refuse_text(text + 'norm("l1").')
    assert "recursion: 3:0 <- 3:0" in refuse_text(text + "k_3_0(X) :- image(X), k_3_0(X).")
    threshold = next(line for line in text.splitlines() if line.startswith("kernel(k_1_0,"))
    assert '"high" is not a number' in refuse_text(text.replace(threshold, 'kernel(k_1_0,"1",0,">","high").'))
    extra = 'kernel(k_1_6,"1",6,">","0.5").'
    assert "kernel 6 of layer '1', which has 6 kernels" in refuse_text(text.replace(threshold, f"{extra}\n{threshold}"))
    fingerprint = text.split('fingerprint("')[1].split('"')[0]
    assert "another model" in refuse_text(text.replace(fingerprint, "0" * 64))
    assert "can't be read" in refuse("show", tmp_path / "missing.lp")
    assert "did you mean '3'" in refuse("show", made / "p.lp", "--class", "33")
    assert "not a kernel" in refuse("show", made / "p.lp", "--kernel", "1:9")
    assert "no layer '2'" in refuse("evaluate", made / "p.lp", made / "test", "--start", "2")
    assert "engine 'warp'" in refuse("evaluate", made / "p.lp", made / "test", "--engine", "warp")
    assert "--model" in refuse("evaluate", made / "p.lp", "digits/test")


def test_settings_of_extract_that_mean_nothing(made, refuse, tmp_path):
    extract = ["extract", made / "train", "-o", tmp_path / "p.lp"]
    assert "threshold 'median'" in refuse(*extract, "--threshold", "median")
    assert "min leaf 'few'" in refuse(*extract, "--min-leaf", "few")
    assert "criterion 'x'" in refuse(*extract, "--criterion", "x")
    assert "no layer '4'" in refuse(*extract, "--layers", "4")
    assert "target 'x'" in refuse(*extract, "--target", "x")
    assert "manifest.json" in refuse("extract", tmp_path, "-o", tmp_path / "p.lp")
    assert not (tmp_path / "p.lp").exists()


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (["--max-depth", "2"], {"options": TreeOptions(max_depth=2)}),
        (["--max-rules", "5"], {"options": TreeOptions(max_rules=5)}),
        (["--min-leaf", "7", "--criterion", "gini"], {"options": TreeOptions("gini", min_leaf=7)}),
        (["--min-leaf", "0.1"], {"options": TreeOptions(min_leaf=0.1)}),
        (["--threshold", "split"], {"threshold": "split"}),
        (["--threshold", "0.6*mean+0.7*std"], {"threshold": "0.6*mean+0.7*std"}),
        (["--layers", "1,3", "--all-kernels"], {"layers": ["1", "3"], "all_kernels": True}),
        (["--layers", "[13]"], {"layers": ["1", "3"]}),
        (["--layers", "1"], {"layers": ["1"]}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_extract_is_the_api_with_the_same_words(made, eric, tmp_path, options, settings):
    assert eric("extract", made / "train", "-o", tmp_path / "p.lp", "--target", "label", *options)[0] == 0
    expected = approximate_model(load_activations(made / "train"), target="label", **settings)
    assert load_program(tmp_path / "p.lp") == expected
    plain = approximate_model(load_activations(made / "train"), target="label")
    assert expected.class_rules != plain.class_rules or expected.quantiser != plain.quantiser


def test_one_class_only(made, refuse, eric, tmp_path):
    activations = load_activations(made / "train")
    save_activations(activations.take((activations.labels == 4).nonzero().flatten()), tmp_path / "four")
    message = refuse("extract", tmp_path / "four", "-o", tmp_path / "p.lp", "--target", "label")
    assert "the target is '4' on all" in message


def test_outputs_are_replaced_only_with_force(made, refuse, eric, tmp_path):
    for path, arguments in (
        (tmp_path / "p.lp", ["extract", made / "train", "--target", "label", "-o"]),
        (tmp_path / "p.csv", ["predict", made / "p.lp", made / "test", "-o"]),
        (tmp_path / "c", ["capture", f"{made / 'net.py'}:build", "digits", "--limit", "20", "-o"]),
        (tmp_path / "e.json", ["evaluate", made / "p.lp", made / "test", "--json"]),
    ):
        assert eric(*arguments, path)[0] == 0
        before = sorted((p, p.read_bytes()) for p in (path.iterdir() if path.is_dir() else [path]))
        assert f"{path} exists; give --force" in refuse(*arguments, path)
        assert sorted((p, p.read_bytes()) for p in (path.iterdir() if path.is_dir() else [path])) == before
        assert eric(*arguments, path, "--force")[0] == 0
    (tmp_path / "file").write_text("x")
    assert "can't be written" in refuse("extract", made / "train", "-o", tmp_path / "file" / "p.lp")


def test_one_path_is_not_given_twice(made, refuse, tmp_path):
    before = (made / "p.lp").read_bytes()
    again = ["--force", "--target", "label"]
    for arguments in (
        ["extract", made / "train", "-o", tmp_path / "x", "--json", tmp_path / "x", *again],
        ["predict", made / "p.lp", made / "test", "-o", made / "p.lp", "--force"],
        ["evaluate", made / "p.lp", made / "test", "--json", made / "." / "p.lp", "--force"],
    ):
        assert "is given twice" in refuse(*arguments)
    assert not (tmp_path / "x").exists()
    assert (made / "p.lp").read_bytes() == before


def test_no_output_goes_into_a_capture_that_is_read(made, refuse):
    before = sorted((path, path.read_bytes()) for path in (made / "test").iterdir())
    predict = ["predict", made / "p.lp", made / "test", "--force", "-o"]
    for name in ("manifest.json", "answers.csv"):
        assert "lies in a capture" in refuse(*predict, made / "test" / name)
    assert sorted((path, path.read_bytes()) for path in (made / "test").iterdir()) == before


def test_a_capture_that_lacks_a_layer_says_how_to_make_one(made, eric, refuse, tmp_path):
    network = f"{made / 'net.py'}:build"
    assert eric("capture", network, "digits/test", "--layers", "3", "--limit", "20", "-o", tmp_path / "c")[0] == 0
    message = refuse("evaluate", made / "p.lp", tmp_path / "c", "--chains")
    assert message.startswith(f"{tmp_path / 'c'} lacks layer '1' of the program; there are '3'")
    assert "capture the images again with --layers '1,3'" in message


def test_outputs_are_checked_before_the_work(made, refuse, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "x.jpg").write_text("x")
    monkeypatch.setattr("eric_fast.capture.load_model", lambda *_: pytest.fail("work began"))
    capture = ["capture", f"{made / 'net.py'}:build", "digits", "--force", "-o"]
    assert "not a folder with a manifest.json" in refuse(*capture, tmp_path / "photos")
    assert "is a folder" in refuse(*capture, tmp_path / "c", "--json", tmp_path / "photos")
    assert "'.' is not the path" in refuse(*capture, "")
    assert (tmp_path / "photos" / "x.jpg").exists()


def test_options_of_the_network_mean_nothing_for_a_capture(made, refuse):
    evaluate = ["evaluate", made / "p.lp", made / "test"]
    assert "--limit means nothing" in refuse(*evaluate, "--limit", "5")
    assert "--model, --dtype means nothing" in refuse(*evaluate, "--model", "x", "--dtype", "float16")


def test_another_model_is_refused_before_its_images_are_captured(made, refuse, tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NETWORK.replace("manual_seed(1)", "manual_seed(2)"))
    monkeypatch.setattr("eric_fast.capture.capture_activations", lambda *_, **__: pytest.fail("captured"))
    message = refuse("evaluate", made / "p.lp", "digits/test", "--model", f"{tmp_path / 'net.py'}:build")
    assert "from another model" in message


def test_images_are_captured_with_the_programs_norm_and_start_layer(made, eric, tmp_path):
    network = f"{made / 'net.py'}:build"
    for split in ("train", "test"):
        assert eric("capture", network, f"digits/{split}", "--norm", "max", "-o", tmp_path / split)[0] == 0
    extract = ["extract", tmp_path / "train", "--layers", "1,3", "--target", "label", "-o", tmp_path / "p.lp"]
    assert eric(*extract)[0] == 0
    rows = {}
    for start in ("1", "3"):
        for source in ([tmp_path / "test"], ["digits/test", "--model", network]):
            output = tmp_path / f"{start}{len(source)}.csv"
            assert eric("predict", tmp_path / "p.lp", *source, "--start", start, "-o", output)[0] == 0
            rows[start, len(source)] = output.read_text()
    assert rows["1", 1] == rows["1", 3] != rows["3", 1] == rows["3", 3]


def test_bad_images_and_images_without_a_rule_are_counted(eric, photos, tmp_path):
    (tmp_path / "grey.py").write_text(NETWORK + GREY)
    network, skip = f"{tmp_path / 'grey.py'}:build", "--skip-bad-images"
    assert eric("capture", network, photos, "-o", tmp_path / "c", skip)[0] == 0
    activations = load_activations(tmp_path / "c")
    text = print_program(Program(fit_quantiser(activations), activations.classes, (), default=0))
    (tmp_path / "p.lp").write_text(text)
    evaluate = ["evaluate", tmp_path / "p.lp", photos, "--model", network, "--json", tmp_path / "e.json", skip]
    code, out, _ = eric(*evaluate)
    assert code == 0
    assert "left out 1 image that" in out
    scores = json.loads((tmp_path / "e.json").read_text())
    assert (scores["n_bad_images"], scores["n_images"], scores["coverage"]) == (1, 5, 0)
    assert read_answers(eric, tmp_path) == {"0,"}
    (tmp_path / "p.lp").write_text(text.replace('default("0").', ""))
    assert read_answers(eric, tmp_path) == {","}


def read_answers(eric, folder):
    """What predict says of all images of the capture: `prediction,rule`."""
    assert eric("predict", folder / "p.lp", folder / "c", "-o", folder / "p.csv", "--force")[0] == 0
    return {line.partition(",")[2] for line in (folder / "p.csv").read_text().splitlines()[1:]}


def test_names_are_no_markup(made, eric, tmp_path):
    activations = load_activations(made / "test")
    names = ("[/red]", "[bold]all", *activations.classes[2:])
    save_activations(replace(activations, classes=names), tmp_path / "c")
    program = load_program(made / "p.lp")
    (tmp_path / "p.lp").write_text(print_program(replace(program, classes=names)))
    code, out, err = eric("evaluate", tmp_path / "p.lp", tmp_path / "c")
    assert code == 0, err
    assert "[/red]" in out
    assert "[bold]all" in out


def test_wrong_usage_is_one_line(refuse):
    assert "Try --help" in refuse("extract", "x", "-o", "y", "--max-depth", "abc")
    assert "Missing option" in refuse("extract", "x")
    assert "No such command" in refuse("extrct")


@pytest.mark.parametrize("redirect", [">&-", "> /dev/full", "| head -0"])
def test_outputs_that_go_nowhere_are_no_traceback(made, redirect):
    command = f"{sys.executable} -m eric_fast show {made / 'p.lp'} --limit 0 {redirect}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    if redirect == "> /dev/full":
        assert done.stderr.startswith("error: ")
        assert done.returncode == 2


def test_a_terminated_command_leaves_nothing_behind(tmp_path):
    command = [sys.executable, "-m", "eric_fast", "demo", "-o", tmp_path / "demo"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not list(tmp_path.iterdir()):
            time.sleep(0.05)
        process.terminate()
        assert process.wait(timeout=60) == 143
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_capture_is_refused(made, refuse, tmp_path):
    shutil.copytree(made / "test", tmp_path / "c")
    shard = next((tmp_path / "c").glob("*.safetensors"))
    tensors = load_file(shard)
    tensors["norms.1"][0, 0] += 1
    save_file(tensors, shard)
    assert shard.name in refuse("evaluate", made / "p.lp", tmp_path / "c")


def test_demo(eric, tmp_path):
    code, out, err = eric("demo", "-o", tmp_path / "demo")
    assert code == 0, err
    metrics = json.loads((tmp_path / "demo" / "metrics.json").read_text())
    assert metrics["model_accuracy"] > 0.95
    assert metrics["fidelity"] > 0.85
    assert [row["start_layer"] for row in metrics["chains"]] == ["conv1.2", "conv2.2", "conv3.2", "conv4.2"]
    assert metrics["images_per_s"] > 0
    for expected in (
        f"{metrics['model_accuracy']:.4f}",
        "images a second",
        "  if  ",
        str(tmp_path / "demo" / "program.lp"),
    ):
        assert expected in out
    # What it says to try next works.
    commands = [line.split()[1:] for line in out.splitlines() if line.startswith("  eric-fast ")]
    assert [command[0] for command in commands] == ["show", "evaluate", "predict"]
    for command in commands:
        command = [str(tmp_path / "answers.csv") if word == "answers.csv" else word for word in command]
        assert eric(*command)[0] == 0, command
    assert "exists; give --force" in eric("demo", "-o", tmp_path / "demo")[2]
    assert eric("demo", "-o", tmp_path / "demo", "--force")[0] == 0
    again = json.loads((tmp_path / "demo" / "metrics.json").read_text())
    assert again["chains"] == metrics["chains"]
