import unittest

from solution import transpose


class SolutionTest(unittest.TestCase):
    def test_square(self):
        self.assertEqual(transpose([[1, 2], [3, 4]]), [[1, 3], [2, 4]])

    def test_wide(self):
        self.assertEqual(transpose([[1, 2, 3]]), [[1], [2], [3]])

    def test_empty(self):
        self.assertEqual(transpose([]), [])
