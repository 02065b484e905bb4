"""Reads ledger files: one entry per line, fields separated by commas, '#' begins a comment.

    2024-02-03, groceries, "Corner shop, Main St", -23.80   # milk, bread
"""
from __future__ import annotations

import datetime
from typing import NamedTuple

from .money import parse_amount


class Entry(NamedTuple):
    """One line of a ledger."""

    day: datetime.date
    category: str
    note: str
    cents: int


class LedgerError(ValueError):
    """A line that cannot be read, with its number in the file, from 1."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line = line


def strip_comment(line: str) -> str:
    """The line without its comment; a '#' between quotes belongs to the text."""
    return line.split("#", 1)[0].strip()


def split_fields(line: str) -> list[str]:
    """The fields of a line; a comma between quotes belongs to the text."""
    return [field.strip().strip('"') for field in line.split(",")]


def parse_ledger(text: str) -> list[Entry]:
    """All entries of a ledger, in the order of the file."""
    lines = [strip_comment(line) for line in text.splitlines()]
    entries = []
    for number, line in enumerate(filter(None, lines)):
        fields = split_fields(line)
        if len(fields) != 4:
            raise LedgerError(number, f"expected 4 fields, found {len(fields)}")
        day, category, note, amount = fields
        try:
            entries.append(Entry(datetime.date.fromisoformat(day), category, note, parse_amount(amount)))
        except ValueError as error:
            raise LedgerError(number, str(error)) from error
    return entries
