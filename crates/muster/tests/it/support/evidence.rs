//! Tables of what was measured, written only where somebody asks for them.

use std::{fs, path::Path};

/// Prints a table and, with `MUSTER_EVIDENCE`, writes it there as `NAME.md`. A relative folder begins at the repository's root.
pub fn table(name: &str, title: &str, said: &str, columns: &[&str], rows: &[Vec<String>]) {
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = format!("# {title}\n\n{said}\n\n");
    text += &row(&columns.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>());
    text += &format!("|{}\n", "---|".repeat(columns.len()));
    rows.iter().for_each(|cells| text += &row(cells));
    println!("{text}");
    if let Some(dir) = std::env::var_os("MUSTER_EVIDENCE") {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(dir);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(format!("{name}.md")), text).unwrap();
    }
}

/// A number from the environment.
pub fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
        Err(_) => default,
    }
}
