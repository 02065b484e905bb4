def wrap(text, width):
    """Lines of whole words, none longer than the width."""
    return [text[i:i + width] for i in range(0, len(text), width)]
