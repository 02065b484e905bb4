import unittest

from solution import valid


class SolutionTest(unittest.TestCase):
    def test_right(self):
        self.assertEqual(valid("4539 3195 0343 6467"), True)

    def test_wrong(self):
        self.assertEqual(valid("8273 1232 7352 0569"), False)

    def test_odd_length(self):
        self.assertEqual(valid("059"), True)
