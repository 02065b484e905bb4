import unittest
from datetime import date

from ledgerkit.parser import Entry, LedgerError, parse_ledger, split_fields, strip_comment


class FieldsTest(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(split_fields("2024-02-01, rent, flat, 850"), ["2024-02-01", "rent", "flat", "850"])

    def test_comma_between_quotes(self):
        self.assertEqual(split_fields('a, "b, c", d'), ["a", "b, c", "d"])


class CommentTest(unittest.TestCase):
    def test_comment_is_dropped(self):
        self.assertEqual(strip_comment("a, b   # c"), "a, b")

    def test_hash_between_quotes(self):
        self.assertEqual(strip_comment('a, "Stall #4", b # c'), 'a, "Stall #4", b')


class LedgerTest(unittest.TestCase):
    def test_entries_in_order(self):
        text = "# 2024\n\n2024-02-01, rent, flat, 850\n2024-02-02, gift, aunt, 20.50\n"
        rent = Entry(date(2024, 2, 1), "rent", "flat", 85000)
        self.assertEqual(parse_ledger(text), [rent, Entry(date(2024, 2, 2), "gift", "aunt", 2050)])

    def test_error_names_the_line_of_the_file(self):
        with self.assertRaises(LedgerError) as caught:
            parse_ledger("# 2024\n\n2024-02-01, rent, flat, 850\n\nnot an entry\n")
        self.assertEqual(caught.exception.line, 5)
