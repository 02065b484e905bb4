def valid(number):
    """Whether a card number's check digit is right; spaces are ignored."""
    digits = [int(digit) for digit in number.replace(" ", "")]
    doubled = [2 * digit for digit in digits[::2]]
    return (sum(doubled) + sum(digits[1::2])) % 10 == 0
