"""Amounts of money as whole cents, so that sums are exact."""
from __future__ import annotations


def parse_amount(text: str) -> int:
    """The cents in an amount as people write it: '1,234.50' is 123450."""
    units, _, cents = text.strip().replace(",", "").partition(".")
    return int(units) * 100 + int((cents + "00")[:2])


def format_amount(cents: int) -> str:
    """The amount as people read it: 123450 is '1,234.50'."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100:,}.{abs(cents) % 100:02d}"


def split_evenly(cents: int, people: int) -> list[int]:
    """The amount in fair shares that differ by one cent at most."""
    return [cents // people] * people
