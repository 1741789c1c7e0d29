"""`Decision`: how the rules of a program become its answer."""

from enum import StrEnum


class Decision(StrEnum):
    """How the rules of a program become its answer; each equals its name in a program's text.

    What follows from a decision is asked of it here, so that nobody else lists decisions.

    Examples:
        >>> ef.Decision("vote").gives_class, ef.Decision.BITS.gives_class
        (True, False)
    """

    FIRST = "first"
    """A class: that of the first class rule that fires (a decision list)."""
    VOTE = "vote"
    """A class: the weights of the class rules that fire are added up on top of `base`; the highest sum wins, the lowest
    index on a tie."""
    SUM = "sum"
    """The sums themselves: a regression."""
    LABELS = "labels"
    """The truth of each of `classes`, the names of labels: a label is true where the weights of the class rules that
    fire, on top of its `base`, sum to more than 0. There may be any number of true labels, none too."""
    BITS = "bits"
    """The truth of `outputs`: a circuit, which has no classes."""

    @property
    def gives_class(self) -> bool:
        """Whether the answer is a class."""
        return self in (Decision.FIRST, Decision.VOTE)

    @property
    def gives_sums(self) -> bool:
        """Whether the answer is a number for each of `classes`, the names of a regression's outputs."""
        return self is Decision.SUM

    @property
    def gives_labels(self) -> bool:
        """Whether the answer is the truth of each of `classes`, the names of labels."""
        return self is Decision.LABELS

    @property
    def gives_bits(self) -> bool:
        """Whether the answer is the truth of `outputs`."""
        return self is Decision.BITS

    @property
    def adds_weights(self) -> bool:
        """Whether every class rule that fires counts, by its weights; there are sums then."""
        return self in (Decision.VOTE, Decision.SUM, Decision.LABELS)

    @property
    def takes_first(self) -> bool:
        """Whether the first class rule that fires decides alone, so that their order matters."""
        return self is Decision.FIRST

    @classmethod
    def of_sums(cls, *, classify: bool) -> "Decision":
        """That of a model that adds up: the class of the highest sum, or else the sums themselves."""
        return cls.VOTE if classify else cls.SUM
