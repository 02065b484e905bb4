//! The words of agents, models and programs as they may be shown: what could drive a terminal, hide what a text says, or say what nobody sees
//! is replaced in texts and escaped in JSON. Every sink passes one of the two.

/// A text as it may be shown. Control characters, C1 included, characters that turn the direction of writing, and those that take no room
/// become U+FFFD. Line ends and tabs stay, and the joiners inside a word or an emoji that needs them.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut before = None;
    while let Some(c) = chars.next() {
        let joins =
            is_joiner(c) && before.is_some_and(takes_joiners) && chars.peek().copied().is_some_and(takes_joiners);
        let stays = joins || matches!(c, '\n' | '\t') || !is_harmful(c);
        shown.push(if stays { c } else { char::REPLACEMENT_CHARACTER });
        before = Some(c);
    }
    shown
}

/// JSON text with the same characters as `\uXXXX`: it means the same and drives nothing. The line ends between its tokens stay.
pub fn escaped(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_harmful(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| shown.push_str(&format!("\\u{unit:04x}")));
        } else {
            shown.push(c);
        }
    }
    shown
}

fn is_harmful(c: char) -> bool {
    c.is_control() || turns(c) || takes_no_room(c)
}

/// Marks, embeddings, overrides and isolates (Unicode Standard Annex 9).
fn turns(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Characters without a shape: separators, joiners, invisible operators, annotations, fillers and the tags that can spell a whole hidden text.
fn takes_no_room(c: char) -> bool {
    matches!(
        c,
        '\u{00ad}' | '\u{034f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}'..='\u{200d}'
            | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}'
    )
}

fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// Whether a joiner beside this one means something: in scripts and emoji beyond ASCII.
fn takes_joiners(c: char) -> bool {
    !c.is_ascii() && !is_harmful(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_turns_or_hides_is_replaced() {
        for c in
            ['\u{0}', '\u{7}', '\u{8}', '\r', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}', '\u{9d}', '\u{202e}', '\u{2066}']
        {
            assert_eq!(visible(&format!("a{c}b")), "a\u{fffd}b", "{c:?}");
        }
        for c in ['\u{ad}', '\u{200b}', '\u{200d}', '\u{2028}', '\u{2060}', '\u{feff}', '\u{e0041}'] {
            assert_eq!(visible(&format!("a{c}b")), "a\u{fffd}b", "{c:?}");
        }
        assert_eq!(visible("a\tb\nc é 日本 👩\u{200d}💻"), "a\tb\nc é 日本 👩\u{200d}💻");
    }

    #[test]
    fn json_says_the_same_without_them() {
        let words = "\u{9b}2J \u{202e}x \u{e0041} \u{200d} \u{7f} \u{1b} ok";
        for json in [serde_json::to_string(words).unwrap(), serde_json::to_string_pretty(&[words]).unwrap()] {
            let shown = escaped(&json);
            assert!(!shown.chars().any(|c| c != '\n' && is_harmful(c)), "{shown}");
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
                serde_json::from_str::<serde_json::Value>(&json).unwrap()
            );
        }
        assert_eq!(escaped("\"\u{9b}\u{202e}\u{e0041}\""), r#""\u009b\u202e\udb40\udc41""#);
    }
}
