//! How a text file is written: read as it is, and written back so.
//!
//! UTF-8 and UTF-16 with a byte order mark are known by it; bytes without one that are no UTF-8 are Latin-1, in which every byte is a character, so that
//! nothing is lost on the way.

/// How the bytes of a file stand for its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Without a byte order mark.
    #[default]
    Utf8,
    /// With one.
    Utf8Mark,
    /// Little end first, with a mark.
    Utf16Le,
    /// Big end first, with a mark.
    Utf16Be,
    /// ISO 8859-1.
    Latin1,
}

const MARK: char = '\u{feff}';

impl Encoding {
    /// The text of a file without its mark; `None`: it is no text.
    pub fn decode(bytes: &[u8]) -> Option<(String, Self)> {
        let wide = |bytes: &[u8], read: fn([u8; 2]) -> u16| {
            let (units, rest) = bytes.as_chunks::<2>();
            let text = char::decode_utf16(units.iter().map(|unit| read(*unit))).collect::<Result<String, _>>().ok()?;
            rest.is_empty().then_some(text).filter(|text| !text.contains('\0'))
        };
        if let Some(rest) = bytes.strip_prefix(b"\xff\xfe") {
            return Some((wide(rest, u16::from_le_bytes)?, Self::Utf16Le));
        }
        if let Some(rest) = bytes.strip_prefix(b"\xfe\xff") {
            return Some((wide(rest, u16::from_be_bytes)?, Self::Utf16Be));
        }
        if bytes.contains(&0) {
            return None;
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Some(match text.strip_prefix(MARK) {
                Some(text) => (text.to_owned(), Self::Utf8Mark),
                None => (text.to_owned(), Self::Utf8),
            }),
            Err(_) => Some((bytes.iter().map(|byte| char::from(*byte)).collect(), Self::Latin1)),
        }
    }

    /// The bytes of a text; `None`: it has a character that is not in this encoding.
    pub fn encode(self, text: &str) -> Option<Vec<u8>> {
        let text = if self == Self::Utf8 { text } else { text.strip_prefix(MARK).unwrap_or(text) };
        let marked = || std::iter::once(MARK).chain(text.chars());
        let wide = |write: fn(u16) -> [u8; 2]| {
            let mut units = [0; 2];
            marked().flat_map(|letter| letter.encode_utf16(&mut units).to_vec()).flat_map(write).collect()
        };
        match self {
            Self::Utf8 => Some(text.as_bytes().to_vec()),
            Self::Utf8Mark => Some(marked().collect::<String>().into_bytes()),
            Self::Utf16Le => Some(wide(u16::to_le_bytes)),
            Self::Utf16Be => Some(wide(u16::to_be_bytes)),
            Self::Latin1 => text.chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect(),
        }
    }

    /// What it is called; nothing for plain UTF-8.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Utf8 => None,
            Self::Utf8Mark => Some("UTF-8 with a byte order mark"),
            Self::Utf16Le => Some("UTF-16, little-endian"),
            Self::Utf16Be => Some("UTF-16, big-endian"),
            Self::Latin1 => Some("Latin-1"),
        }
    }
}

/// Whether every line of a text ends in CR and LF, and there is one.
pub fn is_crlf(text: &str) -> bool {
    let ends = text.matches('\n').count();
    ends > 0 && text.matches("\r\n").count() == ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_back_byte_for_byte() {
        for (bytes, text, encoding) in [
            (&b"plain\r\n"[..], "plain\r\n", Encoding::Utf8),
            (b"\xef\xbb\xbfa\xc3\xa9", "aé", Encoding::Utf8Mark),
            (b"\xff\xfea\0\xe9\0=\xd8\0\xde", "aé😀", Encoding::Utf16Le),
            (b"\xfe\xff\0a\0\xe9", "aé", Encoding::Utf16Be),
            (b"caf\xe9\n", "café\n", Encoding::Latin1),
        ] {
            let read = Encoding::decode(bytes).unwrap();
            assert_eq!((read.0.as_str(), read.1), (text, encoding));
            assert_eq!(encoding.encode(text).unwrap(), bytes);
        }
        assert_eq!(Encoding::Latin1.encode("€"), None);
        for no_text in [&b"\x7fELF\0"[..], b"\xff\xfea", b"\xff\xfe\0\xd8", b"\xff\xfe\0\0"] {
            assert_eq!(Encoding::decode(no_text), None, "{no_text:?}");
        }
    }

    #[test]
    fn line_ends() {
        assert!(is_crlf("a\r\nb\r\n") && !is_crlf("a\r\nb\n") && !is_crlf("a"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_that_are_a_text_come_back(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40), mark in 0..4_usize) {
            let mark = [&b""[..], b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"][mark];
            let bytes = [mark, &bytes].concat();
            if let Some((text, encoding)) = Encoding::decode(&bytes) {
                proptest::prop_assert_eq!(encoding.encode(&text), Some(bytes));
            }
        }
    }
}
