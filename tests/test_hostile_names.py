"""Names that would move a cursor, turn a line round or run in a spreadsheet: shown escaped wherever people look."""

import csv
import io
import json
import logging
import warnings

import pytest
import torch
from PIL import Image

from eric_fast import load_model, load_program
from eric_fast.errors import EricError, ModelError
from eric_fast.show import console
from eric_fast.show.plots import draw_confusion
from eric_fast.visible import _HIDDEN, escape_json_text, make_all_visible, make_cell, make_visible

CLASSES = ["\x1b[2J\x1b]0;gone\x07", "a\u202ebc\u2066", "=cmd|' C calc'!A0", "@x\x9b31m"]
FILES = ["\x1b[31mred\r", "\u202egnp", "-1+1", "[bold]\u2028[x"]
NETWORK = f"""
import torch
from torch import nn
CLASSES = {CLASSES!r}
def build():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 4))
"""


def find_hidden(text):
    return sorted(set(map(ascii, _HIDDEN.findall(text))))


def read_lines(path):
    return path.read_bytes().decode().replace("\r\n", "\n")  # as CSV ends lines


@pytest.fixture(scope="module")
def hostile(make_once):
    return make_once("hostile", make_hostile)


def make_hostile(root):
    from tests.command_fixtures import run_command

    (root / "net.py").write_text(NETWORK)
    for c, name in enumerate(CLASSES):
        folder = root / "images" / name
        folder.mkdir(parents=True)
        for i in range(8):
            noise = torch.randint(256, (8, 8, 3), generator=torch.Generator().manual_seed(8 * c + i), dtype=torch.uint8)
            Image.fromarray(noise.numpy()).save(folder / f"{FILES[i % 4]}{i}.png")
    for arguments in (
        ["capture", f"{root / 'net.py'}:build", root / "images", "-o", root / "c", "--norm-dtype", "float32"],
        ["extract", root / "c", "-o", root / "p.lp", "--layers", "all", "--min-leaf", "2"],
        ["extract", root / "c", "-o", root / "q.lp", "--layers", "all", "--min-leaf", "3"],
        ["extract", root / "c", "-o", root / "v.lp", "--rules", "weights", "--min-leaf", "2"],
    ):
        assert run_command(*arguments) == 0, arguments
    for name in ("p", "q"):
        kernel = load_program(root / "p.lp").atoms[0].name
        assert run_command("label", root / f"{name}.lp", f"{kernel}=\x1b[7mwheel\u202e") == 0


def list_commands(root, out):
    network = f"{root / 'net.py'}:build"
    image = f"{root / 'images'}:3"
    return [
        ["capture", network, root / "images", "-o", out / "c", "--json", out / "c.json"],
        ["verify", root / "c"],
        ["pack", root / "c", "-o", out / "b", "--threshold", "mean"],
        ["extract", root / "c", "-o", out / "p.lp", "--layers", "all", "--json", out / "x.json"],
        ["show", root / "p.lp"],
        ["show", root / "v.lp"],
        ["evaluate", root / "p.lp", root / "c", "--chains", "--json", out / "e.json"],
        ["explain", image, "--program", root / "p.lp", "--model", network, "--png", out / "x.svg", "--earlier"],
        ["analyse", root / "c", "--program", root / "p.lp", "--json", out / "a.json"],
        ["compare", root / "p.lp", root / "q.lp", root / "c", "--json", out / "d.json"],
        ["report", root / "c", "--program", root / "p.lp", "-o", out / "r", "--data", root / "images"],
        ["predict", root / "p.lp", root / "c", "-o", out / "t.csv"],
        *(["convert", root / "p.lp", "-o", out / f"p.{to}", "--format", to] for to in ("prolog", "python", "c")),
        ["label", root / "p.lp", "--json", out / "l.json"],
    ]


