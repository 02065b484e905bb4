import unittest

from solution import clock


class SolutionTest(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(clock(8, 5), "08:05")

    def test_midnight(self):
        self.assertEqual(clock(24, 0), "00:00")

    def test_minutes_carry(self):
        self.assertEqual(clock(1, 160), "03:40")

    def test_back(self):
        self.assertEqual(clock(0, -10), "23:50")
