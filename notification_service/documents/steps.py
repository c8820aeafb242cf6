"""Long work in short steps, so that other work is done in between."""

from collections.abc import Generator
from typing import TypeAlias, TypeVar

Result = TypeVar("Result")

Steps: TypeAlias = Generator[None, None, Result]
"""Work that may be put aside wherever it yields; it returns what it made."""


def at_a_stretch(steps: Steps[Result]) -> Result:
    """What the work makes, done without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: Result = end.value
            return made
