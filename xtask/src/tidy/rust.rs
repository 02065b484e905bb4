//! One Rust file: its tokens (so that comments and texts cannot be mistaken for code), its imports, its functions, and
//! which of its lines are tests.

use super::tree::Package;
use proc_macro2::{TokenStream, TokenTree};
use std::{ops::RangeInclusive, path::Path};
use syn::{
    Attribute, Block, Expr, ImplItemFn, Item, ItemFn, ItemMod, ItemUse, Meta, Signature, Stmt, TraitItemFn, UseTree,
    spanned::Spanned,
    visit::{self, Visit},
};

/// The comment before a long function that only chooses which other one to call.
pub const DISPATCH: &str = "tidy: dispatch";

/// One Rust file.
#[derive(Debug, Default)]
pub struct RustFile {
    /// Relative to the repository.
    pub path: String,
    /// The package that it belongs to; empty for none.
    pub package: String,
    /// What stands in it.
    pub text: String,
    /// Its words, signs and texts, in order, without comments.
    pub tokens: Vec<Token>,
    /// What it imports, as full paths.
    pub imports: Vec<Import>,
    /// Its functions outside tests.
    pub functions: Vec<Function>,
    /// The names of its types, traits and modules, with their lines.
    pub names: Vec<(String, usize)>,
    /// Whether all of it is only built for tests.
    pub only_tests: bool,
    tests: Vec<RangeInclusive<usize>>,
    unpaused: Vec<RangeInclusive<usize>>,
    test_modules: Vec<String>,
}

/// A word, a sign or a literal.
#[derive(Debug)]
pub struct Token {
    /// As it is written.
    pub text: String,
    /// Where.
    pub line: usize,
}

/// Something imported by `use`.
#[derive(Debug)]
pub struct Import {
    /// The full path, with `::`; `*` for everything.
    pub path: String,
    /// Where.
    pub line: usize,
}

/// A function with a body.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Where its signature begins.
    pub line: usize,
    /// Lines from its signature to its closing brace.
    pub lines: usize,
    /// Whether its body is one `match` and nothing else.
    pub only_match: bool,
    /// Whether [`DISPATCH`] stands before it.
    pub marked: bool,
}

impl RustFile {
    /// Reads a file.
    pub fn parse(path: &str, text: &str, package: Option<&Package>) -> syn::Result<Self> {
        let stream: TokenStream = text.parse()?;
        let syntax: syn::File = syn::parse2(stream.clone())?;
        let inside = package.map_or(path, |package| path.strip_prefix(&package.folder).unwrap_or(path));
        let folder = inside.trim_start_matches('/').split('/').next().unwrap_or_default();
        let mut file = Self {
            path: path.into(),
            package: package.map(|package| package.name.clone()).unwrap_or_default(),
            text: text.into(),
            only_tests: matches!(folder, "tests" | "benches" | "examples"),
            ..Self::default()
        };
        file.collect_tokens(stream);
        file.visit_file(&syntax);
        let tests = file.tests.clone();
        file.functions.retain(|function| !tests.iter().any(|lines| lines.contains(&function.line)));
        Ok(file)
    }

    /// Whether a line is only built for tests.
    pub fn is_test(&self, line: usize) -> bool {
        self.only_tests || self.tests.iter().any(|lines| lines.contains(&line))
    }

    /// Whether a line stands in a test whose clock is moved by hand.
    pub fn is_paused(&self, line: usize) -> bool {
        self.unpaused.iter().any(|lines| lines.contains(&line))
    }

    /// How many of its lines are not only built for tests.
    pub fn lines_without_tests(&self) -> usize {
        (1..=self.text.lines().count()).filter(|line| !self.is_test(*line)).count()
    }

    /// The lines in which these tokens follow each other.
    pub fn find<'a>(&'a self, words: &'a [&str]) -> impl Iterator<Item = usize> + 'a {
        (0..self.tokens.len()).filter(|start| self.stands_at(*start, words)).map(|start| self.tokens[start].line)
    }

