"""The capture stage: a network and images in, `Activations` out."""

from eric_fast.capture.data import ImageData, Sample, hash_listing
from eric_fast.capture.layers import trace_norms
from eric_fast.capture.load import load_model
from eric_fast.capture.models import LoadedModel, fingerprint_model, take_model, wrap_model
from eric_fast.capture.norms import Reduction, reduce_norm, reduce_regions
from eric_fast.capture.options import CaptureOptions
from eric_fast.capture.ranges import NetworkRun
from eric_fast.capture.run import capture_activations, prepare_run
from eric_fast.capture.sources import open_data

__all__ = [
    "CaptureOptions",
    "ImageData",
    "LoadedModel",
    "NetworkRun",
    "Reduction",
    "Sample",
    "capture_activations",
    "fingerprint_model",
    "hash_listing",
    "load_model",
    "open_data",
    "prepare_run",
    "reduce_norm",
    "reduce_regions",
    "take_model",
    "trace_norms",
    "wrap_model",
]
