//! Tool `write_file`: a whole file at once.

use serde::Deserialize;
use serde_json::json;

use super::encoding::{Encoding, is_crlf};
use super::{Outcome, Root, define, io_error};
use crate::record::Definition;

/// Arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    path: String,
    content: String,
}

pub(super) fn definition() -> Definition {
    define(
        "write_file",
        "Create a file or replace all of it. Missing directories are created. Prefer apply_patch for small changes.",
        &["path", "content"],
        json!({
            "path": {"type": "string", "description": "Path relative to the working directory."},
            "content": {"type": "string", "description": "The whole new content."},
        }),
    )
}

pub(super) fn run(args: Args, root: &Root) -> Outcome {
    let path = root.resolve(&args.path)?;
    let failed = |error: std::io::Error| io_error("write", &args.path, &error);
    if path.is_dir() {
        return Err(format!("{} is a directory.", args.path));
    }
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(failed)?;
    }
    let (bytes, kept) = as_before(&std::fs::read(&path).unwrap_or_default(), &args.content);
    std::fs::write(&path, &bytes).map_err(failed)?;
    Ok(format!("Wrote {} ({} bytes{kept}).", root.shown(&path), bytes.len()))
}

/// The bytes of a new content with the encoding and the line ends of the old one, and what was kept, in words.
fn as_before(old: &[u8], content: &str) -> (Vec<u8>, String) {
    let (old, encoding) = Encoding::decode(old).unwrap_or_default();
    let crlf = is_crlf(&old) && !content.contains('\r');
    let content = if crlf { content.replace('\n', "\r\n") } else { content.to_owned() };
    let (bytes, told) = match encoding.encode(&content) {
        Some(bytes) => (bytes, encoding.name().map(|name| format!("{name}, as before"))),
        None => (content.into_bytes(), Some("UTF-8 now, for what the old encoding cannot write".to_owned())),
    };
    let ends = crlf.then(|| "lines end in CR LF, as before".to_owned());
    (bytes, told.into_iter().chain(ends).map(|words| format!("; {words}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creates_directories_and_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path()).unwrap();
        for content in ["long content", "short"] {
            let told = write(&root, "a/b/c.txt", content).unwrap();
            assert_eq!(told, format!("Wrote a/b/c.txt ({} bytes).", content.len()));
            assert_eq!(std::fs::read_to_string(dir.path().join("a/b/c.txt")).unwrap(), content);
        }
    }

    #[test]
    fn encoding_and_line_ends_of_a_file_stay() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path()).unwrap();
        for (old, content, new) in [
            (&b"\xef\xbb\xbfa\r\nb\r\n"[..], "x\ny\n", &b"\xef\xbb\xbfx\r\ny\r\n"[..]),
            (b"\xff\xfea\0", "x", b"\xff\xfex\0"),
            (b"caf\xe9", "th\u{e9}", b"th\xe9"),
            (b"caf\xe9", "5 \u{20ac}", "5 \u{20ac}".as_bytes()),
            (b"a\r\nb\n", "x\ny\n", b"x\ny\n"),
            (b"\x7fELF\0", "x\n", b"x\n"),
        ] {
            std::fs::write(dir.path().join("f"), old).unwrap();
            write(&root, "f", content).unwrap();
            assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), new, "{old:?}");
        }
        std::fs::write(dir.path().join("f"), "a\r\n").unwrap();
        assert_eq!(write(&root, "f", "b\n").unwrap(), "Wrote f (3 bytes; lines end in CR LF, as before).");
    }

    #[test]
    fn what_cannot_be_written_is_explained() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path()).unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(write(&root, ".", "x").unwrap_err(), ". is a directory.");
        assert!(write(&root, "file/below", "x").is_err());
        assert!(write(&root, "../out", "x").unwrap_err().contains("outside"));
        assert!(!dir.path().parent().unwrap().join("out").exists());
    }

    fn write(root: &Root, path: &str, content: &str) -> Outcome {
        run(Args { path: path.into(), content: content.into() }, root)
    }
}
