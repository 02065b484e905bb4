//! Cutting texts to a size, at character boundaries, saying what was left out.

/// The longest prefix of `text` of at most `bytes_max` bytes that ends between two characters.
pub fn prefix(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// `text`, or its first and last parts around a note that says how many bytes are missing.
/// The result has at most `bytes_max` bytes and the note (about 40 bytes).
pub fn middle_out(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let head = prefix(text, bytes_max / 2);
    let tail = &text[text.ceil_char_boundary(text.len() - bytes_max / 2)..];
    join(head, text.len() - head.len() - tail.len(), tail)
}

/// Two parts of a text around a note of how many bytes are missing between them.
pub fn join(head: &str, missing: usize, tail: &str) -> String {
    format!("{head}\n[... {missing} bytes left out ...]\n{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_never_split() {
        assert_eq!(prefix("aé", 2), "a");
        assert_eq!(prefix("aé", 3), "aé");
        assert_eq!(middle_out("éééé", 5), "é\n[... 4 bytes left out ...]\né");
    }

    #[test]
    fn short_texts_stay() {
        assert_eq!(middle_out("abc", 3), "abc");
    }
}
