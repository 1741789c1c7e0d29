"""Tensors of every kind, and files whose headers claim more than they hold: right, or an error that says what to do."""

import struct
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.tree import DecisionTreeClassifier
from torch._subclasses.fake_tensor import FakeTensorMode

from eric_fast import BitMatrix, RuleModule, approximate_model, load, read_table
from eric_fast.errors import DataError, EricError, ProgramError
from eric_fast.frontends.fields import check_claim
from eric_fast.processes.memory import find_peak_memory
from eric_fast.tensors import check_rows, read_plain
from tests.activations import make_activations

VALUES = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))


def make_fake(values):
    with FakeTensorMode() as mode:
        return mode.from_tensor(values)


STRANGE = {
    "meta": lambda x: x.to("meta"),
    "fake": make_fake,
    "sparse": lambda x: x.to_sparse(),
    "csr": lambda x: x.to_sparse_csr(),
    "mkldnn": lambda x: x.to_mkldnn(),
    "nested": lambda x: torch.nested.nested_tensor(list(x)),
    "quantised": lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
    "broadcast": lambda x: x[:1].expand(2**40, -1),
}
USUAL = {
    "strided": lambda x: torch.stack([x, x], 2)[:, :, 0],
    "transposed": lambda x: x.T.contiguous().T,
    "negated": lambda x: torch._neg_view(-x),
    "with gradient": lambda x: x.clone().requires_grad_(),
    "parameter": lambda x: torch.nn.Parameter(x),
    "double": lambda x: x.double(),
}


@pytest.fixture(scope="module")
def model():
    return load(DecisionTreeClassifier(max_depth=3).fit(VALUES.numpy(), (VALUES[:, 0] > 0).numpy()))


@pytest.fixture(scope="module")
def module():
    return RuleModule(approximate_model(make_activations(64, n_kernels=(3,)), layers="f0"))


@pytest.mark.filterwarnings("ignore")  # of PyTorch, that some of these are new
@pytest.mark.parametrize("kind", STRANGE)
def test_a_tensor_that_cannot_be_read_is_refused_with_the_remedy(kind, model, module):
    strange = STRANGE[kind](VALUES)
    for use in (
        lambda: model.predict(strange),
        lambda: module(strange),
        lambda: BitMatrix(strange, 64, ("a", "b", "c")),
        lambda: make_activations(64, norms={"f0": strange}),
    ):
        with pytest.raises(EricError, match=r"layout|without values|quantised|rows|int32|shape"):
            use()


@pytest.mark.parametrize("kind", USUAL)
def test_any_dense_tensor_gives_the_same_answers(kind, model, module):
    usual = USUAL[kind](VALUES)
    assert model.predict(usual).tolist() == model.predict(VALUES).tolist()
    columns = {f"x{i}": usual[:, i] for i in range(3)}
    assert model.predict(columns).tolist() == model.predict(VALUES).tolist()
    assert torch.equal(module(USUAL[kind](VALUES.abs())), module(VALUES.abs()))


def test_a_view_of_many_rows_is_refused_by_its_answers(model):
    with pytest.raises(DataError, match=r"the table has 1,099,511,627,776 rows: answers take 4\.4 TB"):
        model.predict(np.broadcast_to(VALUES[:1].numpy(), (2**40, 3)))
    check_rows(2**24 + 1, "a table")  # 64 MiB are there
    assert read_plain(VALUES, "x") is not None


