def transpose(rows):
    """Rows become columns."""
    return [[row[i] for row in rows] for i in range(len(rows))]
