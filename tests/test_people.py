"""What people use from Python: public names, tables of results, rules as data frames, confidences, types."""

import ast
import csv
import importlib
import io
import os
import pkgutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
import scipy.stats
import torch
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

import eric_fast
from eric_fast import (
    BitMatrix,
    ClassRule,
    EricClassifier,
    Evaluator,
    FoldClassifier,
    InputAtom,
    Program,
    Quantiser,
    Rule,
    label_atoms,
    load,
)
from eric_fast.errors import EricError, ProgramError, SettingError
from eric_fast.evaluator import Predictions
from eric_fast.program.confidence import list_probabilities
from eric_fast.results.tabular import TABLE_FORMATS, format_rows, make_frame
from eric_fast.score import ScoreList, score_predictions
from eric_fast.show.grid import make_table
from eric_fast.show.printer import Printer

CLASSES = ("cat", "dog", "fox")
ROOT = Path(__file__).resolve().parents[1]


def list_stub():
    """Public name -> the module that the stub file says it is from."""
    tree = ast.parse((ROOT / "eric_fast" / "__init__.pyi").read_text(encoding="utf-8"))
    return {a.name: n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}


def test_public_names_are_what_the_stub_says_after_every_submodule_is_imported():
    for module in pkgutil.walk_packages(eric_fast.__path__, "eric_fast."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    names = list_stub()
    assert set(names) == set(eric_fast.__all__)
    for name, module in names.items():
        assert getattr(eric_fast, name) is getattr(importlib.import_module(f"eric_fast.{module}"), name), name


def test_the_version_is_that_of_the_package():
    assert eric_fast.__version__ == importlib.import_module("eric_fast.version").__version__
    assert eric_fast.__version__.count(".") == 2


def test_rules_are_a_data_frame_whatever_they_come_from():
    table, labels = load_iris(return_X_y=True, as_frame=True)
    model = EricClassifier("split", min_leaf=5).fit(table, np.array(["a", "b", "c"])[labels])
    rules = model.list_rules()
    expected = ["rule", "class", "conditions", "support", "coverage", "confidence", "confidence_low", "confidence_high"]
    assert list(rules.columns) == [*expected, "weight"]
    assert rules.support.sum() == len(table)
    assert rules.coverage.sum() == pytest.approx(1)
    assert rules.conditions[0] == model.rules_[0].split("\n")[0].split("  if  ")[1]
    for same in (model.program_.list_rules(), load(model.program_.to_asp()).list_rules()):
        pandas.testing.assert_frame_equal(same, rules)
    fold = FoldClassifier().fit(table, labels).list_rules()
    assert any(" unless " in conditions for conditions in fold.conditions)
    tree = load(DecisionTreeClassifier(max_depth=2, random_state=0).fit(table.to_numpy()[:, 2:3], labels > 1))
    assert tree.list_rules().conditions[1].startswith("(x0 <= 4.75 or missing) and not (x0 <= ")
    with pytest.raises(SettingError, match="of 'classes' or 'kernels'"):
        model.program_.list_rules(of="layers")


def test_the_csv_of_a_data_frame_holds_no_formulas():
    program = replace(make_program(), classes=("=1+1", "dog", "fox"))
    frame = program.list_rules()
    texts = (frame.to_csv(index=False), frame[frame.support > 0].to_csv(index=False), make_frame({"=a": [1]}).to_csv())
    assert ",'=1+1," in texts[0]
    assert not any(cell.startswith("=") for text in texts for row in csv.reader(io.StringIO(text)) for cell in row)
    assert frame["class"][0] == "=1+1"


def test_rules_of_kernels_and_votes_are_data_frames():
    program = make_program()
    kernels = program.list_rules(of="kernels")
    assert list(kernels.kernel) == [program.atoms[rule.head].name for rule in program.kernel_rules]
    assert kernels.value.tolist() == [rule.head not in program.negated for rule in program.kernel_rules]
    votes = [ClassRule(0, (0,), 10, 8, 1, ((1, 5.0),)), ClassRule(1, (~0,), 10, 8)]
    rows = Program(program.quantiser, program.classes, votes, decision="vote").list_rules()
    assert rows["class"].tolist() == [CLASSES[1], CLASSES[1]]
    assert rows.weight.tolist() == [5, 1]
    assert rows.votes.tolist() == [f"+1 {CLASSES[0]}, +5 {CLASSES[1]}", f"+1 {CLASSES[1]}"]
    assert np.isnan(rows.confidence[0])  # known of the head alone
    assert rows.confidence[1] == 0.8


def test_without_pandas_one_line_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(EricError, match="^a data frame needs the package 'pandas': pip install pandas$"):
        make_frame({"a": [1]})


def make_program():
    """Two class rules over two kernels of layer g, of which the first has a rule over layer f; three classes."""
    atoms = [InputAtom("f", 0, ">", 0.5), InputAtom("g", 0, ">", 0.5), InputAtom("g", 1, ">", 0.5)]
    rules = (ClassRule(0, (1, 2), 10, 8), ClassRule(1, (~1, ~2), 4, 2))
    return Program(Quantiser(tuple(atoms)), CLASSES, rules, (Rule(1, (0,), 5, 4),), n_images=20)


def make_scores(n_right=(7, 9), n=10):
    program = make_program()
    truth = torch.zeros(n, dtype=torch.int64)
    answers = [torch.tensor([0] * right + [1] * (n - right), dtype=torch.int32) for right in n_right]
    return ScoreList(
        score_predictions(program, layer, Predictions(answer, answer), truth, truth)
        for layer, answer in zip(program.layers, answers, strict=False)
    )


def test_scores_are_tables():
    scores = make_scores()
    frame = scores.to_dataframe()
    assert frame.fidelity.tolist() == [0.7, 0.9]
    assert (frame.fidelity_low < frame.fidelity).all()
    pandas.testing.assert_frame_equal(frame, pandas.read_csv(io.StringIO(scores.to_csv())))
    assert scores[1].to_dataframe().fidelity.tolist() == [0.9]
    assert len(ScoreList().to_dataframe()) == 0
    assert "0.7000 & 0.7000" in scores.to_latex()
    assert scores.to_markdown().startswith("| start\\_layer | n\\_images |")
    with pytest.raises(SettingError, match="no table 'score'; did you mean 'scores'"):
        scores.to_csv(table="score")


def test_names_from_outside_break_no_table(tmp_path):
    names, row = ["a|b", "=x"], ["50 % & \\{~^", "p|q\n<r>"]
    texts = {kind: format_rows(names, [row], kind) for kind in TABLE_FORMATS}
    assert texts["csv"] == """a|b,'=x\n50 % & \\{~^,"p|q\n<r>"\n"""
    assert texts["markdown"] == "| a\\|b | =x |\n| --- | --- |\n| 50 % \\& \\\\{\\~^ | p\\|q \\<r> |\n"
    body = (
        r"50 \% \& \textbackslash{}\{\textasciitilde{}\textasciicircum{} & p\textbar{}q \textless{}r\textgreater{} \\"
    )
    assert body in texts["latex"]
    with pytest.raises(SettingError, match="'tsv' is not a format of tables"):
        format_rows(names, [row], "tsv")
    rows = [["a", 1], ["[b]", 2], ["*c", 3]]
    assert "\n{[}b] & 2 \\\\\n{*}c & 3 \\\\\n" in format_rows(["x", "y"], rows, "latex")  # no length, no starred `\\\\`
    assert format_rows(["a\nb"], [["&lt; ~~x~~ $y$"]], "markdown").splitlines()[::2] == [
        "| a b |",
        r"| \&lt; \~\~x\~\~ \$y\$ |",
    ]
    assert format_rows([], [], "latex") == format_rows([], [], "markdown") == ""


def test_figures_in_csv_are_for_programs(capsys):
    table = make_table("t", ["name"], ["a", "b", "c"])
    table.add_row("1,478", "1,478", ".", "-12,345.5")
    table.add_row(".", "37.0 %", "1,47", "0.1-0.2")
    Printer("csv").show(table)
    assert capsys.readouterr().out == '# t\nname,a,b,c\n"1,478",1478,0,-12345.5\n.,37.0 %,"1,47",0.1-0.2\n'
    Printer("markdown").show(table)
    assert "| 1,478 | 1,478 | . | -12,345.5 |" in capsys.readouterr().out


def test_intervals_are_wilsons_and_the_bootstraps():
    score = make_scores((70,), 100)[0]
    expected = scipy.stats.binomtest(70, 100).proportion_ci(method="wilson")
    assert score.fidelity_interval == pytest.approx((expected.low, expected.high))
    assert score.accuracy_interval == score.fidelity_interval
    right = np.arange(100) < 70
    draws = right[np.random.default_rng(0).integers(0, 100, (20_000, 100))].mean(axis=1)
    assert score.bootstrap() == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.011)
    assert score.bootstrap(level=0.5).low > score.bootstrap().low
    with pytest.raises(SettingError, match="'coverage' has no bootstrap interval here"):
        score.bootstrap("coverage")


