import unittest

from solution import is_leap


class SolutionTest(unittest.TestCase):
    def test_fourth(self):
        self.assertEqual(is_leap(2024), True)

    def test_century(self):
        self.assertEqual(is_leap(1900), False)

    def test_fourth_century(self):
        self.assertEqual(is_leap(2000), True)

    def test_common(self):
        self.assertEqual(is_leap(2023), False)
