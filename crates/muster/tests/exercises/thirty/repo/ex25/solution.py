def triangle(rows):
    """The first rows of Pascal's triangle."""
    return [[1] * n for n in range(rows)]