def test_probabilities_follow_from_confidences():
    table, labels = load_iris(return_X_y=True)
    model = EricClassifier("split", min_leaf=5).fit(table, labels)
    loaded = load(model.program_.to_asp())
    found, own = loaded.predict_proba(table), model.predict_proba(table)
    assert np.allclose(found.sum(axis=1), 1)
    assert np.allclose(found.max(axis=1), own.max(axis=1))  # where three classes meet, the rest is shared alike
    assert (loaded.classes_[found.argmax(axis=1)] == model.predict(table)).all()
    sure = model.predict_confidence(table)
    assert np.allclose(sure.values, own.max(axis=1))
    assert (sure.low < sure.values).all()
    rule = model.program_.class_rules[0]
    wilson = scipy.stats.binomtest(rule.correct, rule.covered).proportion_ci(method="wilson")
    rows = loaded.evaluate(table, rules=True).rules.numpy() == 0
    assert np.allclose(loaded.predict_confidence(table).low[rows], wilson.low)


def test_an_answer_without_a_rule_says_nothing():
    program = make_program()
    rules = [[0.8, 0.1, 0.1], [0.25, 0.5, 0.25], [1 / 3] * 3]
    assert np.allclose(list_probabilities(program), rules)
    bits = BitMatrix.from_bools(torch.tensor([[1, 0], [1, 1], [0, 0]]).bool(), program.quantiser.names_of_layer["g"])
    evaluator = Evaluator(program, "g")
    assert np.allclose(evaluator.probabilities(bits), [rules[2], rules[0], rules[1]])
    sure = evaluator.confidences(bits)
    assert np.isnan(sure.values[0])
    assert (sure.low[0], sure.high[0]) == (0, 1)
    bare = replace(program, class_rules=(ClassRule(0, (0,)),), kernel_rules=())
    with pytest.raises(ProgramError, match="no confidence for each class rule"):
        Evaluator(bare).probabilities(bits)
    model = EricClassifier(min_leaf=1).fit([[0.0], [1.0]], [0, 1])
    assert hasattr(load(model.program_.to_asp()), "predict_proba")
    unknown = replace(model.program_, class_rules=[rule.forget_support() for rule in model.program_.class_rules])
    assert not hasattr(load(unknown.to_asp()), "predict_proba")


