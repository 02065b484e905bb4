//! Lengths of time and tables as people read them.

use unicode_width::UnicodeWidthStr;

/// A length of time in its two largest units.
pub fn duration(ms: u64) -> String {
    let (s, min, h) = (ms / 1_000, ms / 60_000, ms / 3_600_000);
    match (s, min, h) {
        (0, ..) => format!("{ms} ms"),
        (1..10, ..) => format!("{s}.{} s", ms % 1_000 / 100),
        (10..60, ..) => format!("{s} s"),
        (_, 1..60, _) => format!("{min} min {} s", s % 60),
        (_, _, 1..48) => format!("{h} h {} min", min % 60),
        _ => format!("{} d {} h", h / 24, h % 24),
    }
}

/// Rows as columns of equal width, two spaces apart, as a terminal counts: a Chinese character takes two columns, an accent of its own none.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| cell.clone() + &" ".repeat(width - cell.width()));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_two_units() {
        let shown: Vec<String> = [0, 999, 1_250, 59_999, 65_000, 7_500_000, 200_000_000].map(duration).into();
        assert_eq!(shown, ["0 ms", "999 ms", "1.2 s", "59 s", "1 min 5 s", "2 h 5 min", "2 d 7 h"]);
    }
}