def write_npy(shape, n_bytes, version=(1, 0), dtype="<f4"):
    header = str({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    size = struct.pack("<H" if version[0] == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes(version) + size + header + bytes(n_bytes)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_a_header_that_claims_more_than_the_file_holds(tmp_path, version):
    for shape in ((2**40, 3), (2**62, 2**62), (16, 3)):
        (tmp_path / "t.npy").write_bytes(write_npy(shape, 100, version))
        with pytest.raises(DataError, match=r"t\.npy: its header says [\d,]+ bytes of values, but it has"):
            read_table(tmp_path / "t.npy")
        with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
            archive.writestr("x.npy", write_npy(shape, 100, version))
        with pytest.raises(DataError, match=r"x\.npy: its header says"):
            read_table(tmp_path / "t.npz")
    (tmp_path / "t.npy").write_bytes(write_npy((5, 3), 60, version))
    assert read_table(tmp_path / "t.npy").n_rows == 5


def test_a_parquet_file_that_claims_more_than_it_holds(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": [1.5] * 77}), path)
    assert read_table(path).n_rows == 77
    content = path.read_bytes()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    footer = content[start:-8]
    for old, new, message in (
        (b"\x16" + _write_varint(77), b"\x16" + _write_varint(2**40), r"it says [\d,]+ rows, but it has [\d,]+ bytes"),
        (b"\x19\x1c", b"\x19\xfc\xc0\x84\x3d", "can't be read"),  # a million groups, of which there is one
    ):
        assert old in footer
        wrong = footer.replace(old, new)
        path.write_bytes(content[:start] + wrong + len(wrong).to_bytes(4, "little") + content[-4:])
        used = find_peak_memory()
        with pytest.raises(DataError, match=message):
            read_table(path)
        assert find_peak_memory() - used < 2**28


def _write_varint(value):
    """A number that is not negative, as Thrift's compact protocol writes it."""
    value, found = 2 * value, b""
    while value > 127:
        found, value = found + bytes([value & 127 | 128]), value >> 7
    return found + bytes([value])


def test_a_folder_of_parquet_files_is_one_table(tmp_path):
    folder = tmp_path / "all.parquet"
    folder.mkdir()
    for number in range(2):
        pq.write_table(pa.table({"a": [1.5, number]}), folder / f"{number}.parquet")
    assert read_table(folder).n_rows == 4


def test_arrays_of_any_size_are_still_read(tmp_path):
    for array in (np.zeros((0, 3), np.float32), np.ones((4, 2)), np.asfortranarray(np.ones((3, 2), np.int8))):
        np.save(tmp_path / "t.npy", array)
        np.savez_compressed(tmp_path / "t.npz", array)
        assert read_table(tmp_path / "t.npy").n_rows == read_table(tmp_path / "t.npz").n_rows == len(array)
    for content in (b"", b"PK\x03\x04", b"\x93NUMPY", write_npy((1, 1), 4)[:9]):
        for name in ("t.npy", "t.npz"):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(DataError, match="can't be read"):
                read_table(tmp_path / name)


def test_claims_are_measured_by_the_file(tmp_path):
    check_claim(2**16, 10, "outputs", "m.onnx")
    check_claim(2**17, 2**17, "outputs", "m.onnx")
    with pytest.raises(ProgramError, match=r"m\.onnx: 65,537 outputs are too many for a file of its size, 65,536 at"):
        check_claim(2**16 + 1, 10, "outputs", "m.onnx")


def test_an_onnx_file_of_a_million_targets_is_refused_at_once():
    onnx = pytest.importorskip("onnx")
    from eric_fast import from_onnx

    tree = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_values": [0.5, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
        "target_weights": [1.0, 2.0],
    }
    make = onnx.helper.make_tensor_value_info
    for n_targets in (10**6, 2**62):
        tree["n_targets"] = n_targets
        node = onnx.helper.make_node("TreeEnsembleRegressor", ["X"], ["Y"], domain="ai.onnx.ml", **tree)
        graph = onnx.helper.make_graph([node], "g", [make("X", 1, [None, 2])], [make("Y", 1, [None, 1])])
        opsets = [onnx.helper.make_opsetid("ai.onnx.ml", 3), onnx.helper.make_opsetid("", 17)]
        with pytest.raises(ProgramError, match=f"{n_targets:,} outputs are too many for a file of its size"):
            from_onnx(onnx.helper.make_model(graph, opset_imports=opsets))
