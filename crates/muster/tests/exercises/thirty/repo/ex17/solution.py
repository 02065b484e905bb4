def human(size):
    """A number of bytes as people read it: 512 B, 1.5 KiB, 2.0 MiB."""
    raise NotImplementedError
