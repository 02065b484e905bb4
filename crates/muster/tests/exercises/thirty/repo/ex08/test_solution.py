import unittest

from solution import balanced


class SolutionTest(unittest.TestCase):
    def test_nested(self):
        self.assertEqual(balanced("{[(1)]}"), True)

    def test_crossed(self):
        self.assertEqual(balanced("[(])"), False)

    def test_wrong_way_round(self):
        self.assertEqual(balanced(")("), False)

    def test_left_open(self):
        self.assertEqual(balanced("(("), False)
