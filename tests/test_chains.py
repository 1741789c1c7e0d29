"""Chains on true and on predicted bits, and their measurement."""

import io
import json
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from eric_fast.bits import BitMatrix
from eric_fast.chains import measure_chains
from eric_fast.errors import CaptureError, OutputError, SettingError
from eric_fast.extract import TreeOptions, extract_program, grow_trees, list_leaves
from eric_fast.program import ClassRule, Program, Rule, atom_of
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.program.simplify import drop_unmentioned, find_mentioned
from eric_fast.quantise import fit_quantiser, quantise_activations
from eric_fast.runs import approximate_model, evaluate_chains, evaluate_program, predict_bits
from eric_fast.show.chain_plot import draw_chains, save_plot
from eric_fast.show.chains import tabulate_chains
from eric_fast.text import load_program, parse_program, print_program
from tests.activations import make_activations

OPTIONS = TreeOptions(min_leaf=10)


def prepare(n_images=400, n_kernels=(6, 5, 4)):
    activations = make_activations(n_images, n_kernels)
    quantiser = fit_quantiser(activations)
    return activations, quantiser, quantise_activations(activations, quantiser)


def extract(grown_on, activations, quantiser, bits, **settings):
    target, classes = activations.predictions, activations.classes
    return extract_program(bits, quantiser, target, classes, OPTIONS, grown_on=grown_on, **settings)


def test_of_one_layer_both_ways_are_the_same():
    made = prepare(n_kernels=(9,))
    assert extract("predicted", *made) == extract("true", *made)
    activations = made[0]
    true, predicted = (approximate_model(activations, options=OPTIONS, grown_on=way) for way in ("true", "predicted"))
    assert dict(predicted.settings) == {**dict(true.settings), "grown_on": "predicted"}
    assert replace(predicted, settings=()) == replace(true, settings=())


def test_the_lowest_trees_are_the_same_and_the_others_are_not():
    made = prepare()
    true, predicted = (extract(how, *made, all_kernels=True) for how in ("true", "predicted"))
    for layer, same in (("f1", True), ("f2", False)):
        rows = true.quantiser.rows_of_layer[layer]
        of_layer = [[rule for rule in program.kernel_rules if rule.head in rows] for program in (true, predicted)]
        assert (of_layer[0] == of_layer[1]) is same
    assert true.class_rules != predicted.class_rules


@pytest.mark.parametrize("simplify", [True, False])
def test_each_layer_is_grown_on_what_the_rules_below_answer(simplify):
    """Again by plain means: trees by scikit-learn's words, walked one image at a time, and the reference engine."""
    activations, quantiser, bits = prepare(300, (5, 4, 3, 3))
    program = extract("predicted", activations, quantiser, bits, all_kernels=True, simplify=simplify)
    given = bits.select_atoms([atom.name for atom in quantiser.atoms_of_layer("f0")]).to_bools()
    answered = predict_bits(program, bits, engine="reference", with_bits=True)
    for layer in quantiser.layers[1:]:
        names = [atom.name for atom in quantiser.atoms_of_layer(layer)]
        inputs = BitMatrix.from_bools(given, [f"column:{i}" for i in range(given.shape[1])])
        forest = grow_trees(inputs, bits.select_atoms(names), OPTIONS)
        given = torch.stack([walk(list_leaves(forest, tree), given) for tree in range(len(names))], dim=1) == 1
        assert torch.equal(answered.bits.select_atoms(names).to_bools(), given)
    inputs = BitMatrix.from_bools(given, [f"column:{i}" for i in range(given.shape[1])])
    forest = grow_trees(inputs, activations.predictions, OPTIONS, n_values=3)
    assert walk(list_leaves(forest, 0), given).tolist() == answered.classes.tolist()


def walk(leaves, columns):
    """What a tree answers on each row of bool columns."""
    answers = []
    for row in columns.tolist():
        found = [leaf for leaf in leaves if all(row[atom_of(lit)] == (lit >= 0) for lit in leaf.body)]
        assert len(found) == 1
        answers.append(found[0].answer)
    return torch.tensor(answers)


