//! Known secret values, found and covered wherever they appear: in one piece, in chunks of any size, and in the forms
//! that programs give them (JSON text, percent-encoding, base64 at every alignment, hexadecimal).
//!
//! Why by value: a rule about how keys look misses the next provider's, and covers what is no key. What is masked here
//! is exactly what this process knows to be secret. It does not find a secret that was cut up, encrypted or spelt out.
//!
//! How: a trie of all forms. At each place of the text the longest form that begins there is covered. Of a stream only
//! such bytes are held back as may still become a secret, which is nothing at all for nearly every chunk.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use secrecy::{ExposeSecret, SecretString};

/// Values shorter than this many bytes are not masked: they would cover ordinary words and numbers.
pub const SECRET_BYTES_MIN: usize = 8;

/// All secrets of one process. Has no readable `Debug`: it holds them.
#[derive(Clone, Default)]
pub struct Masker {
    nodes: Vec<Node>,
    /// What stands in the place of each secret.
    covers: Vec<String>,
    /// By the first byte of a form: the node that it leads to; 0 where no form begins so.
    first: Vec<u32>,
}

#[derive(Clone, Default)]
struct Node {
    /// Sorted by byte.
    next: Vec<(u8, u32)>,
    /// The secret of which a form ends here.
    ends: Option<u32>,
}

/// A secret found in a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) bytes: Range<usize>,
    /// What is to stand there instead.
    pub(crate) cover: &'a str,
}

/// One stream of bytes on its way through a [`Masker`].
#[derive(Clone, Debug, Default)]
pub struct MaskedStream {
    held: Vec<u8>,
}

/// What begins at a place of a text.
enum Found {
    Nothing,
    /// Bytes, and whose they are.
    Secret(usize, u32),
    /// The text ends before it can be told.
    Undecided,
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Masker").field("covers", &self.covers).finish_non_exhaustive()
    }
}

impl Masker {
    /// A masker of these values, each with the name that stands in its place: `[masked:NAME]`. Of several names of one
    /// value the first is used. Values shorter than [`SECRET_BYTES_MIN`] are left out.
    pub fn new(secrets: impl IntoIterator<Item = (String, SecretString)>) -> Self {
        let mut masker = Self { nodes: vec![Node::default()], first: vec![0; 256], ..Self::default() };
        for (name, value) in secrets {
            let value = value.expose_secret().as_bytes();
            if value.len() < SECRET_BYTES_MIN {
                continue;
            }
            let secret = u32::try_from(masker.covers.len()).unwrap_or(u32::MAX);
            masker.covers.push(format!("[masked:{}]", plain(&name)));
            for form in forms(value) {
                masker.add(&form, secret);
            }
        }
        masker
    }

    /// Whether there is nothing to mask.
    pub fn is_empty(&self) -> bool {
        self.covers.is_empty()
    }

