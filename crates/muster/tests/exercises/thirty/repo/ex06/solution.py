def groups(words):
    """Words that are anagrams of each other, together; in order of first appearance."""
    raise NotImplementedError
