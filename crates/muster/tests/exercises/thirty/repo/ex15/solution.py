def merge(intervals):
    """Overlapping or touching (start, end) pairs joined, in order."""
    raise NotImplementedError
