import unittest

from solution import snake


class SolutionTest(unittest.TestCase):
    def test_camel(self):
        self.assertEqual(snake("camelCase"), "camel_case")

    def test_pascal(self):
        self.assertEqual(snake("PascalCase"), "pascal_case")

    def test_capitals(self):
        self.assertEqual(snake("parseHTTPReply"), "parse_http_reply")
