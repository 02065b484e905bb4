"""Command line: python3 -m ledgerkit FILE PERIOD, where PERIOD is a month (2024-02) or a quarter (2024-Q1)."""
import sys

from . import report

if __name__ == "__main__":
    sys.exit(report.main(sys.argv[1:]))
