"""Which file names we can export to."""

FORMATS = {"txt": "text/plain"}


def media_type(name):
    """The media type that a file name's ending stands for."""
    return FORMATS[name.rpartition(".")[2]]
