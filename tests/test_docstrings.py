"""Examples in the docstrings of public names: what they print is what the docstring says."""

import doctest
import io

import pytest
import torch

import eric_fast as ef
from docs import contents
from tests import page_blocks
from tests.optional import import_optional

PETS = """
format(1). classes(0,"cat"). classes(1,"dog").
rule(1,"cat",1). fires(X,1) :- image(X), k_f_0(X), not k_f_1(X).
rule(2,"dog",1). fires(X,2) :- image(X), k_f_1(X).
decision("first"). norm("l1"). kernel(k_f_0,"f",0,">","0.5"). kernel(k_f_1,"f",1,">","0.5").
seen(X,R) :- fires(X,R). seen(X,R+1) :- seen(X,R), rule(R+1,_,_).
class(X,C) :- fires(X,R), not seen(X,R-1), rule(R,C,_).
class(X,C) :- image(X), default(C), not fires(X,_).
"""
# Other tools, whose models are loaded
TOOLS = ("catboost", "imodels", "lightgbm", "skl2onnx", "torchlogix.layers", "treelite", "xgboost")
FINDER = doctest.DocTestFinder(exclude_empty=True)


def list_examples():
    """The examples of each public name, and of its methods where it is a class."""
    for name in ef.__all__:
        for found in FINDER.find(getattr(ef, name), name, module=False, globs={}):
            if found.examples:
                yield found


@pytest.mark.slow
def test_examples_print_what_docstrings_say(demo):
    for name in TOOLS:
        import_optional(name)
    with page_blocks.open_folder(demo / "eric-demo") as folder:
        for found in list_examples():
            found.globs |= {"ef": ef, "torch": torch, "PETS": PETS}
            told = io.StringIO()
            failed, tried = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(found, out=told.write)
            assert not failed, told.getvalue()
            assert tried
            for path in folder.glob("*.lp"):
                path.unlink()


def test_every_public_name_has_an_example():
    assert not [name for name in contents.list_public_names() if not contents.has_example(getattr(ef, name))]