    /// The bytes with every secret covered.
    pub fn bytes<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        if self.find(text).is_none() {
            return Cow::Borrowed(text);
        }
        let mut out = Vec::with_capacity(text.len());
        self.cover(text, true, &mut out);
        Cow::Owned(out)
    }

    /// The text with every secret covered.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// What would stand in the place of the first secret in a text, if there is one: it names the secret without saying it.
    pub fn find(&self, text: &[u8]) -> Option<&str> {
        let found = (0..text.len()).find_map(|at| match self.at(&text[at..], true) {
            Found::Secret(_, secret) => Some(secret),
            Found::Nothing | Found::Undecided => None,
        });
        found.and_then(|secret| self.covers.get(secret as usize)).map(String::as_str)
    }

    /// The secrets in `text` that are certain, and how many bytes of it were dealt with: all of them at the `end` of a text.
    pub(crate) fn places(&self, text: &[u8], end: bool) -> (Vec<Place<'_>>, usize) {
        let (mut places, mut at) = (Vec::new(), 0);
        while at < text.len() {
            match self.at(&text[at..], end) {
                Found::Nothing => at += 1,
                Found::Secret(bytes, secret) => {
                    let cover = self.covers.get(secret as usize).map_or("", String::as_str);
                    places.push(Place { bytes: at..at + bytes, cover });
                    at += bytes;
                }
                Found::Undecided => break,
            }
        }
        (places, at)
    }

    /// Whether JSON text may hold a secret, or a string value that ends in the beginning of one. Errs towards yes: an
    /// escape may hide anything.
    pub(crate) fn may_touch(&self, json: &[u8]) -> bool {
        memchr::memchr(b'\\', json).is_some()
            || json.iter().enumerate().any(|(at, byte)| self.begins(*byte) != 0 && self.reaches(&json[at..]))
    }

    /// Whether a form begins here that is whole, or that the end of a string value cuts.
    fn reaches(&self, json: &[u8]) -> bool {
        let mut node = 0;
        for (at, byte) in json.iter().enumerate() {
            if *byte == b'"' && at > 0 && json.get(at + 1) != Some(&b':') {
                return true;
            }
            let Some(next) = self.step(node, *byte) else { return false };
            node = next;
            if self.nodes[node].ends.is_some() {
                return true;
            }
        }
        true
    }

    /// Covers what is certain of `text`; returns how many bytes of it were dealt with. At the `end` of a text that is all.
    fn cover(&self, text: &[u8], end: bool, out: &mut Vec<u8>) -> usize {
        let (places, done) = self.places(text, end);
        let mut at = 0;
        for Place { bytes, cover } in places {
            out.extend_from_slice(&text[at..bytes.start]);
            out.extend_from_slice(cover.as_bytes());
            at = bytes.end;
        }
        out.extend_from_slice(&text[at..done]);
        done
    }

    fn at(&self, text: &[u8], end: bool) -> Found {
        if text.first().is_none_or(|first| self.begins(*first) == 0) {
            return Found::Nothing;
        }
        let (mut node, mut found) = (0, Found::Nothing);
        for (at, byte) in text.iter().enumerate() {
            let Some(next) = self.step(node, *byte) else { return found };
            node = next;
            if let Some(secret) = self.nodes[node].ends {
                found = Found::Secret(at + 1, secret);
            }
        }
        match self.nodes[node].next.is_empty() || end {
            true => found,
            false => Found::Undecided,
        }
    }

    fn begins(&self, byte: u8) -> u32 {
        self.first.get(usize::from(byte)).copied().unwrap_or(0)
    }

    fn step(&self, node: usize, byte: u8) -> Option<usize> {
        if node == 0 {
            return Some(self.begins(byte) as usize).filter(|next| *next != 0);
        }
        let next = &self.nodes[node].next;
        next.binary_search_by_key(&byte, |(byte, _)| *byte).ok().map(|at| next[at].1 as usize)
    }

    fn add(&mut self, form: &[u8], secret: u32) {
        let mut node = 0;
        for byte in form {
            node = match self.step(node, *byte) {
                Some(next) => next,
                None => {
                    let next = self.nodes.len();
                    self.nodes.push(Node::default());
                    if node == 0 {
                        self.first[usize::from(*byte)] = next as u32;
                    } else {
                        let children = &mut self.nodes[node].next;
                        let place = children.partition_point(|(other, _)| other < byte);
                        children.insert(place, (*byte, next as u32));
                    }
                    next
                }
            };
        }
        self.nodes[node].ends.get_or_insert(secret);
    }
}

impl MaskedStream {
    /// Takes the next bytes; returns what can be passed on.
    pub fn push(&mut self, masker: &Masker, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        if self.held.is_empty() {
            let done = masker.cover(bytes, false, &mut out);
            self.held.extend_from_slice(&bytes[done..]);
        } else {
            self.held.extend_from_slice(bytes);
            let done = masker.cover(&self.held, false, &mut out);
            self.held.drain(..done);
        }
        out
    }

    /// Whether bytes are held back that may still become a secret.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// The rest, at the end of the stream.
    pub fn finish(&mut self, masker: &Masker) -> Vec<u8> {
        masker.bytes(&std::mem::take(&mut self.held)).into_owned()
    }
}

/// A name that is harmless in every kind of text.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect()
}

