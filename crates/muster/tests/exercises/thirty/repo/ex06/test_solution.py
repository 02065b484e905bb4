import unittest

from solution import groups


class SolutionTest(unittest.TestCase):
    def test_groups(self):
        self.assertEqual(groups(["tea", "ate", "bat", "eat"]), [["tea", "ate", "eat"], ["bat"]])

    def test_letters_count(self):
        self.assertEqual(groups(["aab", "abb"]), [["aab"], ["abb"]])

    def test_case_is_ignored(self):
        self.assertEqual(groups(["Tea", "eat"]), [["Tea", "eat"]])
