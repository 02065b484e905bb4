//! The rules of the house as a test.
//!
//! Why: a rule that only stands in a document is kept until the first hurried week. Each rule here is one small module
//! that reads the tree and says where it is broken and what to do. What was broken before a rule came is written in
//! `xtask/ratchet.json` and may only shrink.
//!
//! It refuses to repeat what the compiler and clippy check, and to judge taste.

mod finding;
mod ratchet;
mod rules;
mod rust;
mod tree;

use anyhow::Result;
use ratchet::Ratchet;
use std::path::Path;
use tree::Tree;

/// Checks every rule and prints what is broken. Whether nothing is.
///
/// # Errors
/// When the tree or the ratchet cannot be read.
pub fn run(root: &Path, update: bool) -> Result<bool> {
    let tree = Tree::read(root)?;
    let findings: Vec<_> = rules::ALL.iter().flat_map(|rule| rule(&tree)).collect();
    let path = root.join("xtask/ratchet.json");
    let mut ratchet = Ratchet::read(&path)?;
    if update {
        ratchet.lower(&findings);
        ratchet.write(&path)?;
    }
    let verdict = ratchet.judge(&findings);
    for finding in &verdict.broken {
        println!("{finding}");
    }
    for entry in &verdict.slack {
        println!("xtask/ratchet.json: {entry} is better than written: run `cargo xtask tidy --update`");
    }
    let files = tree.rust.len() + tree.text.len();
    let (broken, slack) = (verdict.broken.len(), verdict.slack.len());
    println!(
        "tidy: {files} files, {} rules, {broken} broken, {slack} to lower, {} tolerated",
        rules::ALL.len(),
        verdict.tolerated
    );
    Ok(broken == 0 && slack == 0)
}