def test_support_counts_the_bits_that_rules_were_grown_on():
    activations, quantiser, bits = prepare()
    program = extract("predicted", activations, quantiser, bits)
    names = [atom.name for atom in program.atoms]
    seen = predict_bits(program, bits, engine="reference", with_bits=True).bits.select_atoms(names).to_bools()
    truth = bits.to_bools()
    for rule in (*program.kernel_rules, *program.class_rules):
        fires = torch.ones(len(seen), dtype=torch.bool)
        for literal in rule.body:
            fires &= seen[:, literal] if literal >= 0 else ~seen[:, ~literal]
        if rule in program.class_rules:
            right = activations.predictions == rule.head
        else:
            right = truth[:, rule.head] != (rule.head in program.negated)
        assert (rule.covered, rule.correct) == (fires.sum(), (fires & right).sum())


def test_what_nothing_mentions_is_dropped_at_the_end():
    made = prepare(n_kernels=(6, 9, 8))
    whole, kept = (extract("predicted", *made, all_kernels=every) for every in (True, False))
    assert kept == replace(drop_unmentioned(whole), settings=kept.settings)
    assert len(kept.kernel_rules) < len(whole.kernel_rules)
    assert int(dict(kept.settings)["literals_as_grown"]) < int(dict(whole.settings)["literals_as_grown"])
    assert {rule.head for rule in kept.kernel_rules} | set(kept.negated) <= find_mentioned(whole)
    assert predict_bits(kept, made[2]).classes.tolist() == predict_bits(whole, made[2]).classes.tolist()


def test_dropping_unmentioned_kernels_is_growing_mentioned_ones_alone():
    made = prepare(n_kernels=(6, 9, 8))
    whole, kept = (extract("true", *made, all_kernels=every) for every in (True, False))
    assert replace(drop_unmentioned(whole), settings=()) == replace(kept, settings=())


def test_what_is_mentioned_is_followed_through_rules():
    atoms = tuple(InputAtom(layer, k, ">", 1.0) for layer in "fgh" for k in range(2))
    rules = (Rule(2, (0,)), Rule(3, (1,)), Rule(4, (~2,)), Rule(5, (3,)))
    program = Program(Quantiser(atoms), ("a",), (), rules, negated=(3, 4))
    assert find_mentioned(program) == set()
    program = replace(program, class_rules=(ClassRule(0, (~4,)),))
    assert find_mentioned(program) == {4, 2, 0}
    assert drop_unmentioned(program) == replace(program, kernel_rules=(rules[0], rules[2]), negated=(4,))


def test_the_order_of_images_changes_nothing():
    activations = make_activations(700)
    shuffled = activations.take(torch.randperm(700, generator=torch.Generator().manual_seed(3)))
    texts = [
        print_program(approximate_model(part, layers="all", options=OPTIONS, grown_on="predicted"))
        for part in (activations, shuffled)
    ]
    assert texts[0] == texts[1]
    assert parse_program(texts[0]).kernel_rules
    studies = [measure_chains(part, make_activations(99, seed=1), min_leaves=[20]) for part in (activations, shuffled)]
    assert studies[0] == studies[1]


def test_stopped_growth_leaves_class_rules_on_true_bits(caplog):
    activations, quantiser, bits = prepare()
    program = extract("predicted", activations, quantiser, bits, stop=lambda: True)
    alone = Quantiser(quantiser.atoms_of_layer("f2"))
    assert program == extract("true", activations, alone, bits)
    assert "stopped before the rules of layer 'f1'" in caplog.text


