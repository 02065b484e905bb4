import unittest

from solution import change


class SolutionTest(unittest.TestCase):
    def test_simple(self):
        self.assertEqual(change(15, [1, 5, 10]), [5, 10])

    def test_greedy_is_not_enough(self):
        self.assertEqual(change(6, [1, 3, 4]), [3, 3])

    def test_impossible(self):
        self.assertEqual(change(3, [2]), None)

    def test_nothing(self):
        self.assertEqual(change(0, [1]), [])
