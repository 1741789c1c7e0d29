"""Networks of several labels: captured, extracted, scored, explained and reported."""

import csv
import io
import itertools
import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset
from torchvision.transforms.functional import to_pil_image

from eric_fast.capture import capture_activations, open_data, wrap_model
from eric_fast.chains import measure_chains
from eric_fast.cli.evaluate import list_true_labels
from eric_fast.errors import CaptureError, DataError, ModelError, ProgramError, SettingError
from eric_fast.evaluator import Evaluator
from eric_fast.explain import explain_image
from eric_fast.label_score import score_labels, start_label_tally
from eric_fast.program.words import describe_class_rule
from eric_fast.quantise import quantise_activations
from eric_fast.runs import approximate_model, evaluate_labels, evaluate_program, predict_activations
from eric_fast.store import load_activations, open_capture, read_labels, read_predictions, save_activations
from eric_fast.store.activations import round_logits
from eric_fast.store.one_label import OneLabel
from eric_fast.text import parse_program, print_program, save_program
from tests.command_fixtures import run_command
from tests.examples import count_examples

NAMES = ("wet", "bright", "green")
N = 120
CODE = """
import torch
from torch import nn

CLASSES = ["wet", "bright", "green"]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 10, 3)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.head = nn.Linear(10, 3)
        with torch.no_grad():
            self.head.weight.mul_(40)
            self.head.bias.copy_(torch.tensor([SHIFT]))

    def forward(self, x):
        return self.head(self.relu2(self.conv2(self.relu1(self.conv1(x)))).mean((2, 3)))


def build():
    return Net().eval()
"""
IMAGES = torch.rand(N, 3, 9, 9, generator=torch.Generator().manual_seed(0)) ** 2
DATA = TensorDataset(IMAGES, torch.zeros(N, dtype=torch.int64))


def make_network():
    names = {}
    exec(CODE.replace("SHIFT", "0, 0, 0"), names)
    network = names["build"]()
    with torch.no_grad():
        network.head.bias.copy_(-network(IMAGES).median(dim=0).values + torch.tensor([0, 0.02, -0.05]))
    return network


NETWORK = make_network()
BIAS = ", ".join(map(repr, NETWORK.head.bias.tolist()))


@pytest.fixture(scope="module")
def activations():
    return capture_activations(wrap_model(NETWORK, classes=NAMES, task="multilabel"), DATA)


@pytest.fixture(scope="module")
def labels():
    with torch.no_grad():
        return NETWORK(IMAGES).sigmoid() > 0.5


def test_what_is_captured_is_the_networks_own_answer(activations, labels):
    assert activations.settings.has_labels
    assert torch.equal(activations.logits > 0, labels)
    assert 30 < int(labels.sum()) < 3 * N - 30
    assert len({tuple(row) for row in labels.tolist()}) > 4  # any number of labels is true


@pytest.mark.parametrize("form", [lambda y: y.sigmoid(), lambda y: {"logits": y.sigmoid()}])
def test_outputs_of_a_sigmoid_are_labels_unless_said_otherwise(form, labels, caplog):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = NETWORK

        def forward(self, x):
            return form(self.inner(x))

    found = capture_activations(Net().eval(), DATA)
    assert torch.equal(found.logits > 0, labels)
    assert "each is taken for a label, true above 0.5" in caplog.text
    assert not capture_activations(wrap_model(Net().eval(), task="multiclass"), DATA).settings.has_labels


def test_float16_keeps_what_is_above_0():
    logits = torch.tensor([[1e-9, -1e-9, 0.0, -0.0, 5.0, 1e-30]])
    assert torch.equal(round_logits(logits) > 0, logits > 0)


def test_float16_keeps_the_order_of_logits():
    logits = torch.tensor([0.0, 1e-30, 1e-9, 2.0**-24, 3e-5, 1e-4, 1.0])
    rounded = round_logits(logits)
    assert bool((rounded.diff() >= 0).all())
    assert rounded[2] < rounded[4]


@pytest.mark.parametrize("task", ["multilabel", "multiclass"])
def test_logits_past_float16_are_labels_but_no_classes(task):
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    with torch.no_grad():
        network[-1].weight.zero_()
        network[-1].bias.copy_(torch.tensor([1e6, -1e6]))
    model = wrap_model(network.eval(), task=task)
    if task == "multiclass":
        with pytest.raises(CaptureError, match=r"past 65,504, .* capture with --no-logits"):
            capture_activations(model, DATA, limit=3)
    else:
        assert capture_activations(model, DATA, limit=3).logits.tolist() == [[65504, -65504]] * 3


