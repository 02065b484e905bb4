//! A small document: written once, rendered as Markdown and as HTML.
//!
//! Most of a report is text that agents and programs wrote. None of it may become markup, so escaping happens here and only here: what is
//! given to a [`Span`] or a [`Block`] is always shown as it is. The HTML has no scripts, no links and no outside resources.

use super::harmless::visible;
use std::fmt::Write as _;

/// A part of a document.
pub(super) enum Block {
    /// A heading of this level, from 1.
    Heading(u8, Vec<Span>),
    /// A paragraph.
    Paragraph(Vec<Span>),
    /// Somebody's words, line by line.
    Quote(String),
    /// A list.
    List(Vec<Vec<Span>>),
    /// A table: the head, and rows of cells.
    Table(&'static [&'static str], Vec<Vec<Span>>),
    /// What a program printed.
    Output(String),
}

/// A part of a line.
pub(super) enum Span {
    /// Plain text.
    Text(String),
    /// A name, a command or a commit.
    Code(String),
}

pub(super) fn text(text: impl Into<String>) -> Span {
    Span::Text(text.into())
}

pub(super) fn code(text: impl Into<String>) -> Span {
    Span::Code(text.into())
}

/// The document as Markdown, with tables as GitHub has them.
pub(super) fn markdown(blocks: &[Block]) -> String {
    let mut out = String::new();
    for block in blocks {
        if !out.is_empty() {
            out.push('\n');
        }
        match block {
            Block::Heading(level, spans) => {
                line(&mut out, &format!("{} {}", "#".repeat((*level).into()), md_spans(spans)))
            }
            Block::Paragraph(spans) => line(&mut out, &md_spans(spans)),
            Block::Quote(words) => words.lines().for_each(|words| line(&mut out, &format!("> {}", md(words)))),
            Block::List(items) => items.iter().for_each(|item| line(&mut out, &format!("* {}", md_spans(item)))),
            Block::Table(head, rows) => {
                line(&mut out, &format!("| {} |", head.join(" | ")));
                line(&mut out, &format!("|{}", "---|".repeat(head.len())));
                for row in rows {
                    let cells: Vec<String> =
                        row.iter().map(|cell| md_span(cell).replace('|', "\\|").replace("\\\\|", "\\|")).collect();
                    line(&mut out, &format!("| {} |", cells.join(" | ")));
                }
            }
            Block::Output(output) => {
                let fence = "`".repeat(backticks(output).max(2) + 1);
                line(&mut out, &format!("{fence}text\n{}\n{fence}", visible(output.trim_end())));
            }
        }
    }
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text.trim_end());
    out.push('\n');
}

fn md_spans(spans: &[Span]) -> String {
    spans.iter().map(md_span).collect()
}

fn md_span(span: &Span) -> String {
    match span {
        Span::Text(text) => md(text),
        Span::Code(text) => {
            let text = one_line(text);
            let (fence, pad) = match backticks(&text) {
                0 => ("`".to_owned(), ""),
                longest => ("`".repeat(longest + 1), " "),
            };
            format!("{fence}{pad}{text}{pad}{fence}")
        }
    }
}

/// Text that means nothing to Markdown.
fn md(text: &str) -> String {
    let mut out = String::new();
    for c in one_line(text).chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '&' | '$') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn one_line(text: &str) -> String {
    visible(text).split(['\n', '\t']).collect::<Vec<_>>().join(" ")
}

/// The longest run of backticks.
fn backticks(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or_default()
}

