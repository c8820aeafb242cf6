"""Where a text is broken into lines."""

from collections.abc import Iterator, Sequence

SLACK = 1e-9
"""Millimetres that a line may exceed its width by: sums of rounded numbers do."""
_SPACE = " "


def break_lines(text: str, advances: Sequence[float], room: float) -> Iterator[str]:
    """Lines that fit, greedily; a space at which a line is broken belongs to neither.

    `advances` says how wide each character is, in what `room` counts. Nothing is a line, too.
    """
    start = position = 0
    last_space, taken = -1, 0.0
    while position < len(text):
        advance = advances[position]
        if taken + advance <= room or position == start:
            if text[position] == _SPACE:
                last_space = position
            taken += advance
            position += 1
            continue
        if text[position] == _SPACE:
            last_space = position
        end = last_space if last_space >= start else position
        yield text[start:end]
        start = position = end + (last_space >= start)
        last_space, taken = -1, 0.0
    if start < len(text) or not text:
        yield text[start:]
