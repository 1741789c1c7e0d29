# The public names and where each lives; __init__.py reads this file.

__all__ = [
    "Activations",
    "Analysis",
    "BitMatrix",
    "Capture",
    "CaptureSettings",
    "ChainStudy",
    "ClassRule",
    "EricClassifier",
    "EricError",
    "InputAtom",
    "Plan",
    "Predictions",
    "Program",
    "Quantiser",
    "Report",
    "Rule",
    "RuleModel",
    "RuleModule",
    "Score",
    "TreeOptions",
    "analyse_bits",
    "analyse_program",
    "approximate_model",
    "build_report",
    "capture_activations",
    "compile_program",
    "draw_chain",
    "draw_confusion",
    "draw_kernels",
    "evaluate_chains",
    "evaluate_program",
    "extract_program",
    "fit_quantiser",
    "from_asp",
    "from_catboost",
    "from_circuit",
    "from_imodels",
    "from_lightgbm",
    "from_logic_network",
    "from_onnx",
    "from_sklearn",
    "from_treelite",
    "from_xgboost",
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

from .activations import Activations, CaptureSettings
from .analyse import Analysis, analyse_bits, analyse_program
from .bits import BitMatrix
from .capture import capture_activations, load_model, open_data, wrap_model
from .chains import ChainStudy, measure_chains
from .compile import compile_program
from .errors import EricError
from .estimator import EricClassifier
from .evaluate import Score
from .extract import TreeOptions, extract_program
from .frontends import RuleModel, load
from .frontends.asp import from_asp
from .frontends.catboost import from_catboost
from .frontends.circuit import from_circuit
from .frontends.imodels import from_imodels
from .frontends.lightgbm import from_lightgbm
from .frontends.logic_network import from_logic_network
from .frontends.onnx import from_onnx
from .frontends.scikit_learn import from_sklearn
from .frontends.treelite import from_treelite
from .frontends.xgboost import from_xgboost
from .module import RuleModule
from .page import Report, build_report, draw_chain, draw_confusion, draw_kernels, save_report
from .pipeline import approximate_model, evaluate_chains, evaluate_program, predict_activations, predict_bits
from .plan import Plan
from .predictions import Predictions
from .program import ClassRule, Program, Rule
from .quantise import fit_quantiser, quantise_activations
from .quantiser import InputAtom, Quantiser
from .store import Capture, list_layers, load_activations, load_bits, open_capture, save_activations
from .tables import read_table
from .text import load_program, parse_program, print_program, print_prolog, save_program
