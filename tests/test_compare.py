"""Two programs: on the same images, and rule by rule."""

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given

from eric_fast.compare import compare_programs, compare_rules
from eric_fast.errors import CaptureError
from eric_fast.extract import TreeOptions
from eric_fast.program import ClassRule, Program, Rule
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.runs import approximate_model, predict_activations
from eric_fast.store import load_activations
from tests.activations import make_activations
from tests.command_fixtures import NETWORK
from tests.examples import try_examples
from tests.make_programs import programs

ATOMS = (
    InputAtom("f", 0, ">", 0.5),
    InputAtom("f", 1, ">", 1.5),
    InputAtom("f", 2, ">", 2.5),
    InputAtom("g", 0, ">", 3.5),
)


def make_program(class_rules, atoms=ATOMS, kernel_rules=(), **changes):
    return Program(Quantiser(tuple(atoms)), ("a", "b"), tuple(class_rules), tuple(kernel_rules), **changes)


def move(*thresholds):
    """The atoms with other thresholds, those that are given."""
    return tuple(replace(atom, constant=new or atom.constant) for atom, new in zip(ATOMS, thresholds, strict=True))


@try_examples(60)
@given(programs(with_sums=True))
def test_a_program_is_the_same_as_itself(program):
    changes = compare_rules(program, program)
    assert len(changes.same) == len(program.class_rules) + len(program.kernel_rules)
    assert (changes.changed, changes.gone, changes.new) == ((), (), ())
    shuffled = replace(
        program,
        class_rules=tuple(
            replace(rule, body=rule.body[::-1], weights=rule.weights[::-1]) for rule in program.class_rules
        ),
        kernel_rules=program.kernel_rules[::-1],
    )
    again = compare_rules(program, shuffled)
    assert len(again.same) == len(changes.same)
    assert (again.changed, again.gone, again.new) == ((), (), ())


def test_thresholds_that_changed_are_named():
    first = make_program([ClassRule(0, (0, ~1)), ClassRule(1, (2,))])
    second = make_program([ClassRule(0, (~1, 0)), ClassRule(1, (2,))], move(None, 1.75, None, None))
    changes = compare_rules(first, second)
    assert [(a.number, b.number) for a, b in changes.same] == [(2, 2)]
    (changed,) = changes.changed
    assert changed.thresholds == (("f:1", 1.5, 1.75),)
    assert (changed.first.head, changed.first.text) == ("a", "f:0 and not f:1")
    assert not changes.gone + changes.new


def test_rules_for_kernels_change_with_their_own_threshold():
    rule = Rule(3, (0, 1), 7, 5)
    first = make_program([ClassRule(0, (3,))], kernel_rules=[rule])
    second = make_program([ClassRule(0, (3,))], move(None, None, None, 4.0), [rule])
    changes = compare_rules(first, second)
    assert [one.thresholds for one in changes.changed] == [(("g:0", 3.5, 4.0),)] * 2  # the class rule's, the kernel's
    negated = replace(first, negated=(3,))
    changes = compare_rules(first, negated)
    assert [rule.head for rule in changes.gone] == ["g:0"]
    assert [rule.head for rule in changes.new] == ["not g:0"]


def test_weight_rules_are_the_same_with_the_same_weights_and_bound_alone():
    rule = ClassRule(0, (0, ~1, 2), weights=(3, 1, 1), bound=4)
    first = make_program([rule])
    for other in (
        replace(rule, weights=(1, 3, 1)),
        replace(rule, bound=3),
        replace(rule, weights=(), bound=0),
        replace(rule, body=(0, 1, 2)),
    ):
        changes = compare_rules(first, make_program([other]))
        assert (len(changes.gone), len(changes.new)) == (1, 1)
    turned = replace(rule, body=rule.body[::-1], weights=rule.weights[::-1])
    assert len(compare_rules(first, make_program([turned])).same) == 1
    (changed,) = compare_rules(first, make_program([rule], move(None, 1.75, None, None))).changed
    assert changed.thresholds == (("f:1", 1.5, 1.75),)
    assert changed.first.text == "3 * f:0 + not f:1 + f:2 >= 4"


def test_class_rules_are_the_same_with_the_same_votes_for_the_same_start_alone():
    rule = ClassRule(0, (3,), weight=2, also=((1, -1),))
    settings = {"decision": "vote", "starts": (("f",), ("g",))}
    first = make_program([rule], **settings)
    for other in (replace(rule, weight=3), replace(rule, also=()), replace(rule, start=1)):
        changes = compare_rules(first, make_program([other], **settings))
        assert (len(changes.same), len(changes.gone), len(changes.new)) == (0, 1, 1)
    assert changes.gone[0].text == "g:0  (+2 a, -1 b)"
    assert len(compare_rules(first, first).same) == 1


def test_rules_of_one_alone_stand_by_what_they_cover():
    shared = ClassRule(0, (0,))
    first = make_program([shared, ClassRule(1, (1,), 3, 3), ClassRule(1, (~1,), 9, 9)])
    second = make_program([ClassRule(1, (0,)), shared, shared])
    changes = compare_rules(first, second)
    assert [(a.number, b.number) for a, b in changes.same] == [(1, 2)]
    assert [(rule.number, rule.covered) for rule in changes.gone] == [(3, 9), (2, 3)]
    assert [rule.number for rule in changes.new] == [1, 3]  # another class, and the second of two equal rules
    assert changes.in_order
    swapped = compare_rules(make_program([shared, ClassRule(1, (1,))]), make_program([ClassRule(1, (1,)), shared]))
    assert len(swapped.same) == 2
    assert not swapped.in_order


