import contextlib
import io
import tempfile
import unittest
from datetime import date

from ledgerkit import report
from ledgerkit.parser import Entry

ENTRIES = [
    Entry(date(2024, 1, 3), "rent", "flat", -85000),
    Entry(date(2024, 2, 2), "salary", "February", 215000),
    Entry(date(2024, 2, 3), "rent", "flat", -85000),
    Entry(date(2024, 2, 10), "groceries", "market", -4115),
]


def run(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = report.main(list(arguments))
    return status, out.getvalue(), err.getvalue()


class TotalsTest(unittest.TestCase):
    def test_month(self):
        totals = report.totals_by_category(ENTRIES, "2024-02")
        self.assertEqual(totals, {"salary": 215000, "rent": -85000, "groceries": -4115})

    def test_quarter(self):
        self.assertEqual(report.totals_by_category(ENTRIES, "2024-Q1")["rent"], -170000)


class SummaryTest(unittest.TestCase):
    def test_columns_line_up(self):
        expected = [
            "2024-02-01 to 2024-02-29",
            "rent         -850.00",
            "groceries     -41.15",
            "salary      2,150.00",
            "balance     1,258.85",
        ]
        self.assertEqual(report.summary(ENTRIES, "2024-02").splitlines(), expected)


class CommandLineTest(unittest.TestCase):
    def test_household_in_february(self):
        status, out, _ = run("examples/household.ledger", "2024-02")
        self.assertEqual(status, 0)
        self.assertIn("travel        -36.00\n", out)
        self.assertTrue(out.endswith("balance     1,222.10\n"), out)

    def test_household_in_the_first_quarter(self):
        _, out, _ = run("examples/household.ledger", "2024-Q1")
        self.assertTrue(out.endswith("balance      2,498.30\n"), out)

    def test_bad_ledger_is_explained(self):
        with tempfile.NamedTemporaryFile("w", suffix=".ledger") as file:
            file.write("2024-02-01, rent, flat, -850.00\n\nnot an entry\n")
            file.flush()
            status, out, err = run(file.name, "2024-02")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("line 3: expected 4 fields, found 1", err)