def test_logits_are_not_left_out(activations):
    with pytest.raises(SettingError, match="are the signs of its logits; leave --no-logits out"):
        capture_activations(wrap_model(NETWORK, task="multilabel"), DATA, logits=False)
    with pytest.raises(CaptureError, match="need its logits"):
        type(activations)(**{**vars(activations), "logits": None})


def test_labels_that_are_true_can_be_told_apart():
    names = ("cat", "cat; dog", 'a "b"', "dog", "", " fox", "two\nlines")
    program = SimpleNamespace(classes=names)
    for row in itertools.product((False, True), repeat=len(names)):
        expected = [name for name, is_true in zip(names, row, strict=True) if is_true]
        text = list_true_labels(program, row)
        assert next(csv.reader(io.StringIO(text), delimiter=";", skipinitialspace=True), []) == expected
    assert list_true_labels(program, [True, False, False, True, False, False, False]) == "cat; dog"


TRUTH = torch.rand(N, 3, generator=torch.Generator().manual_seed(5)) < 0.4


@pytest.fixture(scope="module")
def labelled():
    """The first 80 images have vectors of 0 and 1 as labels, the others none that is known."""
    rows = [(image, TRUTH[i] if i < 80 else -1) for i, image in enumerate(IMAGES)]
    return capture_activations(wrap_model(NETWORK, classes=NAMES, task="multilabel"), rows)


def test_true_labels_are_scored_beside_those_of_the_network(labelled, labels, tmp_path):
    from sklearn.metrics import accuracy_score, f1_score

    assert torch.equal(labelled.labels[:80] > 0, TRUTH[:80])
    assert bool((labelled.labels[80:] == -1).all())
    program = approximate_model(labelled, min_leaf=4)
    score = evaluate_labels(program, labelled)
    answers, truth = predict_activations(program, labelled).labels[:80].numpy(), TRUTH[:80].numpy()
    for found, said in ((score.accuracy, answers), (score.model_accuracy, labels[:80].numpy())):
        assert found.n_images == 80
        assert found.micro_f1 == pytest.approx(f1_score(truth, said, average="micro"))
        assert found.macro_f1 == pytest.approx(f1_score(truth, said, average="macro"))
        assert found.exact == accuracy_score(truth, said)
        assert found.agreement == pytest.approx((truth == said).mean())
    assert score.fidelity.n_images == N
    assert list(score.list_tables()["accuracy"]["of"]) == ["program", "network"]
    save_activations(labelled, tmp_path / "c")
    assert torch.equal(load_activations(tmp_path / "c").labels, labelled.labels)
    assert torch.equal(labelled.select_label("bright").labels[:80], TRUTH[:80, 1].long())


def test_programs_are_learned_from_true_labels_where_these_are_known(labelled):
    program = approximate_model(labelled, min_leaf=4, target="label")
    assert program.n_images == 80
    exact = evaluate_labels(program, labelled).accuracy.exact
    assert exact > evaluate_labels(approximate_model(labelled, min_leaf=4), labelled).accuracy.exact


@pytest.mark.parametrize("form", ["vectors", "names", "csv"])
def test_true_labels_of_every_form(form, tmp_path):
    names = [[name for name, true in zip(NAMES, row, strict=True) if true] for row in TRUTH.tolist()]
    model = wrap_model(NETWORK, classes=NAMES, task="multilabel")
    some = [i for i in range(12) if form != "csv" or len(names[i]) > 1]
    if form == "csv":
        for i in some:
            to_pil_image(IMAGES[i]).save(tmp_path / f"{i}.png")
        lines = [f"{i}.png,{'; '.join(names[i])}" for i in some]
        (tmp_path / "photos.csv").write_text("\n".join(["path,label", *lines]), encoding="utf-8")
        data = str(tmp_path / "photos.csv")
    else:
        data = [(IMAGES[i], TRUTH[i].numpy() if form == "vectors" else names[i]) for i in some]
        assert any(not names[i] for i in some)  # no label is true
    assert torch.equal(capture_activations(model, data).labels > 0, TRUTH[some])


