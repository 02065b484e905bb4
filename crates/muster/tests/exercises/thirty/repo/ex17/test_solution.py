import unittest

from solution import human


class SolutionTest(unittest.TestCase):
    def test_bytes(self):
        self.assertEqual(human(512), "512 B")

    def test_kibi(self):
        self.assertEqual(human(1536), "1.5 KiB")

    def test_mebi(self):
        self.assertEqual(human(2 * 1024 * 1024), "2.0 MiB")

    def test_largest_unit_stays(self):
        self.assertEqual(human(5000 * 1024**3), "5000.0 GiB")
