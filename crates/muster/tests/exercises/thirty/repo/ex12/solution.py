def flatten(items):
    """All items of nested lists, in order."""
    raise NotImplementedError
