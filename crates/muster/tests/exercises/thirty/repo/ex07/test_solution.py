import unittest

from solution import parse


class SolutionTest(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(parse("a,b,c"), ["a", "b", "c"])

    def test_quoted_comma(self):
        self.assertEqual(parse('a,"b,c"'), ["a", "b,c"])

    def test_doubled_quote(self):
        self.assertEqual(parse('"say ""hi""",x'), ['say "hi"', "x"])

    def test_empty_fields(self):
        self.assertEqual(parse("a,,"), ["a", "", ""])
