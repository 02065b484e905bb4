def distance(a, b):
    """The fewest insertions, deletions and replacements that turn one word into the other."""
    return sum(x != y for x, y in zip(a, b))
