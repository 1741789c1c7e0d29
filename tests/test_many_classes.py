"""A thousand classes: the nearest are searched for and shown, one class can be asked for."""

import io
import json
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from torch import nn
from torch.utils.data import TensorDataset

from eric_fast.capture import open_data, wrap_model
from eric_fast.class_groups import read_class_groups, score_groups
from eric_fast.errors import DataError, ProgramError
from eric_fast.explain import counterfactual, explain_image
from eric_fast.explain.counterfactual import MOST_TARGETS, find_counterfactuals
from eric_fast.program import ClassRule, Decision, Program
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.runs import approximate_model, evaluate_program
from eric_fast.show.proof import render_explanation
from eric_fast.store import save_activations
from eric_fast.text import save_program
from tests.activations import make_activations

N_CLASSES, N_VOTED, N_KERNELS = 1000, 64, 12


def make_program(decision):
    """Class c has the rule that its ten binary digits, on kernels 0 to 9, are as in c."""
    atoms = tuple(InputAtom("1", kernel, ">", 0.5) for kernel in range(N_KERNELS))
    classes = tuple(f"c{number}" for number in range(N_CLASSES))
    if decision is Decision.FIRST:
        bodies = [tuple(k if number >> k & 1 else ~k for k in range(10)) for number in range(N_CLASSES)]
        rules = [ClassRule(number, body) for number, body in enumerate(bodies)]
        return Program(Quantiser(atoms, "max"), classes, tuple(rules))
    classes = classes[:N_VOTED]
    rules = [
        ClassRule(0, (k,), weight=-1.0, also=tuple((c, 1.0 if c >> k & 1 else -1.0) for c in range(1, N_VOTED)))
        for k in range(6)
    ]
    return Program(Quantiser(atoms, "max"), classes, tuple(rules), decision=Decision.VOTE)


@pytest.mark.parametrize("decision", [Decision.FIRST, Decision.VOTE])
def test_the_nearest_of_many_classes_are_searched_for(decision, monkeypatch):
    program = make_program(decision)
    answer = 513 if decision is Decision.FIRST else 35
    truth = {kernel: bool(answer >> kernel & 1) for kernel in range(N_KERNELS)}
    searched = []
    for name in ("find_fewest_flips", "find_fewest_vote_flips"):
        own = getattr(counterfactual, name)
        monkeypatch.setattr(counterfactual, name, lambda *a, own=own, **o: searched.append(a[2]) or own(*a, **o))
    found = find_counterfactuals(program, truth, answer, most_nodes=500)
    assert len(found) == len(searched) == MOST_TARGETS
    if decision is Decision.FIRST:
        nearest = {513 ^ 1 << k for k in range(10)} - {513 ^ 1 << k for k in range(10) if 513 ^ 1 << k >= N_CLASSES}
        assert nearest <= {one.target for one in found if len(one.flips) == 1}
    (one,) = find_counterfactuals(program, truth, answer, against=7, most_nodes=500)
    assert one.target == 7
    assert decision is not Decision.FIRST or set(one.flips) == {1, 2, 9}


