import unittest

from solution import wrap


class SolutionTest(unittest.TestCase):
    def test_short(self):
        self.assertEqual(wrap("a b", 10), ["a b"])

    def test_words_stay_whole(self):
        self.assertEqual(wrap("one two three", 7), ["one two", "three"])

    def test_exact_fit(self):
        self.assertEqual(wrap("abc def", 3), ["abc", "def"])

    def test_empty(self):
        self.assertEqual(wrap("", 5), [])
