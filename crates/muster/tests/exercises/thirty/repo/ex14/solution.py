def count(text):
    """How often each word occurs, lower case, without punctuation at its ends."""
    return {word: text.split().count(word) for word in text.split()}