def test_no_command_shows_a_control_character(hostile, eric, tmp_path):
    for arguments in list_commands(hostile, tmp_path):
        code, out, err = eric(*arguments)
        assert code == 0, (arguments[0], err)
        assert find_hidden(out + err) == [], arguments[0]
    written = [path for path in tmp_path.rglob("*") if path.suffix not in (".png", ".lp", ".safetensors", ".npy")]
    checked = {path.name for path in written if path.is_file() and find_hidden(read_lines(path)) == []}
    assert checked == {path.name for path in written if path.is_file()}
    assert {"index.html", "report.json", "confusion.svg", "x.svg", "t.csv", "p.c", "l.json", "manifest.json"} <= checked
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 33
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]
    assert "'=cmd|' C calc'!A0" in {row[1] for row in rows} | {row[0].partition("/")[0] for row in rows}
    labels = json.loads((tmp_path / "l.json").read_text(encoding="utf-8"))["labels"]
    assert list(labels.values()) == ["\x1b[7mwheel\u202e"]  # data stay what they are


def test_no_error_shows_one(hostile, refuse, tmp_path):
    name = "\x1b]0;x\x07\u202e\r"
    for arguments in (
        ["show", tmp_path / name],
        ["show", hostile / "p.lp", "--class", name],
        ["capture", f"{name}:build", hostile / "images", "-o", tmp_path / "c"],
        ["evaluate", hostile / "p.lp", hostile / "c", "--start", name],
        ["label", hostile / "p.lp", f"{name}=x"],
        ["report", hostile / "c", "--program", hostile / "p.lp", "-o", hostile / "images"],
        ["extract", hostile / "c", "-o", tmp_path / name / "p.lp", "--engine", name],
    ):
        said = refuse(*arguments)
        assert find_hidden(said) == [], arguments[0]


def test_errors_of_the_library_show_none():
    assert str(EricError("a\x1b[2Jb\u202e")) == "a\\x1b[2Jb\\u202e"
    with pytest.raises(ModelError, match=r"\\x1b") as error:
        load_model("\x1b[2J.py:build")
    assert find_hidden(str(error.value)) == []


def test_notes_and_progress_show_none(capsys):
    console.show_notes()
    logging.getLogger("eric_fast.x").warning("the image %s", "\x1b[2J\r\u202e")
    with console.show_progress() as progress:
        progress("trees of \x1b[2J[bold]\u202e", 1, 1)
    said = capsys.readouterr().err
    assert find_hidden(said) == []
    assert said.count("\\x1b[2J") == 2


def test_pictures_draw_none(hostile, tmp_path):
    from eric_fast import evaluate_program, load_activations

    program = load_program(hostile / "p.lp")
    score = evaluate_program(program, load_activations(hostile / "c"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a glyph that the font lacks
        file = io.BytesIO()
        draw_confusion(score, program.classes).savefig(file, format="svg")
    assert find_hidden(file.getvalue().decode()) == []


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        *(("=1+1", "'=1+1"), ("@SUM(A1)", "'@SUM(A1)"), ("-2+3", "'-2+3"), ("+x", "'+x"), ("\t=1", "'\t=1")),
        *(("-1", "-1"), ("+1.5e3", "+1.5e3"), ("-inf", "-inf"), ("a=1", "a=1"), ("", ""), (-3, -3), (None, None)),
        *(("\r=1", "\\x0d=1"), ("\n=1", "'\n=1"), ("\uff1d1+1", "'\uff1d1+1"), ("\uff201", "'\uff201")),
    ],
)
def test_cells(given, shown):
    assert make_cell(given) == shown


def test_what_is_harmless_stays():
    for text in ("Straße\n\tcafé 北京 שלום 👩\u200d🔬", "\\x1b", ""):
        assert make_visible(text) == text
        assert json.loads(escape_json_text(json.dumps(text, ensure_ascii=False))) == text
    assert make_all_visible({"a\x1b": ["\x7f", 1, None]}) == {"a\\x1b": ["\\x7f", 1, None]}
    hostile = "".join(map(chr, [0x1B, 0x85, 0x202E, 0x2069]))
    assert json.loads(escape_json_text(json.dumps([hostile], ensure_ascii=False))) == [hostile]
