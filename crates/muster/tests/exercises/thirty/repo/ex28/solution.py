def median(numbers):
    """The middle number, or the mean of the two in the middle."""
    return numbers[len(numbers) // 2]