    /// The lines that use this path, written out or imported. `std::env` is found in `use std::{env, fs}` too.
    pub fn find_path(&self, path: &str) -> Vec<usize> {
        let words: Vec<&str> = path.split("::").collect();
        let words: Vec<&str> = words.iter().flat_map(|word| [*word, ":", ":"]).take(words.len() * 3 - 2).collect();
        let below = format!("{path}::");
        let imported = |import: &&Import| import.path == path || import.path.starts_with(&below);
        let mut lines: Vec<usize> = self.imports.iter().filter(imported).map(|import| import.line).collect();
        let own = |start: &usize| !self.continues_a_path(*start);
        let starts = (0..self.tokens.len()).filter(|start| self.stands_at(*start, &words)).filter(own);
        lines.extend(starts.map(|start| self.tokens[start].line));
        lines.sort_unstable();
        lines.dedup();
        lines
    }

    fn stands_at(&self, start: usize, words: &[&str]) -> bool {
        let rest = self.tokens.get(start..).unwrap_or_default();
        rest.len() >= words.len() && rest.iter().zip(words).all(|(token, word)| token.text == *word)
    }

    /// Whether the word at `start` is a later part of a path: `env` in `std::env`, but not `std` in `::std::env`.
    fn continues_a_path(&self, start: usize) -> bool {
        let before = |distance: usize| start.checked_sub(distance).and_then(|at| self.tokens.get(at));
        let colons = [1, 2].iter().all(|&distance| before(distance).is_some_and(|token| token.text == ":"));
        let word = |token: &Token| token.text.chars().all(|c| c.is_alphanumeric() || c == '_') && token.text != "use";
        colons && before(3).is_some_and(word)
    }

    /// The files that it declares as modules for tests only.
    pub fn files_only_for_tests(&self) -> Vec<String> {
        let path = Path::new(&self.path);
        let folder = path.parent().unwrap_or(Path::new(""));
        let below = match path.file_stem().and_then(|stem| stem.to_str()) {
            Some("lib" | "main" | "mod") | None => folder.to_path_buf(),
            Some(stem) => folder.join(stem),
        };
        let named = |name: &String| match name.ends_with(".rs") {
            true => vec![folder.join(name)],
            false => vec![below.join(format!("{name}.rs")), below.join(name).join("mod.rs")],
        };
        self.test_modules.iter().flat_map(named).map(|path| path.to_string_lossy().into_owned()).collect()
    }

    fn collect_tokens(&mut self, stream: TokenStream) {
        for tree in stream {
            let line = tree.span().start().line;
            match tree {
                TokenTree::Group(group) => {
                    let (open, close) = match group.delimiter() {
                        proc_macro2::Delimiter::Parenthesis => ("(", ")"),
                        proc_macro2::Delimiter::Brace => ("{", "}"),
                        proc_macro2::Delimiter::Bracket => ("[", "]"),
                        proc_macro2::Delimiter::None => ("", ""),
                    };
                    self.tokens.push(Token { text: open.into(), line });
                    self.collect_tokens(group.stream());
                    self.tokens.push(Token { text: close.into(), line: group.span_close().start().line });
                }
                other => self.tokens.push(Token { text: other.to_string(), line }),
            }
        }
    }

    /// Notes that these lines are a test, if the attributes say so.
    fn note_test(&mut self, attributes: &[Attribute], span: proc_macro2::Span) {
        if attributes.iter().any(is_for_tests) {
            let lines = span.start().line..=span.end().line;
            let paused = |attribute: &Attribute| matches!(&attribute.meta, Meta::List(list) if list.tokens.to_string().contains("start_paused"));
            if attributes.iter().any(paused) {
                self.unpaused.push(lines.clone());
            }
            self.tests.push(lines);
        }
    }

    fn note_function(&mut self, signature: &Signature, attributes: &[Attribute], block: &Block) {
        let line = signature.span().start().line;
        let first = attributes.first().map_or(line, |attribute| attribute.span().start().line);
        let before = self.text.lines().skip(first.saturating_sub(2)).take(line + 1 - first);
        self.functions.push(Function {
            name: signature.ident.to_string(),
            line,
            lines: block.span().end().line + 1 - line,
            only_match: matches!(block.stmts.as_slice(), [Stmt::Expr(Expr::Match(_), None)]),
            marked: before.into_iter().any(|text| text.contains(DISPATCH)),
        });
    }

