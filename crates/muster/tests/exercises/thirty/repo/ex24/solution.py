def clock(hours, minutes):
    """The time of day as HH:MM; any whole numbers, negative ones go back."""
    raise NotImplementedError
