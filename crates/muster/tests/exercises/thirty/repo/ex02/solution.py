def encode(text):
    """'aab' becomes [('a', 2), ('b', 1)]."""
    return [(sign, text.count(sign)) for sign in sorted(set(text))]
