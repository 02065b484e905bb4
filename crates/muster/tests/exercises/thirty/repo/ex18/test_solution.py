import unittest

from solution import is_pangram


class SolutionTest(unittest.TestCase):
    def test_pangram(self):
        self.assertEqual(is_pangram("The quick brown fox jumps over the lazy dog."), True)

    def test_missing_letter(self):
        self.assertEqual(is_pangram("The quick brown fox jumps over the lazy cat."), False)

    def test_digits_are_no_letters(self):
        self.assertEqual(is_pangram("abcdefghijklmnopqrstuvwxy1"), False)
