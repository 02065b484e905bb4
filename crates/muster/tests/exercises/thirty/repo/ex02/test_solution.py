import unittest

from solution import encode


class SolutionTest(unittest.TestCase):
    def test_runs(self):
        self.assertEqual(encode("aab"), [("a", 2), ("b", 1)])

    def test_a_sign_may_return(self):
        self.assertEqual(encode("aba"), [("a", 1), ("b", 1), ("a", 1)])

    def test_empty(self):
        self.assertEqual(encode(""), [])
