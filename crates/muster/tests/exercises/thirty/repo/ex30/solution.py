def change(amount, coins):
    """The fewest coins that make the amount, ascending; None when it cannot be made."""
    raise NotImplementedError
