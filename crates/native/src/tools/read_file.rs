//! Tool `read_file`: some lines of a text file.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use serde::Deserialize;
use serde_json::json;

use super::encoding::Encoding;
use super::{Outcome, Root, define, io_error};
use crate::bounds::prefix;
use crate::record::Definition;

/// Most bytes returned; what a model can take in at once.
const BYTES_MAX: usize = 64 * 1024;
/// Lines returned unless told otherwise.
const LINES: usize = 1000;

/// Arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    path: String,
    offset: Option<usize>,
    limit: Option<usize>,
}

pub(super) fn definition() -> Definition {
    define(
        "read_file",
        "Read a text file. Returns its lines unchanged, at most 64 KiB; says where to continue if there is more.",
        &["path"],
        json!({
            "path": {"type": "string", "description": "Path relative to the working directory."},
            "offset": {"type": "integer", "minimum": 1, "description": "First line to return, from 1."},
            "limit": {"type": "integer", "minimum": 1, "description": "Number of lines to return; 1000 if left out."},
        }),
    )
}

pub(super) fn run(args: Args, root: &Root) -> Outcome {
    let path = root.resolve(&args.path)?;
    let failed = |error: std::io::Error| io_error("read", &args.path, &error);
    let meta = path.metadata().map_err(failed)?;
    if meta.is_dir() {
        return Err(format!("{} is a directory. Use list_files.", args.path));
    }
    if !meta.is_file() {
        return Err(format!("{} is not an ordinary file.", args.path));
    }
    let first = args.offset.unwrap_or(1).max(1);
    let (limit, no_text) =
        (args.limit.unwrap_or(LINES), || format!("{} is not a text file ({} bytes).", args.path, meta.len()));
    let (page, encoding) = if meta.len() <= DECODED_BYTES_MAX {
        let bytes = std::fs::read(&path).map_err(failed)?;
        let (text, encoding) = Encoding::decode(&bytes).ok_or_else(no_text)?;
        (page(text.as_bytes(), first, limit).map_err(failed)?, encoding.name())
    } else {
        (page(File::open(&path).map_err(failed)?, first, limit).map_err(failed)?, None)
    };
    if page.text.contains('\0') {
        return Err(no_text());
    }
    let told = encoding.map(|name| format!("[The file is {name}; the tools keep it so.]\n")).unwrap_or_default();
    Ok(told
        + &match (page.lines, page.next) {
            (0, _) if meta.len() == 0 => "[The file is empty.]".into(),
            (0, _) => format!("[The file has only {} lines.]", page.skipped),
            (_, Some(next)) => format!("{}[The file goes on; continue with offset {next}.]", page.text),
            (_, None) => page.text,
        })
}

/// Largest file whose encoding is looked for; a larger one is taken for UTF-8.
const DECODED_BYTES_MAX: u64 = 8 * 1024 * 1024;

#[derive(Default)]
struct Page {
    text: String,
    lines: usize,
    /// Lines before the page.
    skipped: usize,
    /// First line after the page.
    next: Option<usize>,
}

fn page(file: impl Read, first: usize, limit: usize) -> std::io::Result<Page> {
    let mut reader = BufReader::new(file);
    let mut page = Page::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        // A line longer than the page is cut; its rest is skipped below.
        let bytes = reader.by_ref().take(BYTES_MAX as u64).read_until(b'\n', &mut line)?;
        if bytes == 0 {
            return Ok(page);
        }
        let is_cut = bytes == BYTES_MAX && line.last() != Some(&b'\n');
        if is_cut {
            reader.skip_until(b'\n')?;
        }
        if page.skipped + 1 < first {
            page.skipped += 1;
            continue;
        }
        if page.lines >= limit || (page.lines > 0 && page.text.len() + line.len() > BYTES_MAX) {
            page.next = Some(first + page.lines);
            return Ok(page);
        }
        page.lines += 1;
        let text = String::from_utf8_lossy(&line);
        page.text.push_str(if is_cut { prefix(&text, BYTES_MAX) } else { &text });
        if is_cut {
            page.text.push_str(" [line cut]\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::root::Root;
    use super::*;

    #[test]
    fn pages_join_without_gap_or_overlap() {
        let (_dir, root) = tree(&(1..=5).map(|number| format!("{number}\n")).collect::<String>());
        assert_eq!(read(&root, None, Some(2)).unwrap(), "1\n2\n[The file goes on; continue with offset 3.]");
        assert_eq!(read(&root, Some(3), Some(2)).unwrap(), "3\n4\n[The file goes on; continue with offset 5.]");
        assert_eq!(read(&root, Some(5), Some(2)).unwrap(), "5\n");
        assert_eq!(read(&root, Some(6), None).unwrap(), "[The file has only 5 lines.]");
    }

    #[test]
    fn large_files_come_in_pages_of_64_kib() {
        let (_dir, root) = tree(&format!("{}\n", "x".repeat(999)).repeat(100));
        let text = read(&root, None, None).unwrap();
        assert!(text.len() < BYTES_MAX + 100 && text.ends_with("continue with offset 66.]"), "{}", text.len());
    }

    #[test]
    fn one_endless_line_is_cut() {
        let (_dir, root) = tree(&format!("{}\nsecond\n", "é".repeat(BYTES_MAX)));
        let text = read(&root, None, None).unwrap();
        assert!(text.contains(" [line cut]\n") && text.len() < BYTES_MAX + 200);
        assert_eq!(read(&root, Some(2), None).unwrap(), "second\n");
    }

    #[test]
    fn other_encodings_are_read_and_named() {
        let (dir, root) = tree("");
        let read_bytes = |bytes: &[u8]| {
            std::fs::write(dir.path().join("f"), bytes).unwrap();
            read(&root, None, None).unwrap()
        };
        assert_eq!(
            read_bytes(b"\xef\xbb\xbfa\r\n"),
            "[The file is UTF-8 with a byte order mark; the tools keep it so.]\na\r\n"
        );
        assert_eq!(read_bytes(b"\xff\xfea\0"), "[The file is UTF-16, little-endian; the tools keep it so.]\na");
        assert_eq!(read_bytes(b"caf\xe9\n"), "[The file is Latin-1; the tools keep it so.]\ncaf\u{e9}\n");
    }

    #[test]
    fn what_cannot_be_read_is_explained() {
        let (dir, root) = tree("");
        assert_eq!(read(&root, None, None).unwrap(), "[The file is empty.]");
        std::fs::write(dir.path().join("f"), b"\x7fELF\0\0").unwrap();
        assert_eq!(read(&root, None, None).unwrap_err(), "f is not a text file (6 bytes).");
        let missing = run(Args { path: "g".into(), offset: None, limit: None }, &root);
        assert_eq!(missing.unwrap_err(), "g: there is no such file. list_files shows what there is.");
        let directory = run(Args { path: ".".into(), offset: None, limit: None }, &root);
        assert_eq!(directory.unwrap_err(), ". is a directory. Use list_files.");
    }

    fn tree(content: &str) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), content).unwrap();
        let root = Root::new(dir.path()).unwrap();
        (dir, root)
    }

    fn read(root: &Root, offset: Option<usize>, limit: Option<usize>) -> Outcome {
        run(Args { path: "f".into(), offset, limit }, root)
    }
}
