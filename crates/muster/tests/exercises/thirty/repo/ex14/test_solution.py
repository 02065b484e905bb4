import unittest

from solution import count


class SolutionTest(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(count("a b a"), {"a": 2, "b": 1})

    def test_case(self):
        self.assertEqual(count("The the"), {"the": 2})

    def test_punctuation(self):
        self.assertEqual(count("Stop. Stop!"), {"stop": 2})

    def test_apostrophe(self):
        self.assertEqual(count("don't"), {"don't": 1})
