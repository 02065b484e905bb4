import unittest

from names import initials


class InitialsTest(unittest.TestCase):
    def test_one_name(self):
        self.assertEqual(initials("Ada"), "A.")

    def test_two_names(self):
        self.assertEqual(initials("Ada King"), "A. K.")
