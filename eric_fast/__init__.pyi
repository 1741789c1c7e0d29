# The public names and where each lives; __init__.py reads this file.

__all__ = [
    "Activations",
    "Analysis",
    "BitMatrix",
    "Capture",
    "CaptureOptions",
    "CaptureSettings",
    "ChainStudy",
    "ClassRule",
    "Decision",
    "EricClassifier",
    "EricError",
    "Evaluator",
    "ExtractOptions",
    "FoldClassifier",
    "InputAtom",
    "LabelScore",
    "Plan",
    "Predictions",
    "Program",
    "Quantiser",
    "Report",
    "Rule",
    "RuleModel",
    "RuleModule",
    "Score",
    "TableQuantiser",
    "TreeOptions",
    "analyse_bits",
    "analyse_program",
    "approximate_model",
    "build_report",
    "capture_activations",
    "capture_table",
    "compare_programs",
    "compile_program",
    "draw_chain",
    "draw_confusion",
    "draw_kernels",
    "evaluate_chains",
    "evaluate_labels",
    "evaluate_program",
    "explain_image",
    "explain_row",
    "extract_program",
    "fit_quantiser",
    "from_asp",
    "from_catboost",
    "from_circuit",
    "from_foldrm",
    "from_imodels",
    "from_lightgbm",
    "from_logic_network",
    "from_onnx",
    "from_sklearn",
    "from_treelite",
    "from_xgboost",
    "label_atoms",
    "list_layers",
    "load",
    "load_activations",
    "load_bits",
    "load_model",
    "load_program",
    "measure_chains",
    "open_capture",
    "open_data",
    "parse_program",
    "predict_activations",
    "predict_bits",
    "print_program",
    "print_prolog",
    "quantise_activations",
    "read_table",
    "save_activations",
    "save_program",
    "save_report",
    "wrap_model",
]

from .analyse import Analysis, analyse_bits, analyse_program
from .bits import BitMatrix
from .capture import CaptureOptions, capture_activations, load_model, open_data, wrap_model
from .chains import ChainStudy, measure_chains
from .compare.programs import compare_programs
from .compile.program import compile_program
from .errors import EricError
from .evaluator import Evaluator, Predictions
from .explain.explanation import explain_image
from .extract import ExtractOptions, TreeOptions, extract_program
from .frontends.gates.circuit import from_circuit
from .frontends.gates.logic_network import from_logic_network
from .frontends.registry import load
from .frontends.rules.asp import from_asp
from .frontends.rules.foldrm import from_foldrm
from .frontends.rules.imodels import from_imodels
from .frontends.trees.catboost import from_catboost
from .frontends.trees.lightgbm import from_lightgbm
from .frontends.trees.onnx import from_onnx
from .frontends.trees.scikit_learn import from_sklearn
from .frontends.trees.treelite import from_treelite
from .frontends.trees.xgboost import from_xgboost
from .label_score import LabelScore
from .module import RuleModule
from .plan import Plan
from .program import ClassRule, Decision, InputAtom, Program, Quantiser, Rule, TableQuantiser
from .program.labels import label_atoms
from .quantise import fit_quantiser, quantise_activations
from .runs import (
    approximate_model,
    evaluate_chains,
    evaluate_labels,
    evaluate_program,
    predict_activations,
    predict_bits,
)
from .score import Score
from .show.page import Report, build_report, draw_chain, draw_confusion, draw_kernels, save_report
from .store import Capture, list_layers, load_activations, load_bits, open_capture, save_activations
from .store.activations import Activations, CaptureSettings
from .table import read_table
from .table.estimator import EricClassifier
from .table.explain.explain_row import explain_row
from .table.features import capture_table
from .table.fold_classifier import FoldClassifier
from .table.model import RuleModel
from .text import load_program, parse_program, print_program, print_prolog, save_program
from .version import __version__ as __version__
