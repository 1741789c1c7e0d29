"""`eric-fast analyse` and `eric-fast label` as a person runs them."""

import json
import shutil

import pytest

from eric_fast.program import ClassRule, Program
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.program.labels import label_atoms, parse_labels
from eric_fast.program.table_atoms import Column, TableAtom, TableQuantiser
from eric_fast.text import load_program, print_program


@pytest.fixture
def program_file(made, tmp_path):
    return shutil.copy(made / "p.lp", tmp_path / "p.lp")


def test_analyse_shows_tables_and_writes_json(made, eric, tmp_path):
    code, out, err = eric(
        "analyse", made / "test", "--program", made / "p.lp", "--json", tmp_path / "a.json", "--limit", 3
    )
    assert code == 0, err
    for words in ("450 images, from the bits of 1: fidelity", "key kernels: ", "; the first 3 of 14", "sub-classes: "):
        assert words in out
    assert max(map(len, out.splitlines())) <= 120
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["start_layer"] == "1"
    assert {row["name"] for row in content["kernels"]} == {f"1:{i}" for i in range(6)} | {f"3:{i}" for i in range(8)}
    eric("evaluate", made / "p.lp", made / "test", "--json", tmp_path / "e.json")
    score = json.loads((tmp_path / "e.json").read_text())
    assert content["fidelity"] == score["fidelity"]
    assert content["accuracy"] == score["accuracy"]
    code, out, _ = eric("analyse", made / "test", "--program", made / "p.lp", "--start", "3", "--limit", 0)
    assert code == 0
    assert "from the bits of 3" in out
    assert "1:0" not in out
    assert "the first" not in out


def test_analyse_refuses_in_one_line(made, refuse, tmp_path):
    command = ("analyse", made / "test", "--program", made / "p.lp")
    assert "no layer '7'" in refuse(*command, "--start", "7")
    assert "--limit must be 0" in refuse(*command, "--limit", "-1")
    assert "permutations must be at least 1" in refuse(*command, "--permutations", 0)
    assert "can't be read" in refuse("analyse", made / "test", "--program", tmp_path / "none.lp")
    assert "is given twice" in refuse(*command, "--json", made / "p.lp", "--force")


def test_labels_are_kept_and_shown(made, eric, program_file, tmp_path):
    before = load_program(program_file)
    code, out, _ = eric(
        "label", program_file, "3_1=wheels", "3:2= red = hot ", "k_3_4=sky", "--json", tmp_path / "l.json"
    )
    assert code == 0
    assert out.splitlines()[:3] == ["3:1=wheels", "3:2=red = hot", "3:4=sky"]
    assert json.loads((tmp_path / "l.json").read_text()) == {
        "labels": {"3:1": "wheels", "3:2": "red = hot", "3:4": "sky"},
        "concepts": [],
    }
    program = load_program(program_file)
    rows = program.quantiser.rows_of_layer["3"]
    assert program.label_of_atom == {rows[1]: "wheels", rows[2]: "red = hot", rows[4]: "sky"}
    assert label_atoms(program, dict.fromkeys(program.label_of_atom, "")) == before
    assert "3:1 (wheels)" in eric("show", program_file, "--kernel", "wheels")[1]
    assert "3:1 (wheels)" in eric("analyse", made / "test", "--program", program_file, "--limit", 0)[1]
    assert "label(k_3_1" in program_file.read_text()
    assert eric("label", program_file, "wheels=")[0] == 0  # by its label, too
    code, out, _ = eric("label", program_file)
    assert out.splitlines() == ["3:2=red = hot", "3:4=sky", f"2 labels in {program_file}"]


def test_labels_go_to_another_file(eric, program_file, refuse, tmp_path):
    before = program_file.read_text()
    other = tmp_path / "q.lp"
    assert eric("label", program_file, "3:1=wheels", "-o", other)[0] == 0
    assert program_file.read_text() == before
    assert load_program(other).labels[0][1] == "wheels"
    assert "exists" in refuse("label", program_file, "3:1=tyres", "-o", other)


def test_a_persons_comments_are_not_lost(eric, program_file, refuse):
    program_file.write_text(program_file.read_text() + "% mine\n")
    assert "its comments and layout would be lost" in refuse("label", program_file, "3:1=wheels")
    assert "% mine" in program_file.read_text()
    assert eric("label", program_file)[0] == 0  # to look at them is fine
    assert eric("label", program_file, "3:1=wheels", "--force")[0] == 0
    assert "% mine" not in program_file.read_text()


def test_odd_labels_are_refused_in_one_line(program_file, refuse):
    before = program_file.read_text()
    assert "not KERNEL=LABEL" in refuse("label", program_file, "3:1")
    assert "is not an atom of this program; did you mean" in refuse("label", program_file, "3:11=wheels")
    assert "two labels" in refuse("label", program_file, "3:1=a", "3_1=b")
    assert "can't hold" in refuse("label", program_file, "3:1=a\rb")
    assert program_file.read_text() == before


def test_names_with_equal_signs_and_twin_labels():
    columns = (Column("a"), Column("b=c"))
    atoms = (TableAtom(0, "a", "<=", 1.5), TableAtom(1, "b=c", "<=", 1.0))
    program = Program(TableQuantiser(atoms, columns), ("x",), (ClassRule(0, (0, 1)),))
    assert parse_labels(program, ["a <= 1.5=low", "b=c <= 1.0=b = c"]) == {0: "low", 1: "b = c"}
    kernels = tuple(InputAtom("f", k, ">", 0.5) for k in range(3))
    twins = Program(Quantiser(kernels), ("x",), (), labels=((0, "sky"), (2, "sky"), (1, "sea")))
    assert twins.atom_named("sea") == 1
    with pytest.raises(ValueError, match="'sky' could be 'f:0' or 'f:2'"):
        twins.atom_named("sky")
    assert label_atoms(twins, {0: "", 1: "lake"}).labels == ((1, "lake"), (2, "sky"))
    assert "label(k_f_1" in print_program(twins)
