def gcd(a, b):
    """The greatest common divisor of two whole numbers, never negative."""
    return b if a % b == 0 else gcd(b, a % b)
