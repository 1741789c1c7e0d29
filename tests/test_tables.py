"""Tables of any kind give the same bits; texts, numbers, names and files mean what they say."""

import math
from collections import namedtuple
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eric_fast.bits import unpack_words
from eric_fast.errors import DataError
from eric_fast.program.table_atoms import Column, TableAtom, TableQuantiser
from eric_fast.table import TablePacker, as_table, match_name, read_table
from tests.optional import import_optional

NAMES = ("age", "job", "size", "spent")
COLUMNS = (Column("age", "float32"), Column("job", "text"), Column("size", "loose"), Column("spent"))
ATOMS = (
    TableAtom(0, "age", "<=", 2.5),
    TableAtom(0, "age", ">", 0.0, missing=True),
    TableAtom(1, "job", "in", ("a", "B c")),
    TableAtom(1, "job", "in", ("a",), missing=True),
    TableAtom(2, "size", "in", ("big", "very_big", "3")),
    TableAtom(2, "size", ">=", 3.0),
    TableAtom(3, "spent", "in", (0.0, 7.5)),
    TableAtom(3, "spent", "!=", 7.5),
)
ROWS = [
    [1.0, "a", "big", 7.5],
    [3.0, "b c", "Very Big", -0.0],
    [None, "B c", 3.0, None],
    [2.5, None, "3", math.inf],
    [-0.0, "", None, 1.0],
]
BITS = [
    [1, 1, 1, 1, 1, 0, 1, 0],
    [0, 1, 0, 0, 1, 0, 1, 1],
    [0, 1, 1, 0, 1, 1, 0, 0],
    [1, 1, 0, 1, 1, 1, 0, 1],
    [1, 0, 0, 0, 0, 0, 0, 1],
]


def pack(data, columns=COLUMNS, atoms=ATOMS, **options):
    words, n_rows = TablePacker(TableQuantiser(atoms, columns), **options).pack(data)
    return unpack_words(words, n_rows).int().tolist()


def columns_of(rows):
    return {name: list(values) for name, values in zip(NAMES, zip(*rows, strict=True), strict=True)}


def test_rows_columns_and_object_arrays():
    columns = columns_of(ROWS)
    Row = namedtuple("Row", NAMES)
    for data in (
        ROWS,
        tuple(map(tuple, ROWS)),
        [Row(*row) for row in ROWS],
        columns,
        {name.upper(): columns[name] for name in reversed(NAMES)} | {"more": [1] * 5},
        np.array(ROWS, object),
        {name: np.array(values, object) for name, values in columns.items()},
        as_table(columns),
    ):
        assert pack(data) == BITS


def test_frames():
    pandas, polars = import_optional("pandas"), import_optional("polars")
    columns = columns_of(ROWS)
    frame = pandas.DataFrame(columns)
    plain = {**columns, "size": ["big", "Very Big", "3", "3", None]}
    assert pack(frame) == BITS
    assert pack(pandas.DataFrame({**columns, "extra": 1})[["extra", *reversed(NAMES)]]) == BITS
    assert pack(frame.rename(columns=str.title)) == BITS
    nullable = pandas.DataFrame(plain).convert_dtypes()
    assert pack(nullable) == BITS
    coded = pandas.DataFrame(plain).astype({"job": "category", "size": "category", "spent": "category"})
    assert pack(coded) == BITS
    assert pack(pandas.DataFrame(plain).astype({"job": "string", "size": "string[pyarrow]"})) == BITS
    assert pack(pa.table(plain)) == BITS
    assert pack(pa.RecordBatch.from_pydict(plain)) == BITS
    assert pack(polars.DataFrame(plain)) == BITS
    coded = polars.DataFrame(plain).with_columns(polars.col("job").cast(polars.Categorical))
    assert pack(coded) == BITS
    with pytest.raises(DataError, match="lazy frame"):
        pack(coded.lazy())
    table = pa.table(plain)
    for place, name in ((2, "size"), (3, "spent")):
        table = table.set_column(place, name, table[name].dictionary_encode())
    assert pack(pa.concat_tables([table.slice(0, 2), table.slice(2, 0), table.slice(2)])) == BITS


