"""Counts in small files set to 2^20, 2^40 and -1: refused in a line, or read as without them; never much memory."""

import json
import random
import re
import resource
import struct
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from eric_fast.errors import EricError, ProgramError
from eric_fast.frontends.gates.circuit import from_circuit
from eric_fast.frontends.trees.catboost import read_catboost
from eric_fast.frontends.trees.lightgbm import read_lightgbm
from eric_fast.frontends.trees.onnx import read_onnx
from eric_fast.frontends.trees.treelite import read_treelite
from eric_fast.frontends.trees.xgboost import read_xgboost
from eric_fast.text import parse_program, print_program
from tests import fuzz_boosters
from tests.make_programs import make_program

COUNTS = (2**20, 2**40, -1)
MOST_BYTES = 2**28
IS_COUNT = re.compile(rb"num_|n_targets|size_leaf|tree_sizes|iteration_indptr|max_feature_idx|num_nodes|input_dim")
JSON_NUMBER = re.compile(rb'"(\w+)":\s*[\["]*(-?[0-9]+)\b')
LINE_NUMBER = re.compile(rb"(?m)^(\w+)=(-?[0-9]+)\b")
TEXT_NUMBER = re.compile(rb"()(?<![\w.])([0-9]+)\b")
FULL_ADDER = b"aag 7 3 0 2 4\n2\n4\n6\n12\n15\n8 2 4\n10 3 5\n12 9 11\n14 8 12\n"
HIERARCHY = [b".model m%d\n.subckt m%d\n.subckt m%d\n.end" % (i, i + 1, i + 1) for i in range(60)]
PROGRAM = print_program(make_program(random.Random(0).randint)).encode()


def edit_numbers(content, pattern):
    """The name of what is changed and the file, for the first number after each name (each number without one)."""
    seen = set()
    for found in pattern.finditer(content):
        if found[1] and found[1] in seen:
            continue
        seen.add(found[1])
        for count in COUNTS:
            yield found[1], content[: found.start(2)] + b"%d" % count + content[found.end(2) :]


def edit_ubjson(content):
    """The strings of numbers, and the lengths of arrays."""
    for found in re.finditer(rb"(\w+)SL(.{8})([0-9]+)", content, re.DOTALL):
        for count in COUNTS:
            text = b"%d" % count
            yield found[1], content[: found.start(2)] + struct.pack(">q", len(text)) + text + content[found.end(3) :]
    for found in list(re.finditer(rb"#L(.{8})", content, re.DOTALL))[:40]:
        for count in COUNTS:
            yield b"", content[: found.start(1)] + struct.pack(">q", count) + content[found.end(1) :]


def edit_checkpoint(content):
    """Each field of the header, and what may be a count in the first tree."""
    for place in range(min(len(content) - 8, 400)):
        for code in ("<i", "<q"):
            if 0 < struct.unpack_from(code, content, place)[0] < 1000:
                for count in COUNTS if code == "<q" else (2**20, 2**30, -1):
                    yield b"", content[:place] + struct.pack(code, count) + content[place + struct.calcsize(code) :]


def edit_graph(model):
    """Each integer of the graph, the first of each list."""

    def edit(message):
        for field, value in message.ListFields():
            if field.message_type is not None:
                for part in value if hasattr(value, "add") else [value]:
                    yield from edit(part)
            elif field.cpp_type in (field.CPPTYPE_INT64, field.CPPTYPE_INT32) and field.enum_type is None:
                kept = list(value) if hasattr(value, "append") else value
                name = getattr(message, "name", "") or field.name
                for count in COUNTS:
                    if isinstance(kept, list):
                        value[:] = [count if field.cpp_type == field.CPPTYPE_INT64 else 2**20, *kept[1:]]
                    else:
                        setattr(message, field.name, count if field.cpp_type == field.CPPTYPE_INT64 else 2**20)
                    yield name.encode(), model.SerializeToString()
                    if isinstance(kept, list):
                        value[:] = kept
                    else:
                        setattr(message, field.name, kept)

    yield from edit(model.graph)