/// All forms of a value, without doubles.
fn forms(value: &[u8]) -> BTreeSet<Vec<u8>> {
    let json = json_text(value);
    let mut forms = BTreeSet::from([value.to_vec(), json_text(&json), json.clone()]);
    // Some writers escape the slash as well (ECMA-404 allows it).
    forms.insert(String::from_utf8_lossy(&json).replace('/', "\\/").into_bytes());
    forms.extend([HEX_UPPER, HEX_LOWER].map(|hex| json_ascii(&json, hex, b"")));
    forms.extend([HEX_UPPER, HEX_LOWER].map(|hex| json_ascii(&json, hex, b"<>&'")));
    for hex in [HEX_UPPER, HEX_LOWER] {
        forms.insert(percent(value, hex, b"%20"));
        forms.insert(percent(value, hex, b"+"));
        forms.insert(value.iter().flat_map(|byte| digits(*byte, hex)).collect());
    }
    for alphabet in [BASE64, BASE64_URL] {
        forms.extend((0..3).map(|before| base64(value, before, alphabet)));
    }
    forms.retain(|form| form.len() >= SECRET_BYTES_MIN);
    forms
}

const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";
const HEX_LOWER: &[u8; 16] = b"0123456789abcdef";
/// RFC 4648, section 4.
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// RFC 4648, section 5.
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn digits(byte: u8, hex: &[u8; 16]) -> [u8; 2] {
    [hex[usize::from(byte >> 4)], hex[usize::from(byte & 15)]]
}

/// The inside of a JSON text.
fn json_text(value: &[u8]) -> Vec<u8> {
    let quoted = serde_json::Value::String(String::from_utf8_lossy(value).into_owned()).to_string();
    quoted.as_bytes().get(1..quoted.len() - 1).unwrap_or_default().to_vec()
}

/// The inside of a JSON text with every character beyond ASCII, and the `also` ones, as `\uXXXX`: the habit of Python, and
/// of Go and others who fear for HTML.
fn json_ascii(json: &[u8], hex: &[u8; 16], also: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    for c in String::from_utf8_lossy(json).chars() {
        if c.is_ascii() && !also.contains(&(c as u8)) {
            out.push(c as u8);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.extend_from_slice(b"\\u");
            out.extend(unit.to_be_bytes().into_iter().flat_map(|byte| digits(byte, hex)));
        }
    }
    out
}

/// RFC 3986: everything but the unreserved characters as `%XX`.
fn percent(value: &[u8], hex: &[u8; 16], space: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for byte in value {
        match byte {
            b' ' => out.extend_from_slice(space),
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) => out.push(*byte),
            byte => out.extend([b'%'].into_iter().chain(digits(*byte, hex))),
        }
    }
    out
}

