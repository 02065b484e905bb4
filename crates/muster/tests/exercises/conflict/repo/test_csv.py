import unittest

from formats import media_type


class CsvTest(unittest.TestCase):
    def test_media_type(self):
        self.assertEqual(media_type("export.csv"), "text/csv")

    def test_text_stays(self):
        self.assertEqual(media_type("export.txt"), "text/plain")