    fn note_imports(&mut self, tree: &UseTree, before: &str) {
        let full = |name: &dyn ToString| format!("{before}{}", name.to_string());
        let (path, line) = match tree {
            UseTree::Path(path) => return self.note_imports(&path.tree, &format!("{}::", full(&path.ident))),
            UseTree::Group(group) => return group.items.iter().for_each(|item| self.note_imports(item, before)),
            UseTree::Name(name) if name.ident == "self" => {
                (before.trim_end_matches("::").into(), name.span().start().line)
            }
            UseTree::Name(name) => (full(&name.ident), name.span().start().line),
            UseTree::Rename(rename) => (full(&rename.ident), rename.span().start().line),
            UseTree::Glob(glob) => (full(&"*"), glob.span().start().line),
        };
        self.imports.push(Import { path, line });
    }
}

impl<'ast> Visit<'ast> for RustFile {
    fn visit_item(&mut self, item: &'ast Item) {
        let named = match item {
            Item::Struct(item) => Some(&item.ident),
            Item::Enum(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            Item::Mod(item) => Some(&item.ident),
            _ => None,
        };
        self.names.extend(named.map(|name| (name.to_string(), name.span().start().line)));
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.note_test(&item.attrs, item.span());
        if item.content.is_none() && item.attrs.iter().any(is_for_tests) {
            self.test_modules.push(written_path(&item.attrs).unwrap_or_else(|| item.ident.to_string()));
        }
        visit::visit_item_mod(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.note_test(&item.attrs, item.span());
        self.note_function(&item.sig, &item.attrs, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.note_test(&item.attrs, item.span());
        self.note_function(&item.sig, &item.attrs, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(block) = &item.default {
            self.note_function(&item.sig, &item.attrs, block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.note_test(&item.attrs, item.span());
        visit::visit_item_impl(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.note_test(&item.attrs, item.span());
        self.note_imports(&item.tree, "");
    }
}

/// `#[cfg(test)]`, `#[cfg(all(test, …))]`, `#[test]`, `#[tokio::test]` and their like.
fn is_for_tests(attribute: &Attribute) -> bool {
    let path = attribute.path();
    if let Meta::List(list) = &attribute.meta
        && path.is_ident("cfg")
    {
        let condition = list.tokens.to_string();
        return condition == "test" || condition.starts_with("all (test") || condition.starts_with("all(test");
    }
    path.segments.last().is_some_and(|last| last.ident == "test")
}

/// The file named by `#[path = "…"]`.
fn written_path(attributes: &[Attribute]) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.path().is_ident("path"))?;
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    let Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &pair.value else { return None };
    Some(text.value())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> RustFile {
        RustFile::parse("crates/a/src/x.rs", text, None).unwrap()
    }

    #[test]
    fn comments_and_texts_are_not_code() {
        let file = file("// std::env\nfn a() { let x = \"std::env\"; } /* std::env */\n");
        assert!(file.find_path("std::env").is_empty());
    }

    #[test]
    fn a_path_is_found_however_it_is_written() {
        for text in
            ["use std::env;", "use std::{fs, env::var};", "use std::env::{self};", "fn a() { x!(std::env::var()) }"]
        {
            assert_eq!(file(text).find_path("std::env"), [1], "{text}");
        }
        assert!(file("use std::environment; use my::std::env;").find_path("std::env").is_empty());
    }

    #[test]
    fn test_lines_are_known() {
        let file = file("fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n#[tokio::test]\nasync fn c() {}\n");
        let tests: Vec<usize> = (1..=7).filter(|line| file.is_test(*line)).collect();
        assert_eq!(tests, [2, 3, 4, 5, 6, 7]);
        assert_eq!(file.lines_without_tests(), 1);
        assert_eq!(file.functions.iter().map(|function| function.name.as_str()).collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn test_files_are_known_by_their_declaration() {
        let file = file("#[cfg(test)]\nmod x_tests;\n#[cfg(test)]\n#[path = \"y.rs\"]\nmod other;\nmod z;\n");
        let expected = ["crates/a/src/x/x_tests.rs", "crates/a/src/x/x_tests/mod.rs", "crates/a/src/y.rs"];
        assert_eq!(file.files_only_for_tests(), expected);
    }

    #[test]
    fn functions_are_measured_without_their_comments() {
        let file =
            file("/// Doc.\n// tidy: dispatch\n#[inline]\nfn a(x: u8) {\n    match x {\n        _ => {}\n    }\n}\n");
        let [function] = file.functions.as_slice() else { panic!("one function") };
        assert_eq!((function.line, function.lines, function.only_match, function.marked), (4, 5, true, true));
    }
}