def explain(against=None, program=None):
    """Kernels 0 and 9 of an image are 1, the others exactly 0; the network has as many outputs as there are classes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(N_KERNELS, N_KERNELS, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(N_KERNELS * 4, N_CLASSES)
        ).eval()
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(N_KERNELS)[:, :, None, None])
    image = torch.zeros(1, N_KERNELS, 2, 2)
    image[0, [0, 9]] = 1
    data = open_data(TensorDataset(image, torch.zeros(1, dtype=torch.int64)))
    program = program or make_program(Decision.FIRST)
    return explain_image(program, wrap_model(net, classes=program.classes), data, 0, against=against, with_maps=False)


def show(explanation):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render_explanation(explanation))
    return console.export_text()


def test_an_explanation_fits_a_screen():
    text = show(explain())
    assert "c513, because class rule 514 fires" in text
    assert "... and 989 more classes; --against CLASS shows one" in text
    assert len(text.splitlines()) < 30


def test_what_is_there_comes_first_and_zeros_are_one_line():
    proof = show(explain()).partition("fires\n")[2].splitlines()
    assert proof[0].endswith("1:0: norm 1 > 0.5")
    assert proof[1].endswith("1:9: norm 1 > 0.5")
    assert proof[2].endswith("8 kernels that are exactly 0: 1:1, 1:2, 1:3, 1:4, 1:5, 1:6, 1:7, 1:8")
    first = make_program(Decision.FIRST)
    rules = (*(ClassRule(0, (~k,), weight=9.0) for k in range(1, 6)), ClassRule(0, (0,), weight=1.0))
    votes = show(explain(program=replace(first, class_rules=rules, decision=Decision.VOTE)))
    assert "+45  5 kernels that are exactly 0: 1:1, 1:2, 1:3, 1:4, 1:5" in votes
    assert "and 5 rules that fire, on kernels that are exactly 0" in votes
    assert votes.count("fires: ") == 1


def test_a_rule_with_points_for_many_classes_is_one_line():
    """The answer's points and the runner-up's come first, then the largest; and a vote of many rules is cut short."""
    votes = ((1, 60.0), *((c, 2.0) for c in range(2, 40)), (40, 9.0))
    rules = [ClassRule(0, (0,), weight=-3.0, also=votes), *[ClassRule(1, (0,), weight=50.0)] * 30]
    program = replace(make_program(Decision.FIRST), class_rules=tuple(rules), decision=Decision.VOTE)
    text = show(explain(program=program))
    (line,) = {line for line in text.splitlines() if "class rule 1 " in line}
    assert line.endswith("fires: +60 c1, +9 c40, -3 c0, +2 c2, +2 c3 and 36 more")
    assert "... and 26 more rules" in text
    assert len(text.splitlines()) < 50


def test_one_class_can_be_asked_for():
    explanation = explain("c7")
    text = show(explanation)
    assert [one.target for one in explanation.counterfactuals] == [7]
    assert "c7: 3 bits, by rule 8: 1:1 to true, 1:2 to true, 1:9 to false" in text
    assert "more classes" not in text
    with pytest.raises(ProgramError, match="'c7000' is not a class of this program; did you mean 'c700'"):
        explain("c7000")


def test_the_baseline_is_the_most_frequent_answer():
    source = make_activations(60, predictions=torch.tensor([0] * 40 + [1] * 15 + [2] * 5))
    assert evaluate_program(approximate_model(source, min_leaf=2), source).baseline == pytest.approx(40 / 60)


def test_doubtful_figures_are_said_so_first(tmp_path, eric):
    counts = torch.tensor([0] * 40 + [1] * 15 + [2] * 5)
    train = make_activations(60, predictions=counts)
    other = make_activations(60, seed=1, predictions=torch.arange(60) % 3)
    save_activations(train, tmp_path / "train")
    save_activations(other, tmp_path / "test")
    program = approximate_model(train, min_leaf=2)
    assert approximate_model(train.take(torch.arange(59, -1, -1)), min_leaf=2).settings == program.settings
    save_program(program, tmp_path / "program.lp")
    files = tmp_path / "program.lp", tmp_path / "train", "--json", tmp_path / "scores.json"
    first, second, third, *_ = eric("evaluate", *files)[1].splitlines()
    assert first == "the program was extracted from these images; score it on others"
    assert second.startswith("1 class is the model's answer on fewer than 10 of these images")
    assert third.endswith("; baseline (always the most frequent answer): fidelity 0.6667")
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["is_training"]
    assert scores["baseline"] == pytest.approx(40 / 60)
    assert eric("evaluate", tmp_path / "program.lp", tmp_path / "test")[1].startswith("60 images; model accuracy")


def test_few_images_of_a_class_are_warned_of(caplog):
    source = make_activations(60)
    predictions = torch.tensor([0] * 40 + [1] * 15 + [2] * 5)
    approximate_model(make_activations(60, norms=source.norms, predictions=predictions), min_leaf=2)
    assert "1 of 3 classes are the model's answer on fewer than 10 training images each" in caplog.text
    caplog.clear()
    approximate_model(make_activations(60, norms=source.norms, predictions=torch.arange(60) % 3), min_leaf=2)
    assert "fewer than" not in caplog.text


def test_classes_are_scored_by_group(tmp_path, eric):
    source = make_activations(90, n_classes=3)
    program = approximate_model(source, min_leaf=2, max_depth=2)
    save_activations(source, tmp_path / "all")
    save_program(program, tmp_path / "program.lp")
    (tmp_path / "groups.csv").write_text("class,group\nc,pets\nb,cars\na,pets\nother,none\n")
    code, out, err = eric(
        "evaluate", tmp_path / "program.lp", tmp_path / "all", "--groups", tmp_path / "groups.csv",
        "--json", tmp_path / "scores.json",
    )  # fmt: skip
    assert code == 0, err
    content = json.loads((tmp_path / "scores.json").read_text())
    confusion, found = content["confusion"], content["by_group"]
    pets = [sum(confusion[m][p] for m in (0, 2) for p in columns) for columns in ((0, 2), (1,), (3,))]
    cars = [sum(confusion[1][p] for p in columns) for columns in ((0, 2), (1,), (3,))]
    assert found["confusion"] == [pets, cars]
    assert found["groups"][0] == {
        "group": "pets",
        "n_classes": 2,
        "n_images": sum(pets),
        "n_same_class": confusion[0][0] + confusion[2][2],
        "n_same_group": pets[0],
    }
    assert found["fidelity"] == pytest.approx((pets[0] + cars[1]) / 90)
    assert found["fidelity"] > content["fidelity"]
    assert f"on {found['fidelity']:.4f} of the images the groups are the same" in out


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("name,group\na,x\n", "has the columns 'name', 'group'; its first line must be: class,group"),
        ("class,group\na,x\n", "gives 2 classes of the program no group, such as 'b'; each class needs one"),
        ("class,group\na,x\na,y\n", "groups.csv:3 gives the class 'a' another group than before; leave one out"),
        ("class,group\na\n", "groups.csv:2 gives the class 'a' no group; each line must be: class,group"),
    ],
)
def test_groups_that_are_no_groups_are_refused(tmp_path, text, error):
    (tmp_path / "groups.csv").write_text(text)
    with pytest.raises(DataError, match=error):
        read_class_groups(tmp_path / "groups.csv", ("a", "b", "c"))


def test_groups_are_shown_compared_and_reported(tmp_path, eric):
    source = make_activations(90, n_classes=3)
    program = approximate_model(source, min_leaf=2, max_depth=2)
    save_activations(source, tmp_path / "all")
    save_program(program, tmp_path / "program.lp")
    groups = tmp_path / "groups.csv"
    groups.write_text("class,wnid,group\nc,n03,pets\nb,n02,cars\nx,a,pets\n")  # class a by its identifier
    code, out, err = eric("show", tmp_path / "program.lp", "--groups", groups, "--group", "pets")
    assert code == 0, err
    assert "\nb  if" not in out
    assert "\nc  if" in out
    assert eric("show", tmp_path / "program.lp", "--groups", groups, "--group", "cats")[0] == 2
    assert eric("show", tmp_path / "program.lp", "--groups", groups)[0] == 2
    files = tmp_path / "program.lp", tmp_path / "program.lp", tmp_path / "all"
    code, out, err = eric("compare", *files, "--groups", groups, "--json", tmp_path / "both.json")
    assert code == 0, err
    assert "by group of the model's answer: fidelity" in out
    first, second = json.loads((tmp_path / "both.json").read_text())["by_group"]
    assert (
        first
        == second
        == score_groups(evaluate_program(program, source), read_class_groups(groups, program.classes)).to_dict()
    )
    where = tmp_path / "all", "--program", tmp_path / "program.lp", "-o", tmp_path / "page"
    assert eric("report", *where, "--groups", groups)[0] == 0
    page = (tmp_path / "page" / "index.html").read_text()
    assert '"groups": {"names": ["pets", "cars"]' in page or '"groups":{"names":["pets","cars"]' in page
