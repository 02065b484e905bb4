def primes(limit):
    """All primes below the limit."""
    return [n for n in range(limit) if all(n % d for d in range(2, n))]