USER_SCRIPT = """
import eric_fast as ef
fast = ef.load("m.json")
reveal_type(fast)
reveal_type(ef.load_program("program.lp").class_rules)
reveal_type(ef.evaluate_chains)
reveal_type(ef.__version__)
"""


@pytest.mark.slow
def test_a_users_script_is_typed_in_an_editable_install(tmp_path):
    """What setuptools puts into an editable wheel is a path, which mypy follows as any of `site-packages`."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "eric_fast").symlink_to((ROOT / "src" / "eric_fast").resolve())
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (tmp_path / name).symlink_to(ROOT / name)
    build = "from setuptools import build_meta; build_meta.build_editable('.')"
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path, check=True, capture_output=True)
    venv.create(tmp_path / "venv")
    (packages,) = (tmp_path / "venv" / "lib").glob("*/site-packages")
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(packages)
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    settings = "[mypy]\nstrict = True\n[mypy-torch.*,numpy.*,sklearn.*,scipy.*,pandas.*]\nfollow_imports = skip\n"
    (tmp_path / "mypy.ini").write_text(settings)
    for name, script in (("right", USER_SCRIPT), ("wrong", USER_SCRIPT + "fast.predikt(1)\n")):
        (tmp_path / f"{name}.py").write_text(script)
        command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--python-executable", "venv/bin/python"]
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
        done = subprocess.run(
            [*command, f"{name}.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == (name == "wrong"), done.stdout + done.stderr
        for what in ("eric_fast.table.model.RuleModel", "eric_fast.score.ScoreList", "ClassRules", '"str"'):
            assert what in done.stdout
        assert ('has no attribute "predikt"; maybe "predict"?' in done.stdout) == (name == "wrong")


def test_atoms_are_labelled_by_name():
    program = make_program()
    name = program.atoms[1].name
    assert label_atoms(program, {name: "wheels"}) == label_atoms(program, {1: "wheels"})
    assert label_atoms(label_atoms(program, {name: "wheels"}), {"wheels": ""}).labels == program.labels
    with pytest.raises(ProgramError, match="'nothing' is not an atom"):
        label_atoms(program, {"nothing": "x"})