def edit_circuit(content):
    yield from edit_numbers(content, TEXT_NUMBER)
    for count in COUNTS:  # the counts agree with each other
        yield b"", b"aig %d %d 0 0 0\n" % (count, count)


def list_files(name):
    """The good file, and its edits."""
    if name == "xgboost json":
        content = fuzz_boosters.save_xgboost("json")[0]
        return content, edit_numbers(content, JSON_NUMBER)
    if name == "xgboost ubjson":
        content = fuzz_boosters.save_xgboost("ubj")[0]
        return content, edit_ubjson(content)
    if name == "lightgbm":
        content = fuzz_boosters.save_lightgbm()[0]
        return content, edit_numbers(content, LINE_NUMBER)
    if name == "catboost":
        content = fuzz_boosters.train_catboost()[0]
        return content, edit_numbers(content, JSON_NUMBER)
    if name == "treelite":
        content = fuzz_boosters.make_checkpoints()[0]
        return content, edit_checkpoint(content)
    if name.startswith("onnx"):
        from tests.make_onnx import make_new, make_old

        model = {"onnx old": make_old("Regressor"), "onnx new": make_new()}[name]
        return model.SerializeToString(), edit_graph(model)
    if name == "aiger":
        return FULL_ADDER, edit_circuit(FULL_ADDER)
    if name == "blif":
        content = b"\n".join([*HIERARCHY[-2:], b".model m60\n.end"])
        deep = b"\n".join([*HIERARCHY, b".model m60\n.outputs %s\n.names %s\n1\n.end" % (b"a" * 999, b"a" * 999)])
        return content, [(b"", deep)]
    return PROGRAM, edit_numbers(PROGRAM, TEXT_NUMBER)


def read_text(content, name):
    return parse_program(content.decode())


READERS = {
    "xgboost json": read_xgboost,
    "xgboost ubjson": read_xgboost,
    "lightgbm": read_lightgbm,
    "catboost": read_catboost,
    "treelite": read_treelite,
    "onnx old": read_onnx,
    "onnx new": read_onnx,
    "aiger": lambda content, name: from_circuit(content),
    "blif": lambda content, name: from_circuit(content),
    "text": read_text,
}


@contextmanager
def limit_memory(n_bytes):
    """MemoryError where the process takes more than this beyond what it has."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    n_pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (n_pages * resource.getpagesize() + n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def answer(model):
    if not hasattr(model, "n_features_in_"):
        return None
    rows = np.linspace(-3, 300, 3 * model.n_features_in_).reshape(3, -1)
    return model.predict(rows if model.n_features_in_ > 3 else rows > 0)


def test_leaves_that_share_their_values():
    """Each of 2,000 leaves asks for the same 60,000 numbers."""
    model = json.loads(fuzz_boosters.save_xgboost("json")[1])
    model["learner"]["learner_model_param"]["num_class"] = "60000"
    [tree, *_] = model["learner"]["gradient_booster"]["model"]["trees"]
    tree["tree_param"]["size_leaf_vector"] = "60000"
    tree["leaf_weights"] = [0] * 60_000
    for name in ("left_children", "right_children", "split_conditions", "default_left", "split_indices"):
        tree[name] = [-1 if name == "left_children" else 0] * 2_000
    with limit_memory(MOST_BYTES), pytest.raises(ProgramError, match="120,000,000 values of leaves are too many"):
        read_xgboost(json.dumps(model).encode(), "f")


@pytest.mark.parametrize("name", READERS)
def test_counts_out_of_proportion(name):
    content, edits = list_files(name)
    read = partial(READERS[name], name="f")
    wanted = answer(read(content))
    reasons = []
    for what, edited in edits:
        try:
            with limit_memory(MOST_BYTES):
                model = read(edited)
                found = answer(model)
            if IS_COUNT.search(what):
                np.testing.assert_array_equal(found, wanted, err_msg=str(what))
        except EricError as error:
            reasons.append(str(error))
    assert reasons
    assert all(reason and "\n" not in reason for reason in reasons)
