def score(rolls):
    """The score of a whole game of ten-pin bowling."""
    return sum(rolls)
