import unittest

from solution import find


class SolutionTest(unittest.TestCase):
    def test_inside(self):
        self.assertEqual(find([1, 3, 5, 7], 5), 2)

    def test_first_of_equals(self):
        self.assertEqual(find([1, 2, 2, 2, 3], 2), 1)

    def test_missing(self):
        self.assertEqual(find([1, 3], 2), -1)

    def test_empty(self):
        self.assertEqual(find([], 1), -1)