def test_labels_that_do_not_fit_are_refused_or_unknown(caplog):
    model = wrap_model(NETWORK, classes=NAMES, task="multilabel")
    with pytest.raises(DataError, match="a vector of 4 values, but the model has 3 labels"):
        capture_activations(model, [(IMAGES[0], [1, 0, 0, 1])])
    found = capture_activations(model, [(IMAGES[0], ["wet", "loud"]), (IMAGES[1], "green"), (IMAGES[2], 7)])
    assert found.labels.tolist() == [[-1, -1, -1], [0, 0, 1], [-1, -1, -1]]
    assert "a name that no label of the model has are unknown: 'loud'" in caplog.text
    fields = {**vars(found)}
    for wrong in (torch.zeros(3, 2, dtype=torch.int8), torch.zeros(3, 3), torch.full((3, 3), 2, dtype=torch.int8)):
        with pytest.raises(CaptureError, match="labels must be"):
            type(found)(**{**fields, "labels": wrong})


def test_captures_from_before_true_labels_were_kept_are_read(labelled, tmp_path):
    """Their labels are an index for each image, as is that of a folder: it is that label alone."""
    indices = torch.arange(N) % 4 - 1
    before = type(labelled)(**{**vars(labelled), "labels": indices})
    assert before.labels[:4].tolist() == [[-1, -1, -1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    object.__setattr__(before, "labels", indices)
    save_activations(before, tmp_path / "old")
    assert torch.equal(load_activations(tmp_path / "old").labels, type(labelled)(**vars(before)).labels)


@pytest.mark.parametrize("rules", ["trees", "fold", "weights"])
@pytest.mark.parametrize("grown_on", ["true", "predicted"])
def test_each_label_gets_rules(rules, grown_on, activations, labels):
    program = approximate_model(activations, layers="all", rules=rules, min_leaf=4, grown_on=grown_on)
    assert program.decision == "labels"
    assert {rule.head for rule in program.class_rules} == {0, 1, 2}
    assert parse_program(print_program(program)) == program
    top = program.layers[-1]
    found = predict_activations(program, activations, start=top).labels
    for rule in program.class_rules:  # support counts what the rule says: true, or with weight -1 false
        assert rule.correct <= rule.covered <= N
    score = evaluate_labels(program, activations, start=top)
    assert score.fidelity.n_exact == int((found == labels).all(dim=1).sum())
    assert score.fidelity.agreement == pytest.approx((found == labels).double().mean().item())
    assert score.fidelity.agreement > (score.fidelity.baseline if grown_on == "true" else 0.5)
    negative = [number for number, rule in enumerate(program.class_rules, 1) if rule.weight < 0]
    for number in negative:
        assert describe_class_rule(program, number).startswith("not ")


@pytest.mark.parametrize(("rules", "min_leaf"), [("trees", 4), ("trees", 20), ("weights", 4)])
def test_support_counts_images_on_which_the_label_is_what_the_rule_says(rules, min_leaf, activations, labels):
    program = approximate_model(activations, min_leaf=min_leaf, rules=rules, threshold="mean")
    fires = Evaluator(program).fires(quantise_activations(activations, program.network_quantiser)).to_bools()
    assert ({rule.weight for rule in program.class_rules} == {1}) == (rules == "weights")
    for number, rule in enumerate(program.class_rules):
        right = labels[:, rule.head] == (rule.weight > 0)
        assert rule.covered == int(fires[:, number].sum())
        assert rule.correct == int((fires[:, number] & right).sum())


def test_figures_are_those_of_scikit_learn(labels):
    from sklearn.metrics import accuracy_score, f1_score

    labels = labels.clone()
    answers = labels ^ (torch.rand(N, 3, generator=torch.Generator().manual_seed(1)) < 0.2)
    answers[:, 2] = labels[:, 2] = False  # nobody says this one: F1 is 1
    unknown = torch.full((N, 3), -1, dtype=torch.int8)
    tally = start_label_tally(3)
    tally.add(answers[:50], labels[:50], unknown[:50])
    tally.add(answers[50:], labels[50:], unknown[50:])
    program = approximate_model(capture_activations(wrap_model(NETWORK, task="multilabel"), DATA), min_leaf=30)
    score = score_labels(program, None, tally)
    truth, said = labels.numpy(), answers.numpy()
    found = score.fidelity
    assert found.micro_f1 == pytest.approx(f1_score(truth, said, average="micro"))
    assert found.macro_f1 == pytest.approx(f1_score(truth, said, average="macro", zero_division=1))
    assert found.exact == accuracy_score(truth, said)
    commoner = truth.mean(axis=0) > 0.5
    assert found.baseline == pytest.approx((truth == commoner).mean())
    assert score.accuracy is score.model_accuracy is None
    assert list(score.list_tables()["labels"]["label"]) == ["0", "1", "2"]
    assert [row["label"] for row in score.to_dict()["labels"]] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"votes": "rows"}, "there is no votes; leave it out"),
        ({"max_loss": 0.1}, "there is no max loss"),
        ({"class_weight": {0: 2}}, "no class weights"),
    ],
)
def test_what_only_classes_have_is_refused(options, message, activations):
    with pytest.raises(SettingError, match=message):
        approximate_model(activations, **options)


