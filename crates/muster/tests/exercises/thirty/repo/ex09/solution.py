def is_leap(year):
    """Whether the Gregorian year has a 29 February."""
    raise NotImplementedError
