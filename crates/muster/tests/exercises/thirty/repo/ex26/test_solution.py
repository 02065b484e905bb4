import unittest

from solution import rotate


class SolutionTest(unittest.TestCase):
    def test_right(self):
        self.assertEqual(rotate([1, 2, 3], 1), [3, 1, 2])

    def test_more_than_length(self):
        self.assertEqual(rotate([1, 2, 3], 4), [3, 1, 2])

    def test_left(self):
        self.assertEqual(rotate([1, 2, 3], -1), [2, 3, 1])

    def test_empty(self):
        self.assertEqual(rotate([], 2), [])