def test_arrays_and_tensors_of_one_type():
    columns = tuple(Column(f"x{i}", kind) for i, kind in enumerate(("float32", "float64", "text", "loose")))
    atoms = (
        TableAtom(0, "x0", "<=", 1.0),
        TableAtom(1, "x1", ">", 1.0),
        TableAtom(2, "x2", "in", ("2", "3.0")),
        TableAtom(3, "x3", "in", ("1", "true")),
        TableAtom(1, "x1", "in", (2.0, 3.0)),
    )
    values = np.array([[0, 1, 2, 1], [1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2]])
    expected = {
        "f": [[1, 0, 1, 1, 0], [1, 1, 1, 0, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]],
        "i": [[1, 0, 1, 1, 0], [1, 1, 0, 0, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]],  # an integer is no '3.0'
    }
    for dtype in [
        "float32",
        "float64",
        "float16",
        ">f8",
        "int64",
        "int8",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        ">i4",
    ]:
        array = values.astype(dtype)
        kind = "f" if array.dtype.kind == "f" else "i"
        assert pack(array, columns, atoms) == expected[kind], dtype
        assert pack(np.asfortranarray(array), columns, atoms) == expected[kind], dtype
        assert pack(array[::-1], columns, atoms) == expected[kind][::-1], dtype
        frozen = array.copy()
        frozen.flags.writeable = False
        assert pack(frozen, columns, atoms) == expected[kind], dtype
        structured = np.rec.fromarrays(array.T, names=["x0", "x1", "x2", "x3"])
        assert pack(structured, columns, atoms) == expected[kind], dtype
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int16, torch.uint8):
        kind = "f" if dtype.is_floating_point else "i"
        assert pack(torch.from_numpy(values).to(dtype), columns, atoms) == expected[kind], dtype
    assert pack(values.astype(str), columns, atoms) == expected["i"]
    assert pack(values.astype("S1"), columns, atoms) == expected["i"]
    masked = np.ma.masked_equal(values, 2)
    assert [row[0] for row in pack(masked, columns, atoms)] == [1, 1, 0, 0]
    assert [row[2] for row in pack(masked, columns, atoms)] == [0, 0, 0, 0]


def test_truths_and_large_integers():
    columns = (Column("x", "text"), Column("y", "loose"), Column("z"))
    atoms = (
        TableAtom(0, "x", "in", ("True", "9007199254740993")),
        TableAtom(1, "y", "in", ("true",)),
        TableAtom(1, "y", "in", ("0",)),
        TableAtom(2, "z", "==", float(2**53)),
    )
    truths = np.array([[True] * 3, [False] * 3])
    assert pack(truths, columns, atoms) == [[1, 1, 0, 0], [0, 0, 1, 0]]
    assert pack({"x": [True, "True"], "y": ["TRUE", False], "z": [1, 2**53]}, columns, atoms) == [
        [1, 1, 0, 0],
        [1, 0, 1, 1],
    ]
    large = np.array([[2**53 + 1] * 3, [2**53] * 3])
    # As a text it is exact; as a number it is rounded, and 2^53 + 1 becomes 2^53
    assert pack(large, columns, atoms) == [[1, 0, 0, 1], [0, 0, 0, 1]]
    holes = pa.table({"x": [2**53 + 1, None], "y": [True, None], "z": [2**53 + 1, None]})
    assert pack(holes, columns, atoms) == [[1, 1, 0, 1], [0, 0, 0, 0]]
    huge = {"x": [10**30], "y": [Decimal("1.50")], "z": [10**30]}
    atoms = (TableAtom(0, "x", "in", (str(10**30),)), TableAtom(1, "y", "in", ("1.5",)), TableAtom(2, "z", ">", 1e29))
    assert pack(huge, columns, atoms) == [[1, 1, 1]]


