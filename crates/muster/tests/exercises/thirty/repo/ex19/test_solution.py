import unittest

from solution import score


class SolutionTest(unittest.TestCase):
    def test_open_frames(self):
        self.assertEqual(score([3, 4] * 10), 70)

    def test_spare(self):
        self.assertEqual(score([5, 5, 3] + [0] * 17), 16)

    def test_strike(self):
        self.assertEqual(score([10, 3, 4] + [0] * 16), 24)

    def test_perfect(self):
        self.assertEqual(score([10] * 12), 300)
