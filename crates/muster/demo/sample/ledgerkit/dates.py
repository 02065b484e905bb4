"""Calendar arithmetic for accounts: months and quarters."""
from __future__ import annotations

import calendar
import datetime


def month_end(day: datetime.date) -> datetime.date:
    """The last day of the month that the day is in."""
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])


def add_months(day: datetime.date, months: int) -> datetime.date:
    """The same day so many months later, or the last day of that month if it is shorter."""
    month = day.month + months
    return day.replace(year=day.year + month // 12, month=month % 12)


def period_bounds(period: str) -> tuple[datetime.date, datetime.date]:
    """First and last day of a month ('2024-02') or a quarter ('2024-Q1')."""
    year, _, part = period.partition("-")
    if part.startswith("Q"):
        first = datetime.date(int(year), 3 * int(part[1:]), 1)
        return first, month_end(add_months(first, 2))
    first = datetime.date(int(year), int(part), 1)
    return first, month_end(first)