@pytest.mark.parametrize("kind", ["text", "loose"])
def test_a_few_texts_are_looked_up_as_many_are(kind):
    pandas = import_optional("pandas")
    values = ["a", None, "A ", "", "b", "B", "1", "no", "é"]
    columns, atoms = (
        (Column("x", kind),),
        [TableAtom(0, "x", "in", ("a", "b", "1")), TableAtom(0, "x", "in", ("",), True)],
    )
    for make in (pa.array, lambda texts: pa.array(texts, pa.large_string()), pandas.Series, to_objects):
        few, many = pack({"x": make(values)}, columns, atoms), pack({"x": make(values * 5)}, columns, atoms)
        assert many == few * 5
        assert few[0] == [1, 0]
        assert few[1] == [0, 1]


def to_objects(values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


ODD_TEXTS = ("x", "0x10", "1_0", "1,5")  # which a column of numbers refuses


def test_texts_that_spell_numbers():
    spelled = ["1", " 2.5\t", "+3", ".5", "5.", "1e400", "-inf"]
    spelled += ["NaN", "", *ODD_TEXTS, None, "-0", "1E1"]
    expected = [1, 2.5, 3, 0.5, 5, math.inf, -math.inf, *[None] * 7, 0, 10]
    atoms = tuple(TableAtom(0, "x", "==", float(value)) for value in sorted({v for v in expected if v is not None}))
    for kind in ("float64", "float32", "loose"):
        column = [None if text in ODD_TEXTS and kind != "loose" else text for text in spelled]
        got = pack({"x": column}, (Column("x", kind),), atoms)
        values = [[atom.constant for atom, bit in zip(atoms, row, strict=True) if bit] for row in got]
        assert values == [[] if value is None else [value] for value in expected]


def test_a_text_among_numbers_is_refused_and_its_row_named():
    columns = (Column("x"), Column("y", "loose"))
    atoms = (TableAtom(0, "x", ">", 0.0), TableAtom(1, "y", ">", 0.0))
    gaps = ["1", "?", "", " NA", "null", "n/a", None]
    bits = pack({"x": gaps, "y": ["a", "1", "b", "", "1", "x", "c"]}, columns, atoms)
    assert bits == [[1, 0], [0, 1], [0, 0], [0, 0], [0, 1], [0, 0], [0, 0]]
    coded = pa.DictionaryArray.from_arrays(pa.array([1, None, 2, 3]), pa.array(["odd, but unused", "1", "1,5", "2"]))
    for values in (["1", "", "1,5", "x"], ["1", 2.5, "1,5", "x"], coded, pa.array(["1", None, "1,5", "x"])):
        table = as_table({"x": values, "y": ["a"] * 4})
        with pytest.raises(DataError, match=r"row 2, column 'x': '1,5' is not a number; write one, or leave"):
            pack(table, columns, atoms)
        with pytest.raises(DataError, match=r"row 2, column 'x': '1,5'"):
            pack(table.take_rows(2, 4), columns, atoms)
        pack(table.take_rows(0, 2), columns, atoms)


@given(st.lists(st.one_of(st.floats(width=64), st.integers(-(2**70), 2**70), st.booleans(), st.text(), st.none())))
def test_any_objects_are_compared_as_python_compares_them(values):
    column = (Column("x", "text"),)
    sets = tuple(dict.fromkeys(spell(value) for value in values if value is not None and value == value))
    sets = tuple(text for text in sets if text.isprintable() and text.isascii() and text)[:8]
    atoms = tuple(TableAtom(0, "x", "in", (text,)) for text in sets)
    if not atoms:
        return
    got = pack({"x": values}, column, atoms)
    for value, row in zip(values, got, strict=True):
        is_there = value is not None and value == value
        assert row[0] == (is_there and sets[0] in spellings(value, sets))


def spell(value):
    return value if isinstance(value, str) else str(value)


def spellings(value, known):
    """The first of the ways to write it that the program knows."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, bool):
        ways = [str(value), str(value).lower(), str(int(value))]
    else:
        ways = [str(value)] + ([str(int(value))] if math.isfinite(value) and value == int(value) else [])
    return [way for way in ways if way in known][:1]


def test_columns_are_found_by_name_or_place():
    rows = [[1.0, "a", "big", 7.5]]
    assert pack(rows) == pack({"Age": [1.0], "JOB": ["a"], "size ": ["x"], "Size": ["big"], "spent": [7.5]})
    with pytest.raises(DataError, match="no column 'job'; did you mean 'jobs'"):
        pack({"age": [1], "jobs": ["a"], "size": ["x"], "spent": [1]})
    with pytest.raises(DataError, match=r"'job' could be 'Job' \(column 2\) and 'JOB' \(column 3\)"):
        pack({"age": [1], "Job": ["a"], "JOB": ["a"], "size": ["x"], "spent": [1]})
    with pytest.raises(DataError, match="expected a table of 4 columns, got 3"):
        pack([[1, 2, 3]])
    # Names that only count, on the side of the table, are none
    pandas = import_optional("pandas")
    assert pack(pandas.DataFrame(rows)) == pack(rows)
    with pytest.raises(DataError, match="none of which is called 'age'"):
        pack(pandas.DataFrame([[1, 2, 3]]))
    # A model whose names are made up asks for places alone
    assert pack({name: [value] for name, value in zip("dcba", rows[0], strict=True)}, named=False) == pack(rows)
    # Columns that nothing compares may be missing
    assert pack({"b": [1.0]}, (Column("a"), Column("b")), (TableAtom(1, "b", ">", 0.0),)) == [[1]]
    assert match_name("hours_per_week", ["Hours Per Week"]) == 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros(4), r"got an array of shape \[4\]"),
        (torch.zeros(2, 2, 2), r"got an array of shape \[2, 2, 2\]"),
        (np.zeros((2, 4), complex), "complex"),
        (np.zeros((2, 4), "datetime64[s]"), "column '1' holds datetime64"),
        ([[1, 2, 3, 4], [1, 2]], "have 2 to 4 values"),
        (["abcd"], "expected rows of values, got a str"),
        ([1, 2], "expected rows of values, got a int"),
        ({"age": [1], "job": ["a", "b"], "size": [1], "spent": [1]}, "have 1 to 2 rows"),
        ({"age": [1], "job": [["a"]], "size": [1], "spent": [1]}, "column 'job' holds list"),
        ({"age": [1], "job": [{"a"}], "size": [1], "spent": [1]}, "column 'job' holds list"),
        ({"age": [1], "job": [b"\xff"], "size": [1], "spent": [1]}, "not UTF-8"),
        (pa.table({"age": [1], "job": pa.array([1], pa.timestamp("s")), "size": [1], "spent": [1]}), "holds timestamp"),
        (object(), "a builtins.object is no table"),
        ("x.csv", "a builtins.str is no table"),
    ],
)
def test_what_is_no_table(data, message):
    with pytest.raises(DataError, match=message):
        pack(data)


def test_sparse_matrices_are_refused():
    sparse = import_optional("scipy.sparse")
    with pytest.raises(DataError, match="toarray"):
        pack(sparse.csr_matrix(np.zeros((2, 4))))


@pytest.mark.parametrize("n_rows", [0, 1, 31, 32, 33, 1000])
def test_sizes(n_rows):
    rng = np.random.default_rng(n_rows)
    values = rng.integers(0, 4, (n_rows, 2))
    columns = (Column("a"), Column("b", "text"))
    atoms = (TableAtom(0, "a", "<=", 1.0), TableAtom(1, "b", "in", ("1", "2")))
    expected = np.stack([values[:, 0] <= 1, (values[:, 1] == 1) | (values[:, 1] == 2)], axis=1).astype(int).tolist()
    assert pack(values, columns, atoms) == expected
    assert pack({"a": values[:, 0], "b": [str(v) for v in values[:, 1]]}, columns, atoms) == expected


def test_a_program_without_columns_or_comparisons():
    assert TablePacker(TableQuantiser((), (Column("a"),))).pack(np.zeros((3, 1)))[0].shape[0] == 0
    assert TablePacker(TableQuantiser((), ())).pack({})[1] == 0


def test_csv(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('\ufeffage,job,size,spent,age\n1,a,big,7.5,\n 3 ,"b c",Very Big,-0,x\n?,"B c",3,,"y\nz"\n', "utf-8")
    table = read_table(path)
    assert table.names == ("age", "job", "size", "spent", "age")
    assert [column.to_pylist() for column in table.columns][4] == ["", "x", "y\nz"]
    with pytest.raises(DataError, match="'age' could be"):
        pack(table)
    path.write_text("AGE,job,size,spent\n1,a,big,7.5\n 3 ,b c,Very Big,-0\n?,B c,3,\n2.5,,3,inf\n", "utf-8")
    expected = [*BITS[:3], [1, 1, 0, 0, 1, 1, 0, 1]]  # an empty text is a text
    assert pack(read_table(path)) == expected
    path.write_text(path.read_text("utf-8").partition("\n")[2], "utf-8")
    assert pack(read_table(path, header=False)) == expected
    tsv = path.with_suffix(".TSV")
    tsv.write_text("a\tb\n02\t2\n", "utf-8")
    columns = (Column("a", "text"), Column("b", "text"))
    twos = tuple(TableAtom(i, name, "in", ("2",)) for i, name in enumerate("ab"))
    assert pack(read_table(tsv), columns, twos) == [[0, 1]]
    path.write_text("a\n1\n\n2\n\n", "utf-8")
    assert read_table(path).columns[0].to_pylist() == ["1", "", "2", ""]
    path.write_text("a,b\n1,2\n\n3,4\n\n", "utf-8")
    assert read_table(path).n_rows == 2
    path.write_text("", "utf-8")
    assert read_table(path).n_rows == 0
    for text in ("\r\n\na\n1\n2", '\n"a"\n1\n2\n'):  # empty lines before the names, and no end
        path.write_text(text, "utf-8")
        assert (read_table(path).names, read_table(path).columns[0].to_pylist()) == (("a",), ["1", "2"])


def test_a_csv_file_of_many_columns(tmp_path):
    """Its rows are longer than Arrow's blocks; numbers of all columns are cast together, odd ones by column."""
    path, n = tmp_path / "t.csv", 20_000
    numbers = [[f"{i}.{row}{'0' * 60}" for i in range(n)] for row in range(2)]
    path.write_text("\n".join(",".join(row) for row in (map("c{}".format, range(n)), *numbers)), "utf-8")
    assert max(map(len, path.read_text().splitlines())) > 2**20
    table = read_table(path)
    assert table.columns[0].num_chunks == 1
    stacked, places = table.stack_numbers(range(n), torch.float64)
    assert torch.equal(stacked, torch.tensor([[float(text) for text in row] for row in numbers], dtype=torch.float64))
    assert places == list(range(n))
    path.write_text("a,b\n1,x\n2, 3 \n")
    found, _ = read_table(path).stack_numbers([0, 1], torch.float64, odd="keep")
    assert found.nan_to_num(-1).tolist() == [[1, -1], [2, 3]]


def test_parquet_and_numpy_files(tmp_path):
    plain = {**columns_of(ROWS), "size": ["big", "Very Big", "3", "3", None]}
    table = pa.table(plain)
    pa.parquet.write_table(table.set_column(1, "job", table["job"].dictionary_encode()), tmp_path / "t.parquet")
    assert pack(read_table(tmp_path / "t.parquet")) == BITS
    numbers = np.array([[1.0, 5.0], [np.nan, 2.0]])
    columns = (Column("a"), Column("b"))
    atoms = (TableAtom(0, "a", ">", 0.0), TableAtom(1, "b", ">", 3.0))
    np.save(tmp_path / "t.npy", numbers)
    np.savez(tmp_path / "t.npz", numbers)
    np.savez_compressed(tmp_path / "u.npz", b=numbers[:, 1], a=numbers[:, 0])
    for name in ("t.npy", "t.npz", "u.npz"):
        assert pack(read_table(tmp_path / name), columns, atoms) == [[1, 1], [0, 0]]
    np.savez(tmp_path / "v.npz", a=numbers, b=numbers)
    with pytest.raises(DataError, match=r"one matrix, or columns of one dimension, got a \[2, 2\], b \[2, 2\]"):
        read_table(tmp_path / "v.npz")


def test_files_that_are_no_tables(tmp_path):
    ran = tmp_path / "ran"

    class Runs:
        def __reduce__(self):
            return (open, (str(ran), "w"))

    np.save(tmp_path / "p.npy", np.array([Runs()], object), allow_pickle=True)
    np.savez(tmp_path / "p.npz", a=np.array([Runs()], object), allow_pickle=True)
    for name in ("p.npy", "p.npz"):
        with pytest.raises(DataError, match="pickled objects, which are never loaded"):
            read_table(tmp_path / name)
    assert not ran.exists()
    (tmp_path / "t.txt").write_text("a")
    (tmp_path / "t.parquet").write_text("junk")
    (tmp_path / "t.csv").write_bytes(b"a,b\n1,2\n3\n")
    (tmp_path / "u.csv").write_bytes(b"a,b\n\xff,2\n")
    (tmp_path / "v.csv").write_bytes("a,b\n1,2\n".encode("utf-16-le"))
    (tmp_path / "w.csv").write_bytes("é,b\n1,2\n".encode("latin-1"))
    for name, message in (
        ("t.txt", "must end in one of .csv"),
        ("t.parquet", "can't be read as a table"),
        ("t.csv", "Expected 2 columns"),
        ("u.csv", "UTF8"),
        ("v.csv", "its first line is not UTF-8"),
        ("w.csv", "its first line is not UTF-8"),
        ("none.csv", "can't be read: No such file"),
    ):
        with pytest.raises(DataError, match=message):
            read_table(tmp_path / name)


def test_files_whose_values_are_damaged(tmp_path):
    """What a fuzzer found: each was an error of the reader's own."""
    for name, value in (("a.npz", "a" * 300), ("b.npy", [["ab"]])):
        path = tmp_path / name
        save = np.savez_compressed if name.endswith("z") else np.save
        save(path, np.array(value))
        content = bytearray(path.read_bytes())
        content[-(1 if name == "b.npy" else 120)] ^= 255
        path.write_bytes(content)
        with pytest.raises(DataError, match="can't be read as a table|are not Unicode"):
            read_table(path).read(0)
    (tmp_path / "c.npy").write_bytes(b"\x93NUMPY\x01\x00\x06\x00{'a': ")
    pa.parquet.write_table(pa.table({"a": ["text text"]}), tmp_path / "d.parquet", compression="none")
    content = (tmp_path / "d.parquet").read_bytes()
    (tmp_path / "d.parquet").write_bytes(content.replace(b"text text", b"text \xff\xff\xff\xff"))
    for name in ("c.npy", "d.parquet"):
        with pytest.raises(DataError, match="can't be read as a table"):
            read_table(tmp_path / name)


@pytest.mark.gpu
def test_tensors_on_a_gpu_stay_there():
    columns = (Column("a"), Column("b", "text"))
    atoms = (TableAtom(0, "a", "<=", 1.0), TableAtom(1, "b", "in", ("1", "2")))
    packer = TablePacker(TableQuantiser(atoms, columns))
    values = torch.randint(0, 4, (1000, 2)).double()
    expected, _ = packer.pack(values)
    words, _ = packer.pack(values.cuda())
    assert words.is_cuda
    assert torch.equal(words.cpu(), expected)
    moved, _ = packer.pack({"a": values[:, 0].numpy(), "b": [str(int(v)) for v in values[:, 1]]}, engine="gpu")
    assert torch.equal(moved.cpu(), expected)
