import unittest

from solution import primes


class SolutionTest(unittest.TestCase):
    def test_small(self):
        self.assertEqual(primes(20), [2, 3, 5, 7, 11, 13, 17, 19])

    def test_limit_is_excluded(self):
        self.assertEqual(primes(7), [2, 3, 5])

    def test_none(self):
        self.assertEqual(primes(2), [])
