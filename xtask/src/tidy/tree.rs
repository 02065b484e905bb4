//! The repository as the rules see it: packages with their edges, Rust files with their meaning, other files as text.
//!
//! What git ignores is not looked at; what is not committed yet is.

use super::rust::RustFile;
use anyhow::{Context, Result, ensure};
use ignore::WalkBuilder;
use serde::Deserialize;
use std::{collections::BTreeSet, fs, path::Path, process::Command};

/// Everything that rules read.
#[derive(Debug, Default)]
pub struct Tree {
    /// The packages of the workspace.
    pub packages: Vec<Package>,
    /// The Rust files.
    pub rust: Vec<RustFile>,
    /// All other files that are text.
    pub text: Vec<TextFile>,
}

/// One package of the workspace.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its folder, relative to the repository, without a slash at the end.
    pub folder: String,
    /// The names of the packages that its programs and libraries use.
    pub dependencies: Vec<String>,
    /// The names of the packages that only its tests and benchmarks use.
    pub test_dependencies: Vec<String>,
}

/// A file that is not Rust.
#[derive(Clone, Debug)]
pub struct TextFile {
    /// Relative to the repository.
    pub path: String,
    /// What stands in it.
    pub text: String,
}

impl Tree {
    /// Reads the repository at `root`.
    pub fn read(root: &Path) -> Result<Self> {
        let packages = packages(root)?;
        let mut files = Vec::new();
        for entry in WalkBuilder::new(root).hidden(false).filter_entry(|entry| entry.file_name() != ".git").build() {
            let entry = entry?;
            let relative = entry.path().strip_prefix(root)?.to_string_lossy().into_owned();
            if entry.file_type().is_some_and(|kind| kind.is_file())
                && let Ok(text) = String::from_utf8(fs::read(entry.path())?)
            {
                files.push((relative, text));
            }
        }
        files.sort();
        Self::of(packages, files)
    }

    /// A tree of these files.
    pub fn of(packages: Vec<Package>, files: Vec<(String, String)>) -> Result<Self> {
        let mut tree = Self { packages, ..Self::default() };
        for (path, text) in files {
            if path.ends_with(".rs") {
                let package = package_of(&tree.packages, &path);
                let file = RustFile::parse(&path, &text, package).with_context(|| format!("{path} is not Rust"))?;
                tree.rust.push(file);
            } else {
                tree.text.push(TextFile { path, text });
            }
        }
        let only_tests: BTreeSet<String> = tree.rust.iter().flat_map(RustFile::files_only_for_tests).collect();
        for file in &mut tree.rust {
            file.only_tests |= only_tests.contains(&file.path);
        }
        Ok(tree)
    }

    /// A tree of Rust files for the tests of rules; the package of `crates/NAME/…` is `NAME`.
    #[cfg(test)]
    pub fn of_rust(files: &[(&str, &str)]) -> Self {
        let folder = |path: &str| path.split('/').take(2).collect::<Vec<_>>().join("/");
        let folders: BTreeSet<String> = files.iter().map(|(path, _)| folder(path)).collect();
        let name = |folder: &str| folder.rsplit('/').next().unwrap_or_default().to_string();
        let package =
            |folder: String| Package { name: name(&folder), folder, dependencies: vec![], test_dependencies: vec![] };
        let files = files.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect();
        Self::of(folders.into_iter().map(package).collect(), files).unwrap()
    }

    /// A tree of other files for the tests of rules.
    #[cfg(test)]
    pub fn of_text(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect();
        Self::of(vec![], files).unwrap()
    }
}

/// The package whose folder holds this file; none for files beside all packages.
fn package_of<'a>(packages: &'a [Package], path: &str) -> Option<&'a Package> {
    packages.iter().find(|package| path.strip_prefix(&package.folder).is_some_and(|rest| rest.starts_with('/')))
}

/// What cargo says of the workspace, the part that is read here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    manifest_path: std::path::PathBuf,
    dependencies: Vec<MetadataDependency>,
}

#[derive(Deserialize)]
struct MetadataDependency {
    name: String,
    kind: Option<String>,
}

fn packages(root: &Path) -> Result<Vec<Package>> {
    let mut cargo = Command::new(env!("CARGO"));
    let output = cargo.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(root).output()?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata is not understood")?;
    let root = root.canonicalize()?;
    metadata.packages.into_iter().map(|package| Package::of(package, &root)).collect()
}

impl Package {
    fn of(metadata: MetadataPackage, root: &Path) -> Result<Self> {
        let folder = metadata.manifest_path.parent().context("a manifest has no folder")?.canonicalize()?;
        let named = |tests: bool| {
            let of_kind =
                metadata.dependencies.iter().filter(move |used| (used.kind.as_deref() == Some("dev")) == tests);
            of_kind.map(|used| used.name.clone()).collect()
        };
        Ok(Self {
            folder: folder.strip_prefix(root)?.to_string_lossy().into_owned(),
            dependencies: named(false),
            test_dependencies: named(true),
            name: metadata.name,
        })
    }
}
