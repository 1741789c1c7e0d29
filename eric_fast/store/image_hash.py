"""Tell whether two sources hold the same images."""

from hashlib import blake2b

from eric_fast.store.activations import UNKNOWN
from eric_fast.store.source import Source


def hash_images(source: Source, *, are_labelled: bool = False) -> str:
    """Hash the images of a source, by their ids, labels and network's answers: 16 hexadecimal digits.

    The order of the images and the size of the parts make no difference.

    Args:
        source: the images.
        are_labelled: take those with a known label alone.
    """
    total, n_labels = 0, len(source.classes)
    for part in source.parts:
        facts = zip(part.read_ids(), part.read_labels().tolist(), part.read_predictions().tolist(), strict=True)
        for name, label, answer in facts:
            if are_labelled and (label == UNKNOWN or label == [UNKNOWN] * n_labels):
                continue
            line = f"{label} {answer} {name}".encode(errors="surrogatepass")
            total += int.from_bytes(blake2b(line, digest_size=8).digest(), "little")
    return f"{total % 2**64:016x}"
