import unittest

from solution import valid


class SolutionTest(unittest.TestCase):
    def test_right(self):
        self.assertEqual(valid("3-598-21508-8"), True)

    def test_x_is_ten(self):
        self.assertEqual(valid("3-598-21507-X"), True)

    def test_wrong_digit(self):
        self.assertEqual(valid("3-598-21508-9"), False)

    def test_x_only_at_the_end(self):
        self.assertEqual(valid("3-598-2X507-9"), False)

    def test_too_short(self):
        self.assertEqual(valid("00"), False)
