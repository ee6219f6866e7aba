"""Tables and verdicts in Markdown."""

import math


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def verdict(ratio, mark):
    """A ratio that misses its mark by less than it is rounded by is rounded up."""
    if ratio > mark:
        ratio = math.ceil(ratio * 100) / 100
    return f"**{ratio:.2f}** (mark: ≤ {mark:g}, {'met' if ratio <= mark else 'missed'})"
