import unittest

from solution import shift


class SolutionTest(unittest.TestCase):
    def test_forward(self):
        self.assertEqual(shift("abc", 1), "bcd")

    def test_round_the_end(self):
        self.assertEqual(shift("xyz", 3), "abc")

    def test_case_and_signs(self):
        self.assertEqual(shift("Hi, Zoe!", 1), "Ij, Apf!")

    def test_back(self):
        self.assertEqual(shift("bcd", -1), "abc")
