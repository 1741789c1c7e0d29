"""Parts of `python -m bench faithfulness`: rows that aren't measured anew stay, and each has a line in the picture."""

import json

from bench import faithfulness
from bench.faithfulness_plot import LOOKS
from bench.learners import CHAIN, CLASS_PROGRAM, PARTS

TIMES = [{"what": "learning", "device": "cpu", "median_s": 0.8}]


def make_row(run, learner="trees", fidelity=0.5, **changes):
    row = {"part": CLASS_PROGRAM, "run": run, "network": PARTS[run].network, "learner": learner, "size": "9 rules"}
    sizes = {"n_rules": 9, "n_literals": 20, "n_integers": 0}
    shares = dict.fromkeys(("accuracy", "held_back", "held_back_lowest", "held_back_highest"), fidelity)
    return {**row, "start": "f", **sizes, "fidelity": fidelity, "required": None, **shares, **changes}


def test_rows_of_other_parts_stay(monkeypatch, tmp_path):
    monkeypatch.setattr(faithfulness, "PLOT", faithfulness.ROOT / ".cache" / "test_faithfulness.png")
    monkeypatch.setattr(faithfulness, "draw_faithfulness", lambda rows, path: None)
    monkeypatch.setattr(faithfulness, "measure_part", lambda name, part: [make_row(name, fidelity=0.9)])
    before = tmp_path / "f.json"
    old = [make_row("digits"), make_row("classes", fidelity=0.1), make_row("classes", part=CHAIN)]
    before.write_text(json.dumps({"times": TIMES, "rows": old}))
    found = faithfulness.run_case(parts=["digits", "fold"], before=before)
    assert found["rows"] == [*old[1:], make_row("fold", fidelity=0.9), make_row("digits", fidelity=0.9)]
    assert found["times"] == TIMES


def test_every_class_learner_has_a_look():
    names = {learner.name for part in PARTS.values() for learner in part.learners}
    assert {name for name in names if not name.endswith("all logits")} == set(LOOKS)
    assert all(learner.kind in (CHAIN, CLASS_PROGRAM) for part in PARTS.values() for learner in part.learners)


def test_pictures_are_drawn(tmp_path):
    rows = [make_row(run, learner, n_literals=n) for run in ("classes", "digits") for learner in LOOKS for n in (9, 30)]
    rows += [make_row("chains", "weights", part=CHAIN, start=start) for start in ("f", "g")]
    faithfulness.draw_faithfulness(rows, tmp_path / "f.png")
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
