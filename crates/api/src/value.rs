//! The small values of our files: names, lengths of time, amounts of money. Each is read exactly or refused.

use crate::source::checker::{Wrong, quote};
use serde::Serialize;
use std::fmt;

/// Longest length of time that a file may name: thirty days.
pub const DURATION_MS_MAX: u64 = 30 * 24 * 3_600_000;
/// Largest amount of money that a file may name: one million US dollars.
pub const USD_MICROS_MAX: u64 = 1_000_000 * MICROS_PER_USD;
/// Largest size that a file may name: one pebibyte.
pub const BYTES_MAX: u64 = 1 << 50;

const MICROS_PER_USD: u64 = 1_000_000;

/// A name of our own scheme: 1 to 64 of `a-z`, `0-9` and `-`, not beginning with `-`. It is safe in paths, branch
/// names and messages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Wrong> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !text.is_empty() && text.len() <= 64 && text.bytes().all(allowed) && !text.starts_with('-') {
            return Ok(Self(text.into()));
        }
        let fix = match Self::tamed(text) {
            Some(name) => format!("write `{}`: 1 to 64 of a-z, 0-9 and -, not beginning with -", name.0),
            None => "use 1 to 64 of a-z, 0-9 and -, not beginning with -".into(),
        };
        Err(Wrong::new(format!("{} is not a name", quote(text)), fix))
    }

    /// What stands in for a name that was refused; see [`crate::source::checker::Checker`]. It keeps the text, so that
    /// whatever else in the file means the same entry still finds it.
    pub(crate) fn stand_in(text: &str) -> Self {
        Self(text.into())
    }

    /// The nearest valid name: lower case, one `-` for every run of other characters.
    fn tamed(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let name = words.collect::<Vec<_>>().join("-");
        let name = name.get(..name.len().min(64))?;
        (!name.is_empty()).then(|| Self(name.into()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A length of time in milliseconds: `500ms`, `60s`, `5m`, `2h`; more than nothing, at most [`DURATION_MS_MAX`].
pub(crate) fn duration_ms(text: &str) -> Result<u64, Wrong> {
    let wrong = || {
        Wrong::new(format!("{} is not a length of time", quote(text)), "write for example `500ms`, `60s`, `5m` or `2h`")
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match number.checked_mul(ms) {
        Some(ms) if (1..=DURATION_MS_MAX).contains(&ms) => Ok(ms),
        _ => Err(Wrong::new(format!("{} is out of bounds", quote(text)), "write from `1ms` to `720h`")),
    }
}

/// A number of bytes with its unit: `4096B`, `64KiB`, `512MiB`, `2GiB`; more than nothing, at most [`BYTES_MAX`].
pub(crate) fn bytes(text: &str) -> Result<u64, Wrong> {
    let fix = "write for example `64KiB`, `512MiB` or `2GiB`";
    let wrong = || Wrong::new(format!("{} is not a size", quote(text)), fix);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match number.checked_mul(1 << shift) {
        Some(bytes) if (1..=BYTES_MAX).contains(&bytes) => Ok(bytes),
        _ => Err(Wrong::new(format!("{} is out of bounds", quote(text)), "write from `1B` to `1024TiB`")),
    }
}

/// US dollars in decimal (`5`, `0.25`) as whole millionths of a dollar. No binary fraction is involved.
pub(crate) fn usd_micros(text: &str) -> Result<u64, Wrong> {
    let wrong = || {
        let fix = "write US dollars in decimal with at most six decimals, for example `2.50`";
        Wrong::new(format!("{} is not an amount of money", quote(text)), fix)
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 6 {
        return Err(wrong());
    }
    let micros = format!("{fraction:0<6}").parse::<u64>().map_err(|_| wrong())?;
    let too_much = || Wrong::new(format!("{} is too much", quote(text)), "write at most `1000000`");
    let total = whole.parse::<u64>().ok().and_then(|usd| usd.checked_mul(MICROS_PER_USD)?.checked_add(micros));
    total.filter(|total| *total <= USD_MICROS_MAX).ok_or_else(too_much)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_exact() {
        let amounts = ["0", "5", "0.1", "1.10", "0.000001", "19.99", "1000000", "007.5"].map(usd_micros);
        let micros = [0, 5_000_000, 100_000, 1_100_000, 1, 19_990_000, 1_000_000_000_000, 7_500_000];
        assert_eq!(amounts, micros.map(Ok));
    }

    #[test]
    fn what_is_not_money_is_refused() {
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "1,5",
            "$5",
            "0.0000001",
            "1000000.000001",
            "99999999999999999999",
            "٣",
        ] {
            assert!(usd_micros(text).is_err(), "{text}");
        }
    }

    #[test]
    fn time_is_exact() {
        let times = ["1ms", "60s", "5m", "2h", "720h"].map(duration_ms);
        assert_eq!(times, [1, 60_000, 300_000, 7_200_000, DURATION_MS_MAX].map(Ok));
        for text in ["", "5", "s", "0s", "1.5h", "-1s", "5 m", "1d", "721h", "99999999999999999999s", "5M", "1h30m"] {
            assert!(duration_ms(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_exact() {
        let sizes = ["1B", "64KiB", "512MiB", "2GiB", "1024TiB"].map(bytes);
        assert_eq!(sizes, [1, 64 << 10, 512 << 20, 2 << 30, BYTES_MAX].map(Ok));
        for text in ["", "5", "MiB", "0B", "1.5GiB", "5 MiB", "5MB", "5mib", "1025TiB", "99999999999999999999B"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_keep_to_their_scheme() {
        for name in ["a", "0", "fix-parser", &"x".repeat(64)] {
            assert_eq!(Name::parse(name).map(|name| name.0), Ok(name.to_string()));
        }
        for text in ["", "-a", "A", "a_b", "a b", "ä", "a/b", "..", &"x".repeat(65)] {
            assert!(Name::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bad_name_comes_with_a_good_one() {
        let fix = |text| Name::parse(text).map_err(|wrong| wrong.fix).unwrap_err();
        assert!(fix("Fix the Parser!").starts_with("write `fix-the-parser`"));
        assert!(fix("!!").starts_with("use 1 to 64"));
    }
}
