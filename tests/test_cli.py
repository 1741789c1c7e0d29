"""The commands as a person runs them: what they print and write."""

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from numba.core import event

from eric_fast.extract import TreeOptions
from eric_fast.program import Program
from eric_fast.quantise import fit_quantiser
from eric_fast.runs import approximate_model
from eric_fast.store import load_activations, save_activations
from eric_fast.text import load_program, print_program
from eric_fast.warm_up import find_stamp
from tests.command_fixtures import GREY, NETWORK


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
    head = program.kernel_rules[0].head
    kernel = program.atoms[head].name
    code, out, _ = eric("show", made / "p.lp", "--kernel", kernel)
    assert code == 0
    assert f"\n{'not ' if head in program.negated else ''}{kernel}  if  " in out


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
    for command in ("capture", "extract", "evaluate", "convert", "predict", "show", "demo"):
        assert command in done.stdout


@pytest.mark.parametrize("command", ["capture", "extract", "evaluate", "convert", "predict", "show", "demo"])
def test_every_command_explains_itself(eric, command):
    code, out, _ = eric(command, "--help")
    assert code == 0
    assert "Usage: eric-fast" in out


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (["--max-depth", "2"], {"options": TreeOptions(max_depth=2)}),
        (["--max-rules", "5"], {"options": TreeOptions(max_rules=5)}),
        (["--min-leaf", "7", "--criterion", "gini"], {"options": TreeOptions("gini", min_leaf=7)}),
        (["--min-leaf", "0.1"], {"options": TreeOptions(min_leaf=0.1)}),
        (["--threshold", "mean"], {"threshold": "mean"}),
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
    assert "skipped 1 image that" in out
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


@pytest.mark.parametrize("redirect", [">&-", "> /dev/full", "| head -0"])
def test_outputs_that_go_nowhere_are_no_traceback(made, redirect):
    command = f"{sys.executable} -m eric_fast show {made / 'p.lp'} --limit 0 {redirect}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    if redirect == "> /dev/full":
        assert done.stderr.startswith("error: ")
        assert done.returncode == 2


def test_captures_are_read_without_what_networks_need(made):
    commands = (["show", f"{made / 'p.lp'}"], ["evaluate", f"{made / 'p.lp'}", f"{made / 'test'}"])
    code = f"""
import sys
from eric_fast.cli import main
for words in {commands!r}:
    sys.argv = ["eric-fast", *words]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, words
print(sorted({{"torchvision", "sklearn", "scipy.stats", "eric_fast.analyse"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr


def test_demo(eric, demo, tmp_path):
    shutil.copytree(demo / "eric-demo", tmp_path / "demo")
    out = (demo / "demo.log").read_text(encoding="utf-8").replace("eric-demo", str(tmp_path / "demo"))
    metrics = json.loads((tmp_path / "demo" / "metrics.json").read_text())
    page = (tmp_path / "demo" / "report" / "index.html").read_text(encoding="utf-8")
    n_rules = len(load_program(tmp_path / "demo" / "program.lp").class_rules)  # another CPU trains another network
    assert f"digits_cnn as {n_rules} rules" in page
    assert '"heat":[{' in page
    assert "report/index.html" in out
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
    commands = [line.split()[1:] for line in out.splitlines() if line.startswith("  .venv/bin/eric-fast ")]
    assert [command[0] for command in commands] == ["show", "evaluate", "predict"]
    for command in commands:
        command = [str(tmp_path / "answers.csv") if word == "answers.csv" else word for word in command]
        assert eric(*command)[0] == 0, command
    assert "exists; give --force" in eric("demo", "-o", tmp_path / "demo")[2]
    with event.install_recorder("numba:compile") as recorder:
        assert eric("demo", "-o", tmp_path / "demo", "--force")[0] == 0
    if find_stamp().exists():  # after `python -m eric_fast.warm_up`, as in `make test`
        compiled = {found.data["dispatcher"].py_func.__module__ for _, found in recorder.buffer}
        assert [name for name in compiled if name.startswith("eric_fast.")] == []
    again = json.loads((tmp_path / "demo" / "metrics.json").read_text())
    assert again["chains"] == metrics["chains"]
