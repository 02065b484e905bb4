import unittest

from solution import order


class SolutionTest(unittest.TestCase):
    def test_chain(self):
        self.assertEqual(order({"a": ["b"], "b": ["c"], "c": []}), ["c", "b", "a"])

    def test_alphabetical(self):
        self.assertEqual(order({"b": [], "a": [], "c": ["a"]}), ["a", "b", "c"])

    def test_circle(self):
        with self.assertRaises(ValueError):
            order({"a": ["b"], "b": ["a"]})
