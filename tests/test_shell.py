"""The command line as people use it: examples in --help that run, tables in other forms, completion, stopping."""

import csv
import io
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from rich.table import Table
from safetensors.torch import save_model
from sklearn.datasets import load_digits

from eric_fast.chains import measure_chains
from eric_fast.cli.capture_output import say_next
from eric_fast.cli.commands import app
from eric_fast.cli.register import list_examples
from eric_fast.demo import digits_cnn
from eric_fast.errors import SettingError
from eric_fast.show.chains import tabulate_chains
from eric_fast.show.printer import list_headers
from tests.activations import make_activations
from tests.command_fixtures import run_command

EXAMPLES = list_examples(app)


def make_demo(root):
    """What `eric-fast demo` leaves behind, of random convolutions and a head that knows the classes' means."""
    demo = root / "eric-demo"
    demo.mkdir()
    shutil.copy(digits_cnn.__file__, demo / "digits_cnn.py")
    torch.manual_seed(3)
    network, digits = digits_cnn.build(), load_digits()
    with torch.no_grad():
        features = network[:-1](torch.from_numpy(digits.images / 16).float()[:, None]).mean(dim=(2, 3))
        means = torch.stack([features[digits.target == digit].mean(dim=0) for digit in range(10)])
        network.head[2].weight.copy_(means)
        network.head[2].bias.copy_(-(means**2).sum(dim=1) / 2)
    save_model(network, str(demo / "digits_cnn.safetensors"))
    model = f"{demo / 'digits_cnn.py'}:build"
    chain = ["--layers", "conv3.2,conv4.2", "--min-leaf", "20", "--target", "label", "--all-kernels"]
    for arguments in (
        ["capture", model, "digits/train", "-o", demo / "train", "--limit", "500"],
        ["capture", model, "digits/test", "-o", demo / "test", "--limit", "200"],
        ["extract", demo / "train", "-o", demo / "program.lp", *chain],
    ):
        assert run_command(*arguments) == 0, arguments


@pytest.fixture
def demo(make_once, tmp_path, monkeypatch):
    shutil.copytree(make_once("small-demo", make_demo), tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def test_every_command_has_two_examples():
    assert len(EXAMPLES) == 15
    for name, examples in EXAMPLES.items():
        assert len(examples) == 2
        assert all(example.split()[0] == name for example in examples)


@pytest.mark.parametrize("command", sorted(set(EXAMPLES) - {"demo"}))  # which test_cli.py runs
def test_examples_run(demo, eric, command):
    for example in EXAMPLES[command]:
        code, _, err = eric(*shlex.split(example))
        assert code == 0, (example, err)


def test_help_shows_groups_and_examples(eric):
    code, out, _ = eric("extract", "--help")
    assert code == 0
    assert "─ Rules ─" in out
    assert "─ Output ─" in out
    for example in EXAMPLES["extract"]:
        assert f"eric-fast {example}" in " ".join(out.split())
    assert "--install-completion" in eric("--help")[1]


def test_tables_in_other_forms_stand_alone_on_stdout(demo, eric):
    command = ["evaluate", "eric-demo/program.lp", "eric-demo/test", "--chains"]
    code, out, err = eric(*command, "--as", "csv")
    assert code == 0
    assert "200 images; model accuracy" in err
    scores, confusion = out.split("\n\n")
    rows = list(csv.reader(io.StringIO(scores)))
    columns = ["start layer", "fidelity", "fidelity (95 %)", "accuracy", "accuracy (95 %)"]
    assert rows[0] == [*columns, "coverage", "rules", "literals", "integers"]
    assert [row[0] for row in rows[1:]] == ["conv3.2", "conv4.2"]
    assert confusion.startswith("# images by model (row) and program (column)\nmodel,0,1,2,")
    plain = eric(*command)[1]
    assert all(row[1] in plain for row in rows[1:])
    for kind, start in (("latex", "\\begin{tabular}{lrrrrrrrr}"), ("markdown", "| start layer | fidelity |")):
        assert eric(*command, "--as", kind)[1].startswith(start)
    code, _, err = eric(*command, "--as", "tex")
    assert code == 2
    assert "'tex' is not a format of tables; did you mean 'latex'?" in err


def test_rules_are_tables_too(demo, eric):
    rows = list(csv.DictReader(io.StringIO(eric("show", "eric-demo/program.lp", "--limit", "0", "--as", "csv")[1])))
    assert [row["rule"] for row in rows] == [str(number) for number in range(1, len(rows) + 1)]
    assert {row["class"] for row in rows} <= set("0123456789")
    kernel = next(iter(csv.DictReader(io.StringIO(eric(*shlex.split(EXAMPLES["show"][1]))[1]))), {"kernel": ""})
    assert kernel["kernel"] in ("", "conv4.2:3")


def test_settings_are_shown_on_request(demo, eric):
    assert "preprocessing" not in eric("show", "eric-demo/program.lp")[1]
    assert "preprocessing" in eric("show", "eric-demo/program.lp", "--settings")[1]


def test_headers_in_one_line_tell_columns_apart():
    table = Table("kernel", "fidelity\nfalse", "\ntrue", "accuracy", "(95 %)")
    assert list_headers(table) == ["kernel", "fidelity false", "fidelity true", "accuracy", "accuracy (95 %)"]


def test_the_next_step_fits_the_images():
    for data in ("digits/test", "cifar10/test", "mnist:root/test", "photos/val"):
        assert " evaluate PROGRAM there" in say_next(data, Path("there"))
    for data in ("digits/train", "photos", "latest/photos", "test/train"):
        assert say_next(data, Path("there")).endswith(" extract there -o program.lp")


@pytest.mark.parametrize(("n_asked", "layers", "leaves"), [(1, ["f2"], [20]), (2, ["f1", "f2"], [20]), (4, None, [20])])
def test_stopped_chains_keep_what_is_finished(n_asked, layers, leaves):
    train, test = make_activations(200), make_activations(100, seed=1)
    asked = iter(range(100))
    study = measure_chains(train, test, min_leaves=[20, 40], stop=lambda: next(asked) >= n_asked)
    whole = measure_chains(train, test, min_leaves=[20])
    assert list(study.layers) == (layers or ["f0", "f1", "f2"])
    assert list(study.min_leaves) == leaves
    assert [row.to_dict() for row in study.rows] == [
        row.to_dict() for row in whole.rows if row.score.start_layer in study.layers
    ]
    assert len(tabulate_chains(study)) == 3
    with pytest.raises(SettingError, match="stopped before the first chain"):
        measure_chains(train, test, min_leaves=[20], stop=lambda: True)
