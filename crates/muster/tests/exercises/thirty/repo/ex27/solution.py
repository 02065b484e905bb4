def newest(versions):
    """The newest of versions such as 1.10.0; a pre-release (1.0.0-rc1) comes before its release."""
    raise NotImplementedError
