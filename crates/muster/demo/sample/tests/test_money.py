import unittest

from ledgerkit.money import format_amount, parse_amount, split_evenly


class ParseTest(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(parse_amount("12.50"), 1250)

    def test_without_cents(self):
        self.assertEqual(parse_amount(" 7 "), 700)

    def test_thousands(self):
        self.assertEqual(parse_amount("1,234.50"), 123450)

    def test_negative(self):
        self.assertEqual(parse_amount("-3.50"), -350)

    def test_negative_below_one(self):
        self.assertEqual(parse_amount("-0.75"), -75)


class FormatTest(unittest.TestCase):
    def test_thousands(self):
        self.assertEqual(format_amount(123450), "1,234.50")

    def test_negative(self):
        self.assertEqual(format_amount(-75), "-0.75")


class SplitTest(unittest.TestCase):
    def test_exact(self):
        self.assertEqual(split_evenly(900, 3), [300, 300, 300])

    def test_no_cent_is_lost(self):
        self.assertEqual(split_evenly(1000, 3), [334, 333, 333])
