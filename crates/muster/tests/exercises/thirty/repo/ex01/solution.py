def to_roman(number):
    """1..3999 as a Roman numeral."""
    raise NotImplementedError
