import unittest
from datetime import date

from ledgerkit.dates import add_months, month_end, period_bounds


class MonthTest(unittest.TestCase):
    def test_end_in_a_leap_year(self):
        self.assertEqual(month_end(date(2024, 2, 5)), date(2024, 2, 29))

    def test_end_in_a_common_year(self):
        self.assertEqual(month_end(date(1900, 2, 5)), date(1900, 2, 28))

    def test_add_within_the_year(self):
        self.assertEqual(add_months(date(2024, 3, 15), 2), date(2024, 5, 15))

    def test_add_into_december(self):
        self.assertEqual(add_months(date(2024, 11, 15), 1), date(2024, 12, 15))

    def test_add_stops_at_the_end_of_a_short_month(self):
        self.assertEqual(add_months(date(2024, 1, 31), 1), date(2024, 2, 29))

    def test_add_keeps_the_day_when_it_exists(self):
        self.assertEqual(add_months(date(2024, 1, 31), 2), date(2024, 3, 31))


class PeriodTest(unittest.TestCase):
    def test_month(self):
        self.assertEqual(period_bounds("2024-02"), (date(2024, 2, 1), date(2024, 2, 29)))

    def test_quarter(self):
        self.assertEqual(period_bounds("2024-Q2"), (date(2024, 4, 1), date(2024, 6, 30)))
