import unittest

from formats import media_type


class JsonTest(unittest.TestCase):
    def test_media_type(self):
        self.assertEqual(media_type("export.json"), "application/json")

    def test_text_stays(self):
        self.assertEqual(media_type("export.txt"), "text/plain")