def test_settings_that_mean_nothing_are_refused():
    activations = make_activations()
    with pytest.raises(SettingError, match="grown on 'neither' is not one of true, predicted, both"):
        approximate_model(activations, grown_on="neither")
    with pytest.raises(SettingError, match="max loss is measured on true bits"):
        approximate_model(activations, grown_on="predicted", max_loss=0.01)
    for wrong in ([], [10, 10]):
        with pytest.raises(SettingError, match="at least one minimum leaf, each given once"):
            measure_chains(activations, activations, min_leaves=wrong)
    with pytest.raises(SettingError, match="'f2' is a single layer, but a chain needs at least two layers"):
        measure_chains(activations, activations, layers=["f2"])
    one = replace(activations, predictions=torch.ones_like(activations.predictions))
    with pytest.raises(CaptureError, match="the target is 'b' on all"):
        approximate_model(one, layers="all", grown_on="predicted")


def test_captures_that_do_not_belong_together_are_refused():
    train, test = make_activations(), make_activations(seed=1)
    other = replace(test, settings=replace(test.settings, fingerprint="bad"))
    with pytest.raises(CaptureError, match="two captures are of different models .fingerprints 5eed and bad"):
        measure_chains(train, other)
    with pytest.raises(CaptureError, match="lacks layer 'f1'"):
        measure_chains(train, test.select_layers(["f0", "f2"]))
    with pytest.raises(CaptureError, match="no images to score"):
        measure_chains(train, test.take(torch.tensor([], dtype=torch.int64)))


@pytest.fixture(scope="module")
def study():
    return measure_chains(make_activations(600), make_activations(300, seed=1), min_leaves=[10, 60], with_bounds=True)


def test_rows_are_what_the_programs_score(study):
    train, test = make_activations(600), make_activations(300, seed=1)
    assert [(row.min_leaf, row.way, row.score.start_layer) for row in study.rows] == [
        (leaf, way, start) for leaf in (10, 60) for way in ("true", "predicted", "direct") for start in train.layers
    ]
    for leaf in (10, 60):
        options = TreeOptions(min_leaf=leaf)
        expected = evaluate_chains(approximate_model(train, layers="all", options=options), test)
        assert [study.find_row("true", start, leaf).score for start in train.layers] == expected
        for i, start in enumerate(train.layers):
            program = approximate_model(train, layers=train.layers[i:], options=options, grown_on="predicted")
            assert study.find_row("predicted", start, leaf).score == evaluate_program(program, test)
            alone = approximate_model(train, layers=[start], options=options)
            assert study.find_row("direct", start, leaf).score == evaluate_program(alone, test)
    assert study.find_row("true", "f0") == study.find_row("true", "f0", 10) != study.find_row("true", "f0", 60)


def test_bits_right_are_counted_by_hand(study):
    train, test = make_activations(600), make_activations(300, seed=1)
    for way, (i, start) in ((way, pair) for way in ("true", "predicted") for pair in enumerate(train.layers)):
        program = approximate_model(train, layers=train.layers[i:], options=OPTIONS, grown_on=way, all_kernels=True)
        truth = quantise_activations(test, program.quantiser)
        found = predict_bits(program, truth, engine="reference", with_bits=True).bits.select_atoms(truth.atoms)
        same = found.to_bools() == truth.to_bools()
        row = study.find_row(way, start)
        above = train.layers[i + 1 :]
        assert list(row.bits_right) == list(above)
        for layer in above:
            rows = program.quantiser.rows_of_layer[layer]
            assert row.bits_right[layer] == pytest.approx(same[:, rows.start : rows.stop].double().mean().item())
        n_given = len(program.quantiser.atoms_of_layer(start))
        if above:
            assert row.share_right == pytest.approx(same[:, n_given:].double().mean().item())
        else:
            assert row.share_right is None
    assert study.find_row("direct", "f0").bits_right == {}


