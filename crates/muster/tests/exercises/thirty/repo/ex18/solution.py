def is_pangram(text):
    """Whether every letter from a to z occurs."""
    raise NotImplementedError
