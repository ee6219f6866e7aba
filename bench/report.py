"""Tables and verdicts in Markdown."""


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def verdict(ratio, mark):
    return f"**{ratio:.2f}** (mark: ≤ {mark:g}, {'met' if ratio <= mark else 'missed'})"
