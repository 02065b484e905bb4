import unittest

from solution import gcd


class SolutionTest(unittest.TestCase):
    def test_common(self):
        self.assertEqual(gcd(12, 18), 6)

    def test_zero(self):
        self.assertEqual(gcd(5, 0), 5)

    def test_negative(self):
        self.assertEqual(gcd(-4, 6), 2)
