def shift(text, by):
    """Letters moved along the alphabet; all else stays."""
    return "".join(chr(ord(sign) + by) for sign in text)
