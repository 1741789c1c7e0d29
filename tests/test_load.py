"""`eric_fast.load` and the commands over it: what a file holds decides, whatever it is called."""

import csv
import gzip
import pickle
import shutil

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

import eric_fast
from eric_fast import from_asp, load, load_program, read_table
from eric_fast.errors import ModelError, ProgramError
from eric_fast.frontends.registry import FRONT_ENDS

RULES = "class(X,'a b') :- Age(X,N0), N0>3.5, not job(X,'none').\nclass(X,'c') :- job(X,'none').\n".replace(
    "Age", "age"
)
TABLE = "Age,Job,extra\n4,Clerk,1\n4,None,2\n3,clerk,3\n"
ANSWERS = ["a b", "c", None]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "rules.pl").write_text(RULES)
    (tmp_path / "table.csv").write_text(TABLE)
    return tmp_path


def test_public_names_load_when_they_are_used():
    assert {"load", "from_asp", "read_table", "RuleModel", "print_prolog"} <= set(eric_fast.__all__)
    assert isinstance(load(RULES), eric_fast.RuleModel)


def test_rules_and_programs_are_told_apart_by_what_they_hold(files):
    table = read_table(files / "table.csv")
    model = load(files / "rules.pl")
    assert model.source == "answer set program"
    assert model.predict(table).tolist() == ANSWERS
    eric_fast.save_program(model.program, files / "rules.txt")
    for source in (RULES, str(files / "rules.pl"), files / "rules.txt", model.program.to_asp()):
        again = load(source)
        assert again.program == model.program
        assert again.source == "answer set program"
        assert again.predict(table).tolist() == ANSWERS


def test_errors_name_the_file(files):
    (files / "rules.pl").write_text(RULES + "class(X,'a') :- { p(X) }.\n")
    with pytest.raises(ProgramError, match=r"rules.pl:3:17: expected a bound beside the sum"):
        load(files / "rules.pl")
    (files / "latin.lp").write_bytes("class(X,'é') :- p(X).\n".encode("latin-1"))
    with pytest.raises(ProgramError, match=r"latin.lp:1:10: expected UTF-8, got byte 0xe9"):
        load(files / "latin.lp")
    (files / "p.lp").write_text("format(1). classes(0,'a').")
    with pytest.raises(ProgramError, match="p.lp:1:"):
        load(files / "p.lp")


@pytest.mark.parametrize("source", ["missing.lp", "a\0b", b"bytes", 3, None, object(), "table.csv", "."])
def test_what_is_nothing_that_can_be_loaded(files, monkeypatch, source):
    monkeypatch.chdir(files)
    with pytest.raises(ModelError):
        load(source)


def test_an_unknown_model_is_told_what_can_be_loaded():
    names = [source.name for source in FRONT_ENDS]
    assert len(set(names)) == len(names) == 12
    with pytest.raises(ModelError, match="builtins.object is not a model or program") as caught:
        load(object())
    assert str(caught.value).endswith(", ".join(names))