/// How the page looks; the whole of its style.
const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c1c1c;background:#fff}\
h1,h2,h3{line-height:1.25}h2{margin-top:2.5rem;border-bottom:1px solid #ddd}h3{margin-top:2rem}\
code,pre{font:14px/1.45 ui-monospace,monospace;background:#f4f4f2}code{padding:.1em .3em}pre{padding:.8rem;overflow-x:auto}\
table{border-collapse:collapse;display:block;overflow-x:auto}th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #ddd;vertical-align:top}\
blockquote{margin:1rem 0;padding:0 1rem;border-left:3px solid #bbb;white-space:pre-wrap}\
@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}code,pre{background:#242424}h2,th,td{border-color:#3a3a3a}}";

/// The document as one page that needs nothing else.
pub(super) fn html(title: &str, blocks: &[Block]) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        ht(title)
    );
    blocks.iter().for_each(|block| html_block(&mut out, block));
    out.push_str("</body>\n</html>\n");
    out
}

fn html_block(out: &mut String, block: &Block) {
    let _ = match block {
        Block::Heading(level, spans) => writeln!(out, "<h{level}>{}</h{level}>", ht_spans(spans)),
        Block::Paragraph(spans) => writeln!(out, "<p>{}</p>", ht_spans(spans)),
        Block::Quote(words) => writeln!(out, "<blockquote>{}</blockquote>", ht(words.trim_end())),
        Block::List(items) => {
            let items: String = items.iter().map(|item| format!("<li>{}</li>\n", ht_spans(item))).collect();
            writeln!(out, "<ul>\n{items}</ul>")
        }
        Block::Table(head, rows) => {
            let head: String = head.iter().map(|cell| format!("<th>{}</th>", ht(cell))).collect();
            let row = |row: &Vec<Span>| {
                let cells: String = row.iter().map(|cell| format!("<td>{}</td>", ht_span(cell))).collect();
                format!("<tr>{cells}</tr>\n")
            };
            let rows: String = rows.iter().map(row).collect();
            writeln!(out, "<table>\n<tr>{head}</tr>\n{rows}</table>")
        }
        Block::Output(output) => writeln!(out, "<pre>{}</pre>", ht(output.trim_end())),
    };
}

fn ht_spans(spans: &[Span]) -> String {
    spans.iter().map(ht_span).collect()
}

fn ht_span(span: &Span) -> String {
    match span {
        Span::Text(text) => ht(text),
        Span::Code(text) => format!("<code>{}</code>", ht(text)),
    }
}

/// Text that means nothing to HTML, in attributes either.
fn ht(text: &str) -> String {
    let mut out = String::new();
    for c in visible(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIL: &str = "<script>alert(1)</script> [x](http://a) ``` | \u{1b}[2J \u{202e}\n# head";

    fn evil() -> Vec<Block> {
        vec![
            Block::Paragraph(vec![text(EVIL), code(EVIL)]),
            Block::Table(&["a"], vec![vec![code(EVIL)], vec![text(EVIL)]]),
            Block::Quote(EVIL.to_owned()),
            Block::Output(EVIL.to_owned()),
        ]
    }

    #[test]
    fn nothing_that_an_agent_wrote_becomes_html() {
        let page = html(EVIL, &evil());
        assert!(!page.contains("<script"), "{page}");
        assert!(!page.contains(['\u{1b}', '\u{202e}']), "{page}");
        assert_eq!(page.matches("&lt;script&gt;").count(), 7);
    }

    #[test]
    fn nothing_that_an_agent_wrote_becomes_markdown() {
        let shown = markdown(&evil());
        expect_test::expect![[r#"
            \<script\>alert(1)\</script\> \[x\](http://a) \`\`\` \| �\[2J � \# head```` <script>alert(1)</script> [x](http://a) ``` | �[2J � # head ````

            | a |
            |---|
            | ```` <script>alert(1)</script> [x](http://a) ``` \| �[2J � # head ```` |
            | \<script\>alert(1)\</script\> \[x\](http://a) \`\`\` \| �\[2J � \# head |

            > \<script\>alert(1)\</script\> \[x\](http://a) \`\`\` \| �\[2J �
            > \# head

            ````text
            <script>alert(1)</script> [x](http://a) ``` | �[2J �
            # head
            ````
        "#]]
        .assert_eq(&shown);
    }
}
