//! Every configuration and plan in this repository can be read, and validates against the published schema.

use api::source::Source;
use std::path::{Path, PathBuf};

#[test]
fn every_example_of_the_repository_is_accepted() {
    let mut folders = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../muster"), &mut folders);
    assert!(folders.iter().any(|folder| folder.ends_with("demo")), "the demo has a configuration: {folders:?}");
    for folder in folders {
        let config = read(&folder.join("muster.yaml"), &api::schema::config());
        let config = api::config::load(&config).unwrap_or_else(|problems| panic!("{problems}"));
        config.ready_to_run("muster.yaml").unwrap_or_else(|problems| panic!("{problems}"));
        let plan = folder.join("plan.yaml");
        if plan.exists() {
            api::plan::load(&read(&plan, &api::schema::plan()), &config)
                .unwrap_or_else(|problems| panic!("{problems}"));
        }
    }
}

/// The file's text, after the schema has seen it.
fn read(path: &Path, schema: &serde_json::Value) -> Source {
    let source = Source::read(path).unwrap();
    let value: serde_json::Value = serde_saphyr::from_str(source.text()).unwrap();
    let validator = jsonschema::validator_for(schema).unwrap();
    let told: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(told.is_empty(), "{}: {told:?}", path.display());
    source
}

/// Every folder below this one with a configuration in it.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    if folder.join("muster.yaml").exists() {
        found.push(folder.into());
    }
    let entries = std::fs::read_dir(folder).unwrap().filter_map(Result::ok);
    let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    below.for_each(|entry| collect(&entry.path(), found));
}
