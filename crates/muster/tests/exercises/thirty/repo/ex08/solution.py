def balanced(text):
    """Whether (), [] and {} are closed in the right order."""
    return all(text.count(a) == text.count(b) for a, b in ["()", "[]", "{}"])
