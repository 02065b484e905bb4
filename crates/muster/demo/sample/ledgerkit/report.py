"""Totals of a period and how they are shown."""
from __future__ import annotations

import sys
from collections.abc import Iterable

from .dates import period_bounds
from .parser import Entry, parse_ledger


def totals_by_category(entries: Iterable[Entry], period: str) -> dict[str, int]:
    """The cents of each category in a month or a quarter."""
    first, last = period_bounds(period)
    totals: dict[str, int] = {}
    for entry in entries:
        if first <= entry.day <= last:
            totals[entry.category] = totals.get(entry.category, 0) + entry.cents
    return totals


def summary(entries: Iterable[Entry], period: str) -> str:
    """The report: a title, one line per category from the largest expense to the largest income, and the balance."""
    raise NotImplementedError("summary is not written yet")


def main(arguments: list[str]) -> int:
    """Prints the summary; returns the exit status."""
    path, period = arguments
    with open(path, encoding="utf-8") as file:
        print(summary(parse_ledger(file.read()), period))
    return 0
