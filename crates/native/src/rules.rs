//! What a repository tells every agent: `AGENTS.md` or, where there is none, `CLAUDE.md`, at its root.
//!
//! It stands at the end of a session's first prompt, so that it is a part of the conversation that is kept, and what is asked again after a crash is
//! asked in the same words, whatever has become of the file since.

use crate::tools::Root;

/// The files, the first that is there.
const FILES: [&str; 2] = ["AGENTS.md", "CLAUDE.md"];
/// Most bytes of them that are told.
const BYTES_MAX: usize = 32 * 1024;

/// The first prompt of a session with the repository's rules.
pub fn with(root: &Root, prompt: String) -> String {
    // What leads out of the work folder, over a symbolic link, is none of the repository's.
    let read = |file: &str| std::fs::read_to_string(root.resolve(file).ok()?).ok();
    let found = FILES.iter().find_map(|file| Some((file, read(file)?)));
    let Some((file, text)) = found else { return prompt };
    let cut = text.floor_char_boundary(BYTES_MAX);
    let more = if cut < text.len() { format!("\n[The rest of {file} is not shown.]") } else { String::new() };
    match text[..cut].trim() {
        "" => prompt,
        rules => format!("{prompt}\n\nWhat this repository tells every agent ({file}):\n\n{rules}{more}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_file_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let told = || with(&Root::new(dir.path()).unwrap(), "Do it.".to_owned());
        assert_eq!(told(), "Do it.");
        std::fs::write(dir.path().join("CLAUDE.md"), "Be brief.\n").unwrap();
        assert_eq!(told(), "Do it.\n\nWhat this repository tells every agent (CLAUDE.md):\n\nBe brief.");
        std::fs::write(dir.path().join("AGENTS.md"), "ä".repeat(BYTES_MAX)).unwrap();
        assert!(told().contains("(AGENTS.md)") && told().ends_with("ä\n[The rest of AGENTS.md is not shown.]"));
        std::fs::write(dir.path().join("AGENTS.md"), "\n").unwrap();
        assert_eq!(told(), "Do it.");
    }
}
