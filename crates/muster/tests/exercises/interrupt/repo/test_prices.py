import unittest

from prices import with_tax


class TaxTest(unittest.TestCase):
    def test_whole_cents(self):
        self.assertEqual(with_tax(1000, 20), 1200)

    def test_no_tax(self):
        self.assertEqual(with_tax(999, 0), 999)
