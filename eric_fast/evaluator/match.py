"""Match programs, networks and captures: layers by name, and whether one fits the other."""

import logging
from collections.abc import Sequence
from fnmatch import fnmatchcase

from eric_fast import kernels
from eric_fast.errors import CaptureError, suggest_nearest
from eric_fast.program import Program
from eric_fast.quantise import check_fits
from eric_fast.store import Source, hash_images

logger = logging.getLogger(__name__)


def match_layers(wanted: str | Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """Find the layers among `known` that names and shell patterns mean, in the order of `known`.

    `all` means every layer, None the last one. A layer that is called `all`, or like a pattern, is found by its name.

    Raises:
        CaptureError: a name or pattern that matches no layer.
    """
    if not known:
        raise CaptureError("the capture has no layers")
    if wanted is None:
        return [known[-1]]
    found: set[str] = set()
    for name in [wanted] if isinstance(wanted, str) else wanted:
        pattern = "*" if name == "all" else name
        matches = [name] if name in known else [layer for layer in known if fnmatchcase(layer, pattern)]
        if not matches:
            raise CaptureError(f"the capture has no layer '{name}'{suggest_nearest(name, known)}")
        found.update(matches)
    if not found:
        raise CaptureError(f"no layer is named{suggest_nearest('', known)}")
    return [layer for layer in known if layer in found]


def check_capture(program: Program, source: Source, layers: Sequence[str]) -> None:
    """Check that these layers of the program can be evaluated on a source.

    Raises:
        CaptureError: the source is of another model, or has other classes; see also `check_fits`.
    """
    check_fingerprint(program, source.settings.fingerprint)
    if program.classes != source.classes:
        pairs = zip(program.classes, source.classes, strict=False)
        differ = next((f"'{p}' and '{a}'" for p, a in pairs if p != a), "")
        raise CaptureError(
            f"the program has {len(program.classes)} classes, the capture {len(source.classes)}"
            + (f", and the first that differ are {differ}" if differ else "")
            + "; they must be the same"
        )
    if program.decision.gives_labels != source.settings.has_labels:
        of_program, of_source = (
            "several labels" if has else "a class"
            for has in (program.decision.gives_labels, source.settings.has_labels)
        )
        raise CaptureError(f"the program answers with {of_program}, but the network of {source.name} with {of_source}")
    settings = dict(program.settings)
    for key in ("dtype", "preprocessing"):
        ours = getattr(source.settings, key)
        if settings.get(key, ours) != ours:
            logger.warning("the program's training images had %s %s, these have %s", key, settings[key], ours)
    if program.fingerprint and settings.get("output", "") != source.settings.output:
        raise CaptureError(
            f"the program answers as {settings.get('output') or 'the network on its own'}, but the capture has "
            f"{source.settings.output or 'nothing named as output'}; give the same --model-output and --task for both"
        )
    check_fits(source, program.network_quantiser, layers)


def check_fingerprint(program: Program, fingerprint: str) -> None:
    """Check that a program was extracted from the model with this fingerprint; a program written by hand fits all.

    Raises:
        CaptureError: with the start of both fingerprints.
    """
    if program.fingerprint and program.fingerprint != fingerprint:
        raise CaptureError(
            f"the program was extracted from another model (fingerprint {program.fingerprint[:12]}, this one's is "
            f"{fingerprint[:12]}); capture the images with the model of the program"
        )


def is_trained_on(program: Program, source: Source) -> bool:
    """Whether these are the images that a program was extracted from, as far as its settings tell."""
    settings = dict(program.settings)
    return "images" in settings and settings["images"] == hash_images(
        source, are_labelled=settings.get("target") == "label"
    )


def check_engine(engine: str) -> None:
    """Check that an engine exists, before long work begins.

    Raises:
        SettingError: an unknown engine, or no GPU for it.
    """
    kernels.choose_engine(engine, "cpu")
