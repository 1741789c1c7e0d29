from dataclasses import replace

import pytest
import torch
from sklearn.tree import DecisionTreeClassifier

from eric_fast.bits import BitMatrix
from eric_fast.errors import CaptureError, SettingError
from eric_fast.extract import TreeOptions, extract_program, parse_count
from eric_fast.program import atom_of
from eric_fast.quantise import fit_quantiser, quantise_activations
from eric_fast.runs import predict_bits
from tests.activations import make_activations


@pytest.mark.parametrize(("text", "value"), [("250", 250), ("0.01", 0.01), ("1", 1), (".5", 0.5), ("1e-3", 0.001)])
def test_min_leaf_is_a_number_or_a_share(text, value):
    assert parse_count("min leaf", text) == value
    assert type(parse_count("min leaf", text)) is type(value)


def test_min_leaf_in_images():
    assert TreeOptions(min_leaf=0.01).count_min_leaf(1347) == 14
    assert TreeOptions(min_leaf=0.01).count_min_leaf(10) == 1
    assert TreeOptions(min_leaf=25).count_min_leaf(10) == 25


@pytest.mark.parametrize(
    "options",
    [
        *(
            {"criterion": "x"},
            {"max_depth": 0},
            {"max_rules": 0},
            {"min_leaf": 0},
            {"min_leaf": 0.6},
            {"min_leaf": -0.1},
        ),
        *({"min_split": 1}, {"min_split": 1.5}, {"min_gain": -1}, {"min_gain": float("nan")}, {"min_gain": True}),
        *({"class_weight": {0: 0.5}}, {"class_weight": {0: -1}}, {"class_weight": {"a": 1}}),
    ],
)
def test_options_without_meaning_are_refused(options):
    with pytest.raises(SettingError):
        TreeOptions(**options)
    with pytest.raises(SettingError):
        parse_count("min leaf", "many")


def extract(activations, min_leaf=10, **settings):
    quantiser = fit_quantiser(activations)
    bits = quantise_activations(activations, quantiser)
    options = TreeOptions(min_leaf=min_leaf)
    return extract_program(bits, quantiser, activations.predictions, activations.classes, options, **settings), bits


def test_class_rules_answer_as_the_tree():
    activations = make_activations(n_kernels=(6,))
    program, bits = extract(activations)
    columns = bits.to_bools().numpy()
    fitted = DecisionTreeClassifier(criterion="entropy", min_samples_leaf=10, random_state=0)
    expected = fitted.fit(columns, activations.predictions.numpy()).predict(columns)
    predictions = predict_bits(program, bits)
    assert predictions.classes.tolist() == expected.tolist()
    covered = torch.bincount(predictions.rules, minlength=len(program.class_rules))
    assert covered.tolist() == [rule.covered for rule in program.class_rules]


def test_chain_has_rules_for_what_rules_mention_and_no_more():
    activations = make_activations(n_kernels=(6, 9, 6))
    program, _ = extract(activations, min_leaf=70)
    mentioned = {atom_of(literal) for rule in program.class_rules for literal in rule.body}
    for layer in reversed(program.layers[1:]):
        rows = program.quantiser.rows_of_layer[layer]
        heads = {rule.head for rule in program.kernel_rules if rule.head in rows}
        assert heads <= mentioned
        # A kernel may have no rule where its tree never says true.
        assert {program.atoms[atom].layer for atom in mentioned} == {layer}
        mentioned = {atom_of(literal) for rule in program.kernel_rules if rule.head in rows for literal in rule.body}
    assert {program.atoms[atom].layer for atom in mentioned} == {"f0"}
    everything, _ = extract(activations, min_leaf=70, all_kernels=True)
    assert everything.class_rules == program.class_rules
    assert set(program.kernel_rules) < set(everything.kernel_rules)


def test_kernel_rules_answer_as_their_trees():
    activations = make_activations()
    program, bits = extract(activations, all_kernels=True)
    names = [atom.name for atom in program.atoms]
    derived = predict_bits(program, bits, with_bits=True).bits.select_atoms(names).to_bools()
    truth = bits.to_bools().numpy()
    below, own = program.quantiser.rows_of_layer["f0"], program.quantiser.rows_of_layer["f1"]
    for head in own:
        fitted = DecisionTreeClassifier(criterion="entropy", min_samples_leaf=10, random_state=0)
        fitted.fit(truth[:, below.start : below.stop], truth[:, head])
        assert fitted.predict(truth[:, below.start : below.stop]).tolist() == derived[:, head].tolist()


def test_support_of_rules_is_what_they_cover_and_get_right():
    program, bits = extract(make_activations(), all_kernels=True)
    truth = bits.to_bools()
    for rule in program.kernel_rules:
        fires = torch.ones(len(truth), dtype=torch.bool)
        for literal in rule.body:
            fires &= truth[:, literal] if literal >= 0 else ~truth[:, ~literal]
        assert rule.covered == fires.sum()
        assert rule.correct == (fires & (truth[:, rule.head] ^ (rule.head in program.negated))).sum()
    assert any(rule.correct < rule.covered for rule in program.kernel_rules)


def test_a_kernel_that_is_always_true_has_an_empty_body_and_one_never_true_no_rule():
    activations = make_activations(40, n_kernels=(2, 3))
    quantiser = fit_quantiser(activations)
    bits = quantise_activations(activations, quantiser).to_bools()
    bits[:, 2], bits[:, 3] = True, False
    packed = BitMatrix.from_bools(bits, [atom.name for atom in quantiser.atoms])
    target = bits[:, 4].long()
    program = extract_program(packed, quantiser, target, ("a", "b"), TreeOptions(min_leaf=1), all_kernels=True)
    assert [rule.body for rule in program.rules_of_atom[2]] == [()]
    assert 3 not in program.rules_of_atom


def test_a_chain_that_is_stopped_starts_where_it_is_whole(caplog):
    activations = make_activations(n_kernels=(6, 9, 6))
    whole, _ = extract(activations, min_leaf=20, all_kernels=True)
    asked = []

    def stop():  # once the six trees of f2 are grown, and some of f1's
        asked.append(None)
        return len(asked) > 6 + 2 + 4

    program, _ = extract(activations, min_leaf=20, all_kernels=True, stop=stop)
    assert replace(program, settings=()) == replace(whole.start_at("f1"), settings=())
    assert program.kernel_rules
    assert "stopped before all trees of layer 'f1' were grown" in caplog.text
    program, _ = extract(activations, stop=lambda: True)
    assert program.layers == ("f2",)


def test_class_weights_are_the_class_trees_alone():
    activations = make_activations()
    plain, bits = extract(activations, all_kernels=True)
    options = TreeOptions(min_leaf=10, class_weight={1: 50})
    heavy = extract_program(
        bits, plain.quantiser, activations.predictions, activations.classes, options, all_kernels=True
    )
    assert heavy.kernel_rules == plain.kernel_rules
    counts = [sum(rule.head == 1 for rule in program.class_rules) for program in (plain, heavy)]
    assert counts[0] < counts[1]


def test_one_class_only_is_refused():
    activations = make_activations(predictions=torch.ones(300, dtype=torch.int64))
    with pytest.raises(CaptureError, match="the target is 'b' on all 300 training images.*at least two classes"):
        extract(activations)
