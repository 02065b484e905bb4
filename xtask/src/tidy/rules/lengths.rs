//! What fits a head: files, functions and crates stop growing before they hide a second idea.

use crate::tidy::{
    finding::Finding,
    rust::{DISPATCH, Function, RustFile},
    tree::Tree,
};

/// Lines of a file without its tests; 200 is the aim.
const FILE_LINES_MAX: usize = 500;
/// Lines of a function; 25 is the aim.
const FUNCTION_LINES_MAX: usize = 70;
/// Lines of a crate without its tests.
const CRATE_LINES_MAX: usize = 8_000;

pub fn files(tree: &Tree) -> Vec<Finding> {
    let lines = tree.rust.iter().map(|file| (file, file.lines_without_tests()));
    let long = lines.filter(|(file, lines)| !file.only_tests && *lines > FILE_LINES_MAX);
    let finding = |(file, lines): (&RustFile, usize)| Finding {
        amount: lines,
        ..Finding::at(
            "file-length",
            &file.path,
            1,
            format!("{lines} lines without tests, at most {FILE_LINES_MAX}: split it by idea"),
        )
    };
    long.map(finding).collect()
}

pub fn functions(tree: &Tree) -> Vec<Finding> {
    tree.rust
        .iter()
        .filter(|file| !file.only_tests)
        .flat_map(|file| file.functions.iter().filter_map(|one| function(file, one)))
        .collect()
}

fn function(file: &RustFile, function: &Function) -> Option<Finding> {
    let Function { name, line, lines, only_match, marked } = function;
    let what = match (marked, only_match) {
        (true, true) => return None,
        (true, false) => format!("`{name}` is marked `{DISPATCH}` but its body is not one `match`: remove the mark"),
        (false, _) if *lines <= FUNCTION_LINES_MAX => return None,
        (false, true) => format!(
            "`{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}: split it, or write `// {DISPATCH}` before it if its arms only call"
        ),
        (false, false) => format!("`{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}: split it"),
    };
    let subject = format!("{}::{name}", file.path);
    Some(Finding { subject, amount: *lines, ..Finding::at("function-length", &file.path, *line, what) })
}

pub fn crates(tree: &Tree) -> Vec<Finding> {
    let lines = |name: &str| -> usize {
        let own = tree.rust.iter().filter(|file| file.package == name && !file.only_tests);
        own.map(RustFile::lines_without_tests).sum()
    };
    let sizes = tree.packages.iter().map(|package| (package, lines(&package.name)));
    let large = sizes.filter(|(_, lines)| *lines > CRATE_LINES_MAX);
    large
        .map(|(package, lines)| {
            let what = format!("{lines} lines without tests, at most {CRATE_LINES_MAX}: which idea is hiding in it?");
            Finding { amount: lines, ..Finding::at("crate-length", &package.folder, 1, what) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rules::broken;

    fn long_function(before: &str, inside: &str) -> String {
        format!("{before}fn a() {{\n{}}}\n", inside.repeat(70))
    }

    #[test]
    fn long_functions_are_found() {
        let plain = long_function("", "    b();\n");
        assert_eq!(broken(functions, &[("crates/a/src/a.rs", &plain)]), ["crates/a/src/a.rs:1"]);
        assert!(broken(functions, &[("crates/a/src/a.rs", &long_function("#[test]\n", "    b();\n"))]).is_empty());
        assert!(broken(functions, &[("crates/a/src/a.rs", &plain.replacen("    b();\n", "", 2))]).is_empty());
    }

    #[test]
    fn a_dispatch_is_one_match_with_a_mark() {
        let arms = "        1 => b(),\n".repeat(80);
        let dispatch = format!("// tidy: dispatch\nfn a(x: u8) {{\n    match x {{\n{arms}    }}\n}}\n");
        assert!(broken(functions, &[("crates/a/src/a.rs", &dispatch)]).is_empty());
        assert_eq!(broken(functions, &[("crates/a/src/a.rs", &dispatch.replace("// tidy: dispatch\n", ""))]).len(), 1);
        assert_eq!(broken(functions, &[("crates/a/src/a.rs", "// tidy: dispatch\nfn a() { b(); }\n")]).len(), 1);
    }

    #[test]
    fn tests_do_not_count_as_length() {
        let code = "fn a() {}\n".repeat(500);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    fn b() {}\n".repeat(500));
        assert!(broken(files, &[("crates/a/src/a.rs", &format!("{code}{tests}"))]).is_empty());
        assert_eq!(
            broken(files, &[("crates/a/src/a.rs", &format!("{code}fn c() {{}}\n{tests}"))]),
            ["crates/a/src/a.rs:1"]
        );
    }

    #[test]
    fn a_crate_is_the_sum_of_its_files() {
        let file = "fn a() {}\n".repeat(450);
        let paths: Vec<String> = (0..18).map(|n| format!("crates/a/src/f{n}.rs")).collect();
        let all: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), file.as_str())).collect();
        assert_eq!(broken(crates, &all), ["crates/a:1"]);
        assert!(broken(crates, &all[..17]).is_empty());
    }
}
