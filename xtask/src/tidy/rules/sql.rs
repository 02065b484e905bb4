//! Only `store` knows SQL.

use crate::tidy::{finding::Finding, tree::Tree};
use regex::Regex;

pub fn check(tree: &Tree) -> Vec<Finding> {
    let sql = r#"^[rb]?#*"\s*(SELECT\s|INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|(CREATE|DROP|ALTER)\s+(TABLE|(UNIQUE\s+)?INDEX|VIEW|TRIGGER)|PRAGMA\s|BEGIN\s+(IMMEDIATE|TRANSACTION))"#;
    let Ok(sql) = Regex::new(sql) else { unreachable!("the pattern is a constant and the tests compile it") };
    let mut findings = Vec::new();
    for file in tree.rust.iter().filter(|file| !matches!(file.package.as_str(), "store" | "xtask")) {
        let lines = file.tokens.iter().filter(|token| sql.is_match(&token.text)).map(|token| token.line);
        let lines = lines.chain(file.find_path("rusqlite"));
        findings
            .extend(lines.map(|line| {
                Finding::at("sql", &file.path, line, "SQL belongs to crate `store`: ask it by a function")
            }));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rules::broken;

    #[test]
    fn statements_are_found_and_prose_is_not() {
        let text = "const A: &str = \"SELECT a FROM b\";\nconst B: &str = r#\"\n  CREATE TABLE x\"#;\nconst C: &str = \"select one of the roles\";\nuse rusqlite::Connection;\n";
        let places = ["crates/engine/src/a.rs:1", "crates/engine/src/a.rs:2", "crates/engine/src/a.rs:5"];
        assert_eq!(broken(check, &[("crates/engine/src/a.rs", text)]), places);
        assert!(broken(check, &[("crates/store/src/a.rs", text)]).is_empty());
    }
}
