import unittest

from solution import to_roman


class SolutionTest(unittest.TestCase):
    def test_ones(self):
        self.assertEqual(to_roman(3), "III")

    def test_subtractive(self):
        self.assertEqual(to_roman(1994), "MCMXCIV")

    def test_largest(self):
        self.assertEqual(to_roman(3999), "MMMCMXCIX")
