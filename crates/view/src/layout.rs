//! Texts laid out for a terminal: broken between words, and between the characters of writing that has no spaces, by the columns that they take.
//! A word that is longer than a line is left whole: it is a path or an address, and somebody wants to copy it.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Fewest columns that a text gets, however narrow the terminal is.
const COLUMNS_MIN: usize = 16;
/// Lines that begin so are commands to copy; they stay whole.
const COMMANDS: [&str; 4] = ["git ", "muster ", "$ ", "cd "];

/// A text whose first line begins at column `start` and whose further lines are indented by `indent`. Without columns it is only indented.
pub fn folded(text: &str, columns: Option<usize>, start: usize, indent: usize) -> String {
    let mut folded = String::new();
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            folded.push('\n');
            folded.push_str(&" ".repeat(indent));
        }
        let start = if number > 0 { indent } else { start };
        match columns {
            Some(columns) if !is_command(line) => fold_line(&mut folded, line, columns, start, indent),
            _ => folded.push_str(line),
        }
    }
    folded.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// A text whose long lines go on below themselves, indented a little further.
pub fn wrapped(text: &str, columns: usize) -> String {
    let line = |line: &str| {
        let bare = line.trim_start();
        let lead = line.len() - bare.len();
        if line.width() <= columns || is_command(bare) {
            return line.to_owned();
        }
        let indent = (lead + 2).min(columns / 2);
        format!("{}{}", &line[..lead], folded(bare, Some(columns), lead, indent))
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// A text on one line of at most so many columns, cut where a word ends if that is not far; what is missing is marked.
pub fn shortened(text: &str, columns: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.width() <= columns {
        return line;
    }
    let mut used = 0;
    let fits = line.char_indices().find(|(_, c)| {
        used += c.width().unwrap_or_default();
        used >= columns
    });
    let (cut, rest) = line.split_at(fits.map_or(line.len(), |(at, _)| at));
    let word = cut.rfind(' ').filter(|at| !rest.starts_with(' ') && cut[*at..].width() <= columns / 3);
    format!("{}…", cut[..word.unwrap_or(cut.len())].trim_end())
}

fn is_command(line: &str) -> bool {
    COMMANDS.iter().any(|command| line.trim_start().starts_with(command))
}

fn fold_line(folded: &mut String, line: &str, columns: usize, start: usize, indent: usize) {
    let most = columns.max(indent + COLUMNS_MIN);
    let mut column = start;
    for piece in pieces(line) {
        if column > indent && column + piece.trim_end().width() > most {
            folded.truncate(folded.trim_end_matches(' ').len());
            folded.push('\n');
            folded.push_str(&" ".repeat(indent));
            column = indent;
        }
        folded.push_str(piece);
        column += piece.width();
    }
}

/// What is not broken: words with the spaces behind them, single wide characters, and what is joined to them.
fn pieces(line: &str) -> impl Iterator<Item = &str> {
    let mut starts = Vec::from([0]);
    let (mut last, mut shaped) = (None, None);
    for (at, c) in line.char_indices() {
        let wide = |c: char| c.width() == Some(2);
        let parts = shaped.is_some_and(|before| match before {
            ' ' => c != ' ',
            before => c != ' ' && (wide(before) || wide(c)) && !c.is_ascii_punctuation(),
        });
        let joined = c.width().unwrap_or_default() == 0 || last == Some('\u{200d}');
        if parts && !joined {
            starts.push(at);
        }
        last = Some(c);
        shaped = if joined { shaped } else { last };
    }
    let ends = starts.clone().into_iter().skip(1).chain([line.len()]);
    starts.into_iter().zip(ends.collect::<Vec<_>>()).map(|(start, end)| &line[start..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn lines_break_between_words_and_below_where_they_began() {
        let text = "the quick brown fox jumps over https://example.invalid/a/very/long/path\nand rests";
        expect![[r"
            the quick
                brown fox jumps
                over
                https://example.invalid/a/very/long/path
                and rests"]]
        .assert_eq(&folded(text, Some(20), 10, 4));
        assert_eq!(folded("a b\nc", None, 3, 2), "a b\n  c");
    }

    #[test]
    fn wide_characters_take_two_columns_and_joined_ones_stay_together() {
        let lines = folded("日本語の文章を折り返す", Some(COLUMNS_MIN), 0, 0);
        assert_eq!(lines, "日本語の文章を折\nり返す");
        let family = "👩\u{200d}👩\u{200d}👧";
        assert_eq!(
            pieces(&format!("a{family} e\u{301}b")).collect::<Vec<_>>(),
            ["a", &format!("{family} "), "e\u{301}b"]
        );
    }

    #[test]
    fn commands_stay_whole_and_the_rest_goes_on_below_itself() {
        let text = "  a line that is rather too long\n    git -C /somewhere checkout a-branch-with-a-name";
        assert_eq!(
            wrapped(text, 20),
            "  a line that is\n    rather too long\n    git -C /somewhere checkout a-branch-with-a-name"
        );
    }

    #[test]
    fn a_long_text_is_cut_where_a_word_ends() {
        assert_eq!(shortened("one two three four", 12), "one two…");
        assert_eq!(shortened(&"ä".repeat(30), 10), format!("{}…", "ä".repeat(9)));
        assert_eq!(shortened("日本語の文章", 7), "日本語…");
        assert_eq!(shortened("a\nb  c", 9), "a b c");
    }
}