def test_floors_come_from_the_training_images():
    """On images that are all unlike most of training they are nothing; from those images they would be everything."""
    train, test = make_activations(600), make_activations(300, seed=1)
    quantiser = fit_quantiser(train, train.predictions, threshold="split")
    mostly = quantise_activations(train, quantiser, ["f1"]).to_bools().double().mean(dim=0) >= 0.5
    unlike = torch.where(mostly, 0.0, 1e6).float().expand(300, -1).contiguous()
    commonest = train.predictions.bincount().argmax()
    rare = torch.full((300,), (commonest.item() + 1) % 3)
    study = measure_chains(train, replace(test, norms={**test.norms, "f1": unlike}, predictions=rare), min_leaves=[100])
    assert list(study.commoner_value) == ["f1", "f2"]
    assert study.commoner_value["f1"] == 0
    assert 0.5 < study.commoner_value["f2"] < 1
    assert study.commonest_class == 0
    same = replace(test, predictions=torch.full((300,), commonest.item()))
    assert measure_chains(train, same, min_leaves=[100]).commonest_class == 1


def test_what_the_bits_allow_is_boosting_on_each_layer(study):
    assert [bound.layer for bound in study.bounds] == ["f0", "f1", "f2"]
    assert study.find_bound("f1") is study.bounds[1]
    fidelity = [bound.fidelity for bound in study.bounds]
    assert study.commonest_class < fidelity[0] < fidelity[2]
    assert fidelity[2] > 0.8
    assert all(0 < bound.accuracy <= 1 for bound in study.bounds)


def test_evaluated_images_change_no_program():
    train = make_activations(400)
    first, second = (measure_chains(train, make_activations(200, seed=seed), min_leaves=[10]) for seed in (1, 2))
    assert [row.score.n_literals for row in first.rows] == [row.score.n_literals for row in second.rows]
    assert [row.score.fidelity for row in first.rows] != [row.score.fidelity for row in second.rows]


def test_growing_on_predicted_bits_regains_fidelity():
    train, test = make_activations(3000, (8, 8, 8, 8)), make_activations(2000, (8, 8, 8, 8), seed=1)
    study = measure_chains(train, test, min_leaves=[30])
    true, predicted = (study.find_row(way, "f0").score.fidelity for way in ("true", "predicted"))
    assert predicted > true + 0.01


def test_tables_have_a_cell_for_each_column_and_fit(study):
    for table in tabulate_chains(study):
        assert all(str(column.header) for column in table.columns)
        assert len({len(list(column.cells)) for column in table.columns}) == 1
        console = Console(width=200, record=True, file=io.StringIO())
        console.print(table)
        assert max(map(len, console.export_text().splitlines())) <= 100
    sweep = tabulate_chains(study)[-1]
    first = study.find_row("true", study.layers[0], study.order_leaves()[0]).score
    assert next(iter(sweep.columns[-2].cells)) == f"{first.n_rules:,} / {first.n_literals:,} / {first.n_integers:,}"


def test_unknown_labels_leave_accuracy_out():
    train, test = make_activations(400), make_activations(200, seed=1)
    study = measure_chains(train, replace(test, labels=torch.full((200,), -1)), min_leaves=[20])
    assert study.model_accuracy is None
    assert study.rows[0].score.accuracy is None
    assert "unknown" in str([list(column.cells) for column in tabulate_chains(study)[0].columns])


def test_the_picture_shows_every_line(study):
    left, right = draw_chains(study).axes
    values = {line.get_label(): list(line.get_ydata()) for line in left.get_lines()}
    assert len(values) == 5
    for words, way in (("predicted bits", "predicted"), ("true bits", "true"), ("no chain", "direct")):
        (found,) = (line for label, line in values.items() if words in label)
        assert found == [study.find_row(way, layer).score.fidelity for layer in study.layers]
    assert [bound.fidelity for bound in study.bounds] in values.values()
    assert len(right.get_lines()) == 6
    labels = [line.get_label() for line in right.get_lines()]
    for layer in study.layers:
        score = study.find_row("predicted", layer, study.order_leaves()[-1]).score
        assert f"{layer}: {score.n_rules:,} / {score.n_literals:,} / {score.n_integers:,}" in labels
    for line in right.get_lines():
        assert list(line.get_xdata()) == sorted(line.get_xdata())  # from the largest leaf to the smallest
    fewer = draw_chains(replace(study, bounds=())).axes[0]
    assert len(fewer.get_lines()) == 4


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_picture_is_the_same_file_each_time(study, tmp_path, ending):
    paths = [tmp_path / f"{i}.{ending}" for i in range(2)]
    for path in paths:
        save_plot(study, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].read_bytes().startswith(b"\x89PNG" if ending == "png" else b"<?xml")
    with pytest.raises(OutputError, match="exists; give --force"):
        save_plot(study, paths[0])
    with pytest.raises(SettingError, match="must end in .png or .svg"):
        save_plot(study, tmp_path / "a.jpg")