def test_pickled_files_are_refused_and_never_opened(files):
    ran = files / "ran"

    class Runs:
        def __reduce__(self):
            return (open, (str(ran), "w"))

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for number, value in enumerate((Runs(), {"a": [1, 2.5, "b"]})):
            path = files / f"model{protocol}.{number}"
            path.write_bytes(pickle.dumps(value, protocol))
            with pytest.raises(ModelError, match="is pickled, and unpickling runs code that is in the file: load it"):
                load(path)
    for name in ("model.joblib", "model.pkl.gz"):
        joblib.dump(Runs(), files / name, compress=3 if name.endswith("gz") else 0)
        with pytest.raises(ModelError, match="is pickled" if name.endswith("joblib") else "is compressed"):
            load(files / name)
    assert not ran.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (gzip.compress(b"tree", mtime=0), "is compressed"),
        (b"PK\x03\x04", "is a zip archive"),
        ("a(X) :- b(X).".encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        (b"CBM1^X", "is CatBoost's binary format"),
        (b"binf\0\0\0\x3f", "is XGBoost's old binary format"),
        (bytes(136) + b"\x0f\0\0\0\0\0\0\0binary:logistic\x06\0\0\0\0\0\0\0gbtree", "is XGBoost's old binary format"),
        (b"booster[0]:\n0:[f0<0.5] yes=1,no=2,missing=2\n", "is XGBoost's dump_model"),
        (b'[\n  { "nodeid": 0, "depth": 0', "is XGBoost's dump_model"),
        (b'{"name": "tree", "version": "v4"', "is LightGBM's dump_model"),
        (b'{\n    "threshold_type": "float32"', "is treelite's dump_as_json"),
        (from_asp("a(X,b) :- c(X,1).").program.to_prolog().encode(), "is Prolog that eric_fast wrote"),
        (from_asp("a(X,b) :- c(X,1).").program.to_python().encode(), "is code that eric_fast wrote"),
        (from_asp("a(X,b) :- c(X,1).").program.to_c().encode(), "is code that eric_fast wrote"),
        (b'\x40\0\0\0\0\0\0\0{"a":', "holds tensors, .* eric-fast capture"),
        (b"\x93NUMPY\x01", "is a table"),
    ],
)
def test_other_files_are_told_what_they_are(tmp_path, content, message):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=f"file {message}"):
        load(path)


@pytest.mark.parametrize("content", [b".model t\n.inputs a\n.outputs a\n", b"# c\n.model t\n.inputs a\n.outputs a\n"])
def test_a_circuit_is_no_pickle(tmp_path, content):  # a full stop ends a pickle
    path = tmp_path / "circuit"
    path.write_bytes(content)
    assert load(path).source == "BLIF circuit t"


def test_a_model_survives_its_text(tmp_path):
    data, target = load_iris(return_X_y=True)
    tree = DecisionTreeClassifier(max_depth=4, random_state=0).fit(data, target)
    path = tmp_path / "tree.lp"
    path.write_text(load(tree).program.to_asp(), encoding="utf-8")
    again = load(path)
    assert again.source == "scikit-learn DecisionTreeClassifier"
    assert again.predict(data).tolist() == tree.predict(data).tolist()
    assert (again.predict_proba(data) == tree.predict_proba(data)).all()
    with pytest.raises(ModelError, match="LogisticRegression"):
        load(LogisticRegression())


def read_rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_predict_writes_what_the_model_answers(eric, files):
    code, out, err = eric("predict", files / "rules.pl", files / "table.csv", "-o", files / "p.csv")
    assert (code, out, err) == (0, f"wrote {files}/p.csv: 3 rows\n", f"{files}/rules.pl: answer set program\n")
    assert read_rows(files / "p.csv") == [["prediction"], ["a b"], ["c"], [""]]
    (files / "bare.csv").write_text("4,none\n")
    bare = ["predict", files / "rules.pl", files / "bare.csv", "--no-header", "-o", files / "q.csv"]
    assert eric(*bare)[0] == 0
    assert read_rows(files / "q.csv") == [["prediction"], ["c"]]


