"""What each way of installing brings, and which tests can run there."""

from docs.installs import ON_GPU, ROOT, count_tests, list_closure, list_needed, measure_package


def test_packages_and_what_they_need():
    whole, lean = list_closure(["eric-fast"]), list_closure(["eric-fast"], ON_GPU)
    assert {"torch", "numba", "numpy"} <= set(lean) <= set(whole)
    assert not [name for name in lean if name.startswith(ON_GPU)]
    assert measure_package("torch") > 10**8
    assert list_closure(["no-such-package"]) == {}


def test_files_need_what_they_import_and_ask_for():
    assert {"xgboost", "pytest"} <= list_needed(ROOT / "tests" / "test_xgboost.py")
    assert "onnx" in list_needed(ROOT / "tests" / "test_onnx.py")
    n_none, n_files = count_tests([])
    assert 0 < n_none < n_files
    assert n_none < count_tests(list_closure(["eric-fast", "pytest", "hypothesis"]))[0] <= n_files