def test_chain_prints_writes_and_draws(made, eric, tmp_path):
    arguments = ["chain", made / "train", made / "test", "--target", "label", "--min-leaf", "20,60"]
    code, out, err = eric(*arguments, "--bound", "--json", tmp_path / "c.json", "--plot", tmp_path / "c.svg")
    assert code == 0, err
    assert "450 images, programs from 600 others" in out
    assert max(map(len, out.splitlines())) <= 100
    figures = json.loads((tmp_path / "c.json").read_text())
    assert figures["layers"] == ["1", "3"]
    assert [bound["layer"] for bound in figures["bounds"]] == ["1", "3"]
    assert (tmp_path / "c.svg").stat().st_size > 1000
    assert eric("evaluate", made / "p.lp", made / "test", "--chains", "--json", tmp_path / "e.json")[0] == 0
    expected = json.loads((tmp_path / "e.json").read_text())["chains"]
    true = [row for row in figures["rows"] if row["way"] == "true" and row["min_leaf"] == 20]
    for found, score in zip(true, expected, strict=True):
        assert score.items() <= found.items()
        assert f"{found['fidelity']:.3f}" in out


def test_extract_grows_on_predicted_bits(made, eric, tmp_path):
    extract = ["extract", made / "train", "-o", tmp_path / "p.lp", "--layers", "all", "--target", "label"]
    assert eric(*extract, "--min-leaf", "20", "--grown-on", "predicted")[0] == 0
    program = load_program(tmp_path / "p.lp")
    assert dict(program.settings)["grown_on"] == "predicted"
    assert program.class_rules != load_program(made / "p.lp").class_rules
    assert program.kernel_rules


def test_chain_refuses_in_one_line(made, refuse, eric, tmp_path):
    chain = ["chain", made / "train", made / "test", "--target", "label"]
    assert "must end in .png or .svg" in refuse(*chain, "--plot", tmp_path / "c.jpg")
    assert "'3' is a single layer" in refuse(*chain, "--layers", "3")
    assert "min leaf 'few'" in refuse(*chain, "--min-leaf", "20,few")
    assert "each given once" in refuse(*chain, "--min-leaf", "20,20")
    assert "criterion 'x'" in refuse(*chain, "--criterion", "x")
    assert "no layer '4'" in refuse(*chain, "--layers", "3,4")
    assert "given twice; score programs" in refuse("chain", made / "train", made / "train")
    assert "manifest.json" in refuse("chain", made / "train", tmp_path)
    assert "grown on 'x'" in refuse("extract", made / "train", "-o", tmp_path / "p.lp", "--grown-on", "x")
    (tmp_path / "c.png").write_text("x")
    assert "exists; give --force" in refuse(*chain, "--plot", tmp_path / "c.png")
    assert "is given twice; write" in refuse(
        *chain, "--force", "--plot", tmp_path / "c.png", "--json", tmp_path / "c.png"
    )
    assert (tmp_path / "c.png").read_text() == "x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.png"]


def test_chain_refuses_a_capture_of_another_model(made, eric, refuse, tmp_path):
    (tmp_path / "net.py").write_text((made / "net.py").read_text().replace("manual_seed(1)", "manual_seed(2)"))
    assert eric("capture", f"{tmp_path / 'net.py'}:build", "digits/test", "-o", tmp_path / "c")[0] == 0
    assert "different models" in refuse("chain", made / "train", tmp_path / "c", "--target", "label")