def test_predict_writes_scores_sums_and_bits(eric, files):
    data, target = load_iris(return_X_y=True)
    np.save(files / "iris.npy", data)
    tree = DecisionTreeClassifier(max_depth=3, random_state=0).fit(data, np.array(["x", "y", "z"])[target])
    (files / "tree.lp").write_text(load(tree).program.to_asp(), encoding="utf-8")
    for engine in ("auto", "reference"):
        options = ["-o", files / "p.csv", "--scores", "--engine", engine, "--force"]
        assert eric("predict", files / "tree.lp", files / "iris.npy", *options)[0] == 0
        rows = read_rows(files / "p.csv")
        assert rows[0] == ["prediction", "probability x", "probability y", "probability z"]
        assert [row[0] for row in rows[1:]] == tree.predict(data).tolist()
        assert [list(map(float, row[1:])) for row in rows[1:]] == tree.predict_proba(data).tolist()
    bits = """format(1). column(0,"a","float64"). compare(c_a_1,0,">","5.5"). decision("bits"). output(0,"high",c_a_1).
    column(1,"b","float64"). column(2,"c","float64"). column(3,"d","float64"). #defined image/1."""
    sums = bits.replace('decision("bits"). output(0,"high",c_a_1)', 'decision("sum"). classes(0,"y"). base("y","0.5")')
    for name, text in (
        ("bits.lp", bits),
        ("sums.lp", sums + '\nrule(1,"y","2.25"). fires(X,1) :- image(X), c_a_1(X).'),
    ):
        (files / name).write_text(text)
        assert eric("predict", files / name, files / "iris.npy", "-o", files / "p.csv", "--force")[0] == 0
        header, *rows = read_rows(files / "p.csv")
        high = data[:, 0] > 5.5
        assert header == (["high"] if name == "bits.lp" else ["prediction"])
        assert [float(row[0]) for row in rows] == (high if name == "bits.lp" else 0.5 + 2.25 * high).tolist()


def test_convert_writes_programs(eric, files):
    for name, form in (("p.lp", "asp"), ("p.pl", "prolog")):
        code, out, err = eric("convert", files / "rules.pl", "-o", files / name, "--format", form)
        assert (code, err) == (0, f"{files}/rules.pl: answer set program\n")
        assert out == f"wrote {files}/{name}: 2 class rules and 0 other rules, 3 literals, 0 integers\n"
    assert load_program(files / "p.lp") == load(RULES).program
    assert (files / "p.pl").read_text() == load(RULES).program.to_prolog()
    assert eric("convert", files / "p.lp", "-o", files / "again.lp")[0] == 0
    assert (files / "again.lp").read_bytes() == (files / "p.lp").read_bytes()


def test_commands_refuse_in_a_line(refuse, files):
    predict = ["predict", files / "rules.pl", files / "table.csv", "-o", files / "p.csv"]
    assert "so --start, --model have no meaning" in refuse(*predict, "--model", "x", "--start", "y")
    assert "has no scores" in refuse(*predict, "--scores")
    assert "engine 'warp'" in refuse(*predict, "--engine", "warp")
    assert "not a known format" in refuse("convert", files / "rules.pl", "-o", files / "p.txt", "--format", "java")
    assert "not a model or program" in refuse("convert", files / "table.csv", "-o", files / "p.txt")
    assert "can't be read" in refuse("predict", files / "none.lp", files / "table.csv", "-o", files / "p.csv")
    assert "can't be read" in refuse("predict", files / "rules.pl", files / "none.csv", "-o", files / "p.csv")
    (files / "table.csv").write_text("Age,Jobs\n1,2\n")
    assert "no column 'job'; there are 'Age', 'Jobs'" in refuse(*predict)
    (files / "model.pkl").write_bytes(pickle.dumps({}))
    assert "is pickled" in refuse("predict", files / "model.pkl", files / "table.csv", "-o", files / "p.csv")
    (files / "bad.lp").write_text("class(X,'a') :- p(X.\nclass(X,'b') :- q X).\n")
    assert refuse("convert", files / "bad.lp", "-o", files / "p.txt").count("expected a literal") == 2
    assert not (files / "p.csv").exists()
    assert not (files / "p.txt").exists()
    assert "given twice" in refuse("convert", files / "rules.pl", "-o", files / "rules.pl", "--force")


def test_options_for_tables_mean_nothing_for_images(made, refuse, tmp_path):
    predict = ["predict", made / "p.lp", made / "test", "-o", tmp_path / "p.csv"]
    message = refuse(*predict, "--scores", "--no-header")
    assert "over the kernels of a network, so --scores, --header have no meaning" in message
    shutil.copy(made / "p.lp", tmp_path / "copy.bin")
    assert "p.csv exists" in refuse("convert", tmp_path / "copy.bin", "-o", _touch(tmp_path / "p.csv"))


def _touch(path):
    path.touch()
    return path