def test_programs_and_networks_of_other_kinds_do_not_fit(activations):
    program = approximate_model(activations, min_leaf=30)
    of_classes = capture_activations(wrap_model(NETWORK, classes=NAMES, task="multiclass"), DATA)
    with pytest.raises(CaptureError, match="answers with several labels, but the network .* with a class"):
        predict_activations(program, of_classes)
    with pytest.raises(ProgramError, match="this score needs .* 'labels'; take one label of it"):
        evaluate_program(program, activations)
    with pytest.raises(ProgramError, match="has no labels; use evaluate_program"):
        evaluate_labels(approximate_model(of_classes, min_leaf=30), of_classes)
    with pytest.raises(CaptureError, match="answers with a class, and has no labels"):
        of_classes.select_label("wet")


def test_one_label_is_a_network_and_a_program_of_two_classes(activations, labels):
    program = approximate_model(activations, layers="all", min_leaf=4)
    for index, name in enumerate(NAMES):
        of_label, answers = program.select_label(name), activations.select_label(name)
        assert torch.equal(answers.predictions, labels[:, index].long())
        score = evaluate_program(of_label, answers, start=program.layers[-1])
        found = predict_activations(program, activations, start=program.layers[-1]).labels
        assert score.fidelity == (found[:, index] == labels[:, index]).double().mean().item()


def test_one_label_of_a_capture_on_disk_is_read_as_one_in_memory(labelled, tmp_path):
    save_activations(labelled, tmp_path / "c")
    source, expected = OneLabel(open_capture(tmp_path / "c"), "bright"), labelled.select_label("bright")
    assert (source.classes, source.settings.has_labels) == (expected.classes, False)
    for read, values in ((read_labels, expected.labels), (read_predictions, expected.predictions)):
        assert torch.equal(read(source), values)
    program = approximate_model(labelled, min_leaf=4).select_label("bright")
    assert evaluate_program(program, source).to_dict() == evaluate_program(program, expected).to_dict()
    with pytest.raises(ProgramError, match="'brigt' is not a label .* did you mean 'bright'"):
        OneLabel(open_capture(tmp_path / "c"), "brigt")
    with pytest.raises(CaptureError, match="answers with a class, and has no labels"):
        OneLabel(expected, "bright")


