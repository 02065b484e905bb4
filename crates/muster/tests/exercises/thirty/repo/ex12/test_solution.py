import unittest

from solution import flatten


class SolutionTest(unittest.TestCase):
    def test_flat(self):
        self.assertEqual(flatten([1, 2]), [1, 2])

    def test_one_level(self):
        self.assertEqual(flatten([1, [2, 3]]), [1, 2, 3])

    def test_deep(self):
        self.assertEqual(flatten([[1, [2, [3]]], []]), [1, 2, 3])

    def test_text_is_one_item(self):
        self.assertEqual(flatten([["ab"], "c"]), ["ab", "c"])
