"""How a process treats its memory."""

import gc


def collect_less() -> None:
    """Let Python look for cycles of garbage less often, and not among what is there now.

    What a service is made of stays until it stops, and what its requests leave is freed by
    reference counts: at the default threshold of 700 new objects, a fifth of the time that a batch
    of holds takes went into searching through live ones.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