def test_an_explanation_says_what_rules_say_of_its_label(activations, labels):
    """The index that the data give is that of no class: its two classes are the label's own."""
    program = approximate_model(activations, min_leaf=4)
    model, images = wrap_model(NETWORK, classes=NAMES, task="multilabel"), open_data(DATA)
    index = {rule.head for rule in program.class_rules if rule.weight < 0}.pop()
    said = predict_activations(program, activations).labels[:, index]
    image = int((~said).nonzero()[0])
    explanation = explain_image(program, model, images, image, label=NAMES[index], with_maps=False)
    assert explanation.label == int(index == 0)
    assert explanation.model_class == int(labels[image, index])
    assert explanation.program.classes[explanation.proof.answer] == f"not {NAMES[index]}"
    assert {explanation.program.class_rules[rule].head for rule in explanation.proof.fired} == {0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The network as a file, images, captures and a program."""
    folder = tmp_path_factory.mktemp("labels")
    (folder / "net.py").write_text(CODE.replace("SHIFT", BIAS), encoding="utf-8")
    (folder / "images").mkdir()
    for number, image in enumerate(IMAGES[: max(60, count_examples(N))]):
        to_pil_image(image).save(folder / "images" / f"{number:03}.png")
    return folder


def test_all_commands(folder, capsys):
    def run(*words, code=0):
        assert run_command(*map(str, words)) == code
        printed = capsys.readouterr()
        return printed.err if code else printed.out

    data, model, capture, file = (folder / name for name in ("images", "net.py:build", "capture", "program.lp"))
    task = ("--task", "multilabel")
    run("capture", model, data, "-o", capture, *task)
    run("extract", capture, "-o", file, "--min-leaf", 4)
    assert "not bright  if" in run("show", file) or "bright  if" in run("show", file)
    out = run("evaluate", file, capture, "--json", folder / "score.json")
    assert "micro F1" in out
    assert "baseline (always the more frequent answer): agreement" in out
    figures = json.loads((folder / "score.json").read_text(encoding="utf-8"))
    assert [row["label"] for row in figures["labels"]] == list(NAMES)
    run("predict", file, capture, "-o", folder / "answers.csv")
    rows = list(csv.DictReader((folder / "answers.csv").read_text(encoding="utf-8").splitlines()))
    found = predict_activations(parse_program(file.read_text(encoding="utf-8")), load_activations(capture)).labels
    assert [row["labels"] for row in rows[:5]] == [
        "; ".join(name for name, true in zip(NAMES, row, strict=True) if true) for row in found[:5].tolist()
    ]
    picture = f"{data}:0"
    said = run("explain", picture, "--program", file, "--model", model, *task, code=2)
    assert "an explanation is about one label of several; name it with --label: wet, bright, green" in said
    out = run("explain", picture, "--program", file, "--model", model, *task, "--label", "bright")
    is_bright = bool(load_activations(capture).logits[0, NAMES.index("bright")] > 0)
    assert f"the model says {'bright' if is_bright else 'not bright'}" in out
    for command in ("report", "analyse"):
        where = ("-o", folder / "report") if command == "report" else ()
        assert "one label of several" in run(command, capture, "--program", file, *where, code=2)
        assert run(command, capture, "--program", file, "--label", "bright", *where)
    assert "they agree on" in run("compare", file, file, capture, "--label", "wet")
    (folder / "groups.csv").write_text("class,group\nwet,a\nbright,a\ngreen,b\n", encoding="utf-8")
    assert "--groups has no meaning" in run("evaluate", file, capture, "--groups", folder / "groups.csv", code=2)


@pytest.mark.parametrize("start", [None, "relu1", "relu2"])
def test_chains_are_scored_beside_the_start_that_is_asked_for(start, tmp_path, activations, capsys):
    program = approximate_model(activations, layers="all", min_leaf=4)
    save_program(program, tmp_path / "p.lp")
    save_activations(activations, tmp_path / "c")
    words = ["evaluate", tmp_path / "p.lp", tmp_path / "c", "--chains", "--json", tmp_path / "j.json"]
    assert run_command(*map(str, [*words, *(() if start is None else ("--start", start))])) == 0
    printed = capsys.readouterr().out
    assert "the program was extracted from these images; score it on others" in printed
    figures = json.loads((tmp_path / "j.json").read_text(encoding="utf-8"))
    assert figures["start_layer"] == (start or "relu1")
    expected = [evaluate_labels(program, activations, start=own) for own in ("relu1", "relu2")]
    assert [row["exact"] for row in figures["chains"]] == [score.fidelity.exact for score in expected]
    assert figures["exact"] == expected[start == "relu2"].fidelity.exact


def test_a_label_of_no_labels_is_refused(tmp_path, activations, capsys):
    of_classes = capture_activations(wrap_model(NETWORK, classes=NAMES, task="multiclass"), DATA)
    program = approximate_model(of_classes, min_leaf=30)
    save_program(program, tmp_path / "p.lp")
    save_activations(of_classes, tmp_path / "c")
    assert run_command("analyse", str(tmp_path / "c"), "--program", str(tmp_path / "p.lp"), "--label", "wet") == 2
    assert "--label has no meaning" in capsys.readouterr().err


def test_a_network_of_one_output_has_two_classes():
    single = nn.Sequential(*NETWORK.children())[:4]
    network = nn.Sequential(single, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 1)).eval()
    with pytest.raises(ModelError, match="give --task binary"):
        capture_activations(wrap_model(network, task="multilabel"), DATA)


def test_a_study_of_chains_points_to_what_scores_labels(activations):
    with pytest.raises(SettingError, match="score with evaluate --chains"):
        measure_chains(activations, activations, layers="all")
