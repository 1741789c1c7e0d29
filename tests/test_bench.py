"""The programs that benchmarks time are what they say, on small sizes."""

import numpy as np
import pytest
import torch

from bench import foldrm
from bench.programs import forest_to_program, grow_forest, make_foldrm_case, make_random_case, repeat_samples
from bench.trees import build_class_tree, build_layer_trees, build_tree, list_leaves, to_sklearn, to_sklearn_forest
from eric_fast import kernels
from eric_fast.bits import pack_bits, unpack_words
from eric_fast.compile import compile_program
from eric_fast.extract import TreeOptions
from eric_fast.pipeline import approximate_model
from eric_fast.quantiser import InputAtom, Quantiser
from tests.activations import make_activations