/// The characters of a value's base64 that do not depend on what stands around it, when so many bytes (modulo 3) stand
/// before it.
fn base64(value: &[u8], before: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let bytes: Vec<u8> = std::iter::repeat_n(0, before).chain(value.iter().copied()).collect();
    let bit = |at: usize| bytes[at / 8] >> (7 - at % 8) & 1;
    let first = (before * 8).div_ceil(6);
    let whole = bytes.len() * 8 / 6;
    (first..whole).map(|at| alphabet[(0..6).fold(0, |six, step| six << 1 | usize::from(bit(at * 6 + step)))]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With characters that every form has to do something about.
    const SECRET: &str = "pk/live \"7+x\\é-0123456789";

    fn masker() -> Masker {
        Masker::new([("PROVIDER_KEY".to_owned(), SECRET.into()), ("other".to_owned(), "pk/live-other".into())])
    }

    fn standard(bytes: &[u8]) -> String {
        let padded: Vec<u8> = bytes.to_vec();
        let mut text: String = padded
            .chunks(3)
            .flat_map(|chunk| {
                let mut three = [0; 3];
                three[..chunk.len()].copy_from_slice(chunk);
                let all = u32::from_be_bytes([0, three[0], three[1], three[2]]);
                (0..=chunk.len()).map(move |at| char::from(BASE64[(all >> (18 - 6 * at) & 63) as usize]))
            })
            .collect();
        while !text.len().is_multiple_of(4) {
            text.push('=');
        }
        text
    }

    #[test]
    fn a_secret_is_covered_in_every_form() {
        let json = serde_json::to_string(&serde_json::json!({ "k": SECRET })).unwrap();
        let twice = serde_json::to_string(&json).unwrap();
        let url = "https://h/?k=pk%2Flive%20%227%2Bx%5C%C3%A9-0123456789&z=1";
        let form = "k=pk%2flive+%227%2bx%5c%c3%a9-0123456789";
        let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
        for text in
            [SECRET.to_owned(), format!("a{SECRET}{SECRET}z"), json, twice, url.to_owned(), form.to_owned(), hex]
        {
            let masked = masker().text(&text).into_owned();
            assert!(masked.contains("[masked:PROVIDER_KEY]"), "{masked}");
            assert!(!masked.contains("0123456789") && !masked.contains("31323334"), "{masked}");
        }
    }

    #[test]
    fn a_secret_is_covered_as_other_writers_of_json_spell_it() {
        let masker = Masker::new([("K".to_owned(), "a&b<é>😀-0123456789".into())]);
        for text in [
            r#"a&b<\u00e9>\ud83d\ude00-0123456789"#,
            r#"a&b<\u00E9>\uD83D\uDE00-0123456789"#,
            r#"a\u0026b\u003c\u00e9\u003e\ud83d\ude00-0123456789"#,
        ] {
            assert_eq!(masker.text(text), "[masked:K]");
        }
    }

    #[test]
    fn base64_is_covered_at_every_alignment() {
        for (before, after) in [("", ""), ("a", "z"), ("ab", "zz"), ("abc", "zzz"), ("abcd", "")] {
            let text = standard(format!("{before}{SECRET}{after}").as_bytes());
            let masked = masker().text(&text).into_owned();
            assert!(masked.contains("[masked:PROVIDER_KEY]"), "{before:?} {text} {masked}");
            // At most three characters at each end belong to the neighbours too.
            assert!(
                masked.len()
                    <= "[masked:PROVIDER_KEY]".len() + 4 * before.len().div_ceil(3) + 4 * after.len().div_ceil(3) + 8
            );
        }
    }

    #[test]
    fn what_is_no_secret_passes_untouched() {
        for text in ["", "pk/live", "pk/live-othe", "pk/live \"7+x", "nothing at all"] {
            assert!(matches!(masker().text(text), Cow::Borrowed(same) if same == text), "{text}");
        }
        assert!(Masker::new([("SHORT".to_owned(), "1234567".into())]).is_empty());
        assert_eq!(masker().find(format!("x {SECRET}").as_bytes()), Some("[masked:PROVIDER_KEY]"));
    }

    #[test]
    fn a_beginning_that_comes_to_nothing_does_not_hide_what_follows() {
        assert_eq!(masker().text("pk/livepk/live-other!"), "pk/live[masked:other]!");
    }

    #[test]
    fn no_debug_output_tells_a_secret() {
        assert!(!format!("{:?}", masker()).contains("live"));
    }

    proptest::proptest! {
        /// However a text is cut, a stream gives what the whole gives.
        #[test]
        fn a_stream_masks_what_the_whole_masks(
            parts in proptest::collection::vec(proptest::sample::select(vec![SECRET, "pk/live", "pk/live-other", "x", "\"7+x", "é"]), 0..12),
            cuts in proptest::collection::vec(1_usize..9, 1..40),
        ) {
            let (masker, text) = (masker(), parts.concat());
            let (mut stream, mut out, mut rest) = (MaskedStream::default(), Vec::new(), text.as_bytes());
            let mut sizes = cuts.iter().cycle();
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                out.extend(stream.push(&masker, now));
                rest = later;
            }
            out.extend(stream.finish(&masker));
            proptest::prop_assert_eq!(String::from_utf8(out).unwrap(), masker.text(&text).into_owned());
        }

        #[test]
        fn in_single_bytes_nothing_is_ever_let_out(secret in "[ -~]{8,40}", before in "[a-z]{0,5}", after in "[a-z]{0,5}") {
            let masker = Masker::new([("K".to_owned(), secret.clone().into())]);
            let mut stream = MaskedStream::default();
            let mut out: Vec<u8> = format!("{before}{secret}{after}").bytes().flat_map(|byte| stream.push(&masker, &[byte])).collect();
            out.extend(stream.finish(&masker));
            proptest::prop_assert!(!String::from_utf8_lossy(&out).contains(&secret));
        }
    }
}
