"""Ready tables of features as activations: any container, predictions and labels any way, nothing guessed."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

from eric_fast.errors import CaptureError, DataError
from eric_fast.program.words import select_rules
from eric_fast.runs import approximate_model, evaluate_program
from eric_fast.store import load_activations, save_activations
from eric_fast.table.features import capture_table
from eric_fast.text import parse_program, print_program

FEATURES = np.random.default_rng(5).normal(size=(400, 6)).astype(np.float32)
ANSWERS = (FEATURES[:, 2] > 0.3).astype(np.int64) + 2 * (FEATURES[:, 4] < -0.2)
NAMES = np.array(["ant", "bee", "cat", "dog"])
LABELS = [None if i % 7 == 0 else str(NAMES[(a + (i % 11 == 0)) % 4]) for i, a in enumerate(ANSWERS)]


@pytest.fixture
def folder(tmp_path):
    columns = {f"u{i}": FEATURES[:, i] for i in range(6)}
    columns |= {"answer": NAMES[ANSWERS], "truth": LABELS, "key": [f"s{i}" for i in range(400)]}
    pa.parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    np.save(tmp_path / "t.npy", FEATURES)
    np.save(tmp_path / "answers.npy", ANSWERS)
    np.save(tmp_path / "logits.npy", np.eye(4, dtype=np.float32)[ANSWERS] * 5)
    return tmp_path


def test_every_container_gives_the_same(folder):
    expected = torch.from_numpy(FEATURES)
    given = [
        capture_table(folder / "t.parquet", "answer", "truth", ids="key"),
        capture_table(folder / "t.npy", folder / "answers.npy", LABELS, classes=NAMES.tolist()),
        capture_table(FEATURES, ANSWERS, LABELS, classes=NAMES.tolist()),
        capture_table(torch.from_numpy(FEATURES), torch.from_numpy(ANSWERS), LABELS, classes=NAMES.tolist()),
        capture_table(folder / "t.npy", str(folder / "logits.npy"), LABELS, classes=NAMES.tolist()),
    ]
    for found in given:
        assert torch.equal(found.norms["features"], expected)
        assert found.classes == tuple(NAMES)
        assert torch.equal(found.predictions, torch.from_numpy(ANSWERS))
        assert torch.equal(found.labels, given[0].labels)
        assert found.settings.norm == "mean"
    assert given[0].ids[:2] == ("s0", "s1")
    assert given[1].ids[:2] == ("000", "001")
    assert given[0].labels[0] == -1
    assert given[0].labels[1] == ANSWERS[1]
    assert given[4].has_logits
    assert not given[0].has_logits
    assert capture_table(FEATURES, ANSWERS).classes == ("0", "1", "2", "3")


def test_a_npy_file_is_mapped_into_memory(folder):
    np.save(folder / "t.npy", FEATURES)
    found = capture_table(folder / "t.npy", ANSWERS).norms["features"]
    with (folder / "t.npy").open("r+b") as file:
        file.seek(-4, 2)
        file.write(np.float32(77).tobytes())
    assert found[-1, -1] == 77


def test_the_command_writes_a_capture_that_others_read(folder, eric):
    code, out, _ = eric(
        *("capture", "--table", folder / "t.parquet", "--predictions", "answer", "--labels", "truth", "--ids", "key"),
        *("-o", folder / "c"),
    )
    assert code == 0
    assert "captured 6 units of 400 samples" in out
    assert "4 classes: ant, bee, cat, dog" in out
    found = load_activations(folder / "c")
    assert torch.equal(found.norms["features"], torch.from_numpy(FEATURES))
    program = approximate_model(found, threshold="split", min_leaf=5)
    assert evaluate_program(program, found).fidelity > 0.8


def test_tables_of_the_same_columns_are_of_one_model(folder):
    train = capture_table(folder / "t.parquet", "answer", "truth", ids="key")
    other = capture_table({f"u{i}": FEATURES[:50, i] for i in range(6)}, NAMES[ANSWERS[:50]], classes=NAMES.tolist())
    renamed = capture_table({f"v{i}": FEATURES[:50, i] for i in range(6)}, NAMES[ANSWERS[:50]], classes=NAMES.tolist())
    program = approximate_model(train)
    assert evaluate_program(program, other).n_images == 50
    with pytest.raises(CaptureError, match="extracted from another model"):
        evaluate_program(program, renamed)


def test_what_is_doubtful_is_refused(folder, refuse):
    for changes, message in [
        (
            {"predictions": "anser"},
            "'anser', of its predictions, is neither a column nor a file; did you mean 'answer'",
        ),
        ({"predictions": ANSWERS[:-1]}, "there are 399 predictions for 400 rows"),
        ({"predictions": ANSWERS}, "column 'answer' holds texts or gaps, not numbers"),
        ({"ids": None}, "column 'key' holds texts or gaps, not numbers"),
        ({"classes": ["ant", "bee", "cat"]}, "'dog', of the predictions, is no class; there are 'ant'"),
    ]:
        given = {"predictions": "answer", "labels": "truth", "ids": "key"} | changes
        with pytest.raises(DataError, match=message):
            capture_table(folder / "t.parquet", **given)
    with pytest.raises(DataError, match="row 0 has no prediction; leave it out"):
        capture_table(FEATURES, LABELS)
    with pytest.raises(DataError, match="predictions must be class names or whole numbers, not 0.5"):
        capture_table(FEATURES, np.full(400, 0.5))
    for features, given, message in [
        (FEATURES[:0], {"predictions": LABELS[:0]}, "the table has no rows"),
        (
            FEATURES,
            {"predictions": np.full(400, 10**15)},
            "1,000,000,000,000,000 is no number of a class",
        ),
        (
            FEATURES,
            {"predictions": np.full((400, 2), 1e6)},
            "a logit of 1e[+]06 is too large to keep, at most 65,504",
        ),
        (FEATURES, {"predictions": ANSWERS, "ids": [*range(399), None]}, "row 399 has no id; give one for each"),
        (
            pa.table([LABELS, LABELS, FEATURES[:, 0]], ["p", "p", "x"]),
            {"predictions": "p"},
            "'p', of its predictions, is the name of several columns; rename all but one",
        ),
    ]:
        with pytest.raises(DataError, match=message):
            capture_table(features, **given)
    holed = FEATURES.copy()
    holed[3, 1] = np.nan
    with pytest.raises(CaptureError, match=r"layer 'features', kernel 1: .*'003'"):
        capture_table(holed, ANSWERS)
    assert "capture needs MODEL and DATA, or --table FILE" in refuse("capture", "-o", folder / "d")
    table = ["capture", "--table", folder / "t.parquet", "-o", folder / "d"]
    assert "--table needs --predictions" in refuse(*table)
    assert "with --table no network runs, so --grid has no meaning" in refuse(*table, "--grid", "2")


def test_programs_call_units_by_the_names_of_their_columns(folder):
    source = capture_table(folder / "t.parquet", "answer", "truth", ids="key")
    assert source.settings.unit_names == tuple(f"u{i}" for i in range(6))
    assert capture_table(FEATURES, ANSWERS).settings.unit_names == ()
    save_activations(source, folder / "kept")
    program = approximate_model(load_activations(folder / "kept"), min_leaf=20, threshold="two-sided:mean")
    names = {label for _, label in program.labels}
    assert {"u2", "u4@negative"} <= names
    assert program.atoms[program.atom_named("u2")].name == "features:2"
    assert "features:2 (u2)" in "\n".join(select_rules(program))
    assert parse_program(print_program(program)) == program
