import unittest

from solution import newest


class SolutionTest(unittest.TestCase):
    def test_numbers(self):
        self.assertEqual(newest(["1.9.0", "1.10.0", "1.2.9"]), "1.10.0")

    def test_release_after_candidate(self):
        self.assertEqual(newest(["2.0.0", "2.0.0-rc1"]), "2.0.0")

    def test_candidate_of_a_later_one(self):
        self.assertEqual(newest(["1.9.9", "2.0.0-rc1"]), "2.0.0-rc1")