def test_agreement_is_counted_image_by_image():
    activations = make_activations(n_images=300)
    first = approximate_model(activations, layers="all", options=TreeOptions(min_leaf=10))
    second = approximate_model(activations, threshold="quantile:0.6", options=TreeOptions(min_leaf=40))
    comparison = compare_programs(first, second, activations, start="f1")
    answers = [
        predict_activations(first, activations, start="f1").classes.tolist(),
        predict_activations(second, activations).classes.tolist(),
    ]
    differing = [i for i, (a, b) in enumerate(zip(*answers, strict=True)) if a != b]
    assert 0 < len(differing) < 300
    assert comparison.list_differing() == differing
    assert comparison.n_agree == 300 - len(differing)
    for i, row in enumerate(comparison.confusion.tolist()):
        for j, count in enumerate(row):
            assert count == sum((a % 4, b % 4) == (i, j) for a, b in zip(*answers, strict=True))  # -1 is the last
    labels = activations.labels.tolist()
    right = [sum(answers[side][i] == labels[i] for i in differing) for side in (0, 1)]
    assert comparison.count_right() == (*right, len(differing) - sum(right))
    assert comparison.model_agreement == 1
    content = comparison.to_dict()
    assert [one["id"] for one in content["differing"]] == [f"image{i}" for i in differing]
    assert sum(one["both"] for one in content["per_class"]) <= comparison.n_agree
    assert set(comparison.kernels[1]) <= {f"f2:{k}" for k in range(4)}
    assert any(name.startswith("f0:") for name in comparison.kernels[0])


def test_programs_of_two_models_are_matched_by_images_and_class_names():
    activations = make_activations(n_images=300)
    other = make_activations(n_images=300, seed=1)
    names = dict(zip("abc", ("b", "c", "d"), strict=True))
    other = replace(
        other,
        ids=tuple(f"image{i + 100}" for i in range(300)),
        classes=tuple(names[name] for name in other.classes),
        settings=replace(other.settings, fingerprint="0ther"),
    )
    first, second = (approximate_model(side, options=TreeOptions(min_leaf=30)) for side in (activations, other))
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    comparison = compare_programs(first, second, activations, other.take(order))
    assert comparison.classes == ("a", "b", "c", "d")
    assert comparison.ids == tuple(f"image{i}" for i in range(100, 300))
    assert comparison.n_left_out == (100, 100)
    mine, theirs = predict_activations(first, activations).classes, predict_activations(second, other).classes
    assert comparison.answers[0].tolist() == mine[100:].tolist()
    assert comparison.answers[1].tolist() == (theirs[:200] + 1).tolist()
    assert comparison.model_agreement < 1
    with pytest.raises(CaptureError, match="no image in common"):
        compare_programs(first, second, activations, replace(other, ids=[f"x{i}" for i in range(300)]))
    with pytest.raises(CaptureError, match="another model"):
        compare_programs(first, second, activations)


def test_two_thresholds_are_compared_from_the_command_line(made, eric, refuse, tmp_path):
    extract = ["extract", made / "train", "--target", "label", "--min-leaf", "20", "-o", tmp_path / "q.lp"]
    assert eric(*extract, "--threshold", "quantile:0.6")[0] == 0
    compare = ["compare", made / "p.lp", tmp_path / "q.lp"]
    code, out, err = eric(*compare, made / "test", "--json", tmp_path / "c.json", "--show", "2")
    assert code == 0, err
    content = json.loads((tmp_path / "c.json").read_text())
    assert content["n_images"] == 450
    assert content["n_differ"] == len(content["differing"]) > 0
    assert [score["start_layer"] for score in content["scores"]] == ["1", "3"]
    for text in ("they agree on ", "images by the first program (row) and the second (column)", "--show 0 shows all"):
        assert text in out
    n_more = content["n_differ"] - 2
    assert f"... and {n_more} more image{'s' * (n_more != 1)} on which they differ; --show 0" in out
    assert " rules in the second alone; --show 0" in out
    # From images, and from those of two models: here one model, by two names.
    network = f"{made / 'net.py'}:build"
    again = ["--json", tmp_path / "d.json", "--model", network]
    assert eric(*compare, "digits/test", *again)[0] == 0
    assert json.loads((tmp_path / "d.json").read_text()) == content
    assert eric(*compare, "digits/test", *again, "--model2", network, "--force")[0] == 0
    assert json.loads((tmp_path / "d.json").read_text()) == content
    assert "--show must be 0" in refuse(*compare, made / "test", "--show", "-1")
    assert "--model2 has no meaning" in refuse(*compare, made / "test", "--model2", network)
    assert "--weights2 needs --model2" in refuse(*compare, made / "test", "--weights2", "x.pth")
    (tmp_path / "net.py").write_text(NETWORK.replace("manual_seed(1)", "manual_seed(2)"))
    wrong = ["--model", network, "--model2", f"{tmp_path / 'net.py'}:build"]
    assert "extracted from another model" in refuse(*compare, "digits/test", *wrong)
    assert load_activations(made / "test").n_images == 450
