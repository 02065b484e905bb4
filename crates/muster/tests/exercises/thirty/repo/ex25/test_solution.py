import unittest

from solution import triangle


class SolutionTest(unittest.TestCase):
    def test_none(self):
        self.assertEqual(triangle(0), [])

    def test_one(self):
        self.assertEqual(triangle(1), [[1]])

    def test_five(self):
        self.assertEqual(triangle(5)[4], [1, 4, 6, 4, 1])
