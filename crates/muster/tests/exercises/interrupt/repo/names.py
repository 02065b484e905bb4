"""Names of customers."""


def initials(name):
    """'Ada King' is 'A. K.'."""
    return name[0] + "."
