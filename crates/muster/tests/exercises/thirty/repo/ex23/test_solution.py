import unittest

from solution import distance


class SolutionTest(unittest.TestCase):
    def test_same(self):
        self.assertEqual(distance("abc", "abc"), 0)

    def test_mixed(self):
        self.assertEqual(distance("kitten", "sitting"), 3)

    def test_empty(self):
        self.assertEqual(distance("", "abc"), 3)
