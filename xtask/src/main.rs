//! The chores of this repository, run as `cargo xtask NAME`: what a compiler and a linter do not check.

mod prices;
mod schema;
mod tidy;

use anyhow::{Context, Result, bail};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

const USAGE: &str = "\
cargo xtask tidy [--update]     check the rules of the house; --update lowers the ratchet
cargo xtask schema [--check]    write the JSON Schemas to docs/schema; --check only compares
cargo xtask prices --from FILE [--version V]
                                make the built-in price table from LiteLLM's: a wheel from PyPI, or the JSON file
cargo xtask prices --check      only look whether the built-in table is whole and told of truly";

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether all is well; an error is for what could not be checked at all.
fn run(arguments: &[String]) -> Result<bool> {
    let root = root()?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["tidy"] => tidy::run(&root, false),
        ["tidy", "--update"] => tidy::run(&root, true),
        ["schema"] => schema::write(&root).map(|()| true),
        ["schema", "--check"] => schema::check(&root),
        ["prices", "--from", file] => prices::write(&root, Path::new(file), None).map(|()| true),
        ["prices", "--from", file, "--version", version] => {
            prices::write(&root, Path::new(file), Some(version)).map(|()| true)
        }
        ["prices", "--check"] => prices::check(&root),
        _ => bail!("{USAGE}"),
    }
}

/// The repository: the folder above this package.
fn root() -> Result<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().map(Path::to_path_buf).context("this package has no folder above it")
}
