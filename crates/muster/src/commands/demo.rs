//! `muster demo`: a small real project with failing tests, mended by three agents while you watch.
//!
//! Everything is what a real mission has: git, sandboxes, processes, test runs, the merge queue, the journal. Only the model is not: its answers
//! are read from a script, over the same HTTP path as a provider's, and the screen says so.

use super::{engine, follow, run, runtime};
use crate::{
    cli::DemoArgs,
    outcome::{Error, Outcome},
    project::{Files, Named},
    screen::{self, Screen},
    trust::Door,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The sample project and the mission's files, as they are written.
const FILES: &[(&str, &str)] = &[
    ("muster.yaml", include_str!("../../demo/muster.yaml")),
    ("plan.yaml", include_str!("../../demo/plan.yaml")),
    ("script.yaml", include_str!("../../demo/script.yaml")),
    ("sample/.gitignore", include_str!("../../demo/sample/.gitignore")),
    ("sample/README.md", include_str!("../../demo/sample/README.md")),
    ("sample/examples/household.ledger", include_str!("../../demo/sample/examples/household.ledger")),
    ("sample/ledgerkit/__init__.py", include_str!("../../demo/sample/ledgerkit/__init__.py")),
    ("sample/ledgerkit/__main__.py", include_str!("../../demo/sample/ledgerkit/__main__.py")),
    ("sample/ledgerkit/money.py", include_str!("../../demo/sample/ledgerkit/money.py")),
    ("sample/ledgerkit/dates.py", include_str!("../../demo/sample/ledgerkit/dates.py")),
    ("sample/ledgerkit/parser.py", include_str!("../../demo/sample/ledgerkit/parser.py")),
    ("sample/ledgerkit/report.py", include_str!("../../demo/sample/ledgerkit/report.py")),
    ("sample/tests/__init__.py", include_str!("../../demo/sample/tests/__init__.py")),
    ("sample/tests/test_money.py", include_str!("../../demo/sample/tests/test_money.py")),
    ("sample/tests/test_dates.py", include_str!("../../demo/sample/tests/test_dates.py")),
    ("sample/tests/test_parser.py", include_str!("../../demo/sample/tests/test_parser.py")),
    ("sample/tests/test_report.py", include_str!("../../demo/sample/tests/test_report.py")),
];

pub(crate) fn run(home: &Path, args: DemoArgs) -> Result<Outcome, Error> {
    let dir = fresh_folder(args.dir)?;
    write_files(&dir)?;
    let sample = dir.join("sample");
    let (config, plan) = (dir.join("muster.yaml"), dir.join("plan.yaml"));
    let named = Named { config: Some(&config), plan: &plan, repo: &sample, ceiling: None, budget_micros: None };
    // Its files are a part of this program.
    let files = Files::read(&named, &Door { home: None, trust: true }, home)?;
    let goal = files.plan.goal.clone().unwrap_or_else(|| "make every test pass".to_owned());
    runtime()?.block_on(async {
        let screen = Screen::new(run::detail(args.all));
        screen.say("the model in this demo is scripted: its answers come from script.yaml; everything else is real");
        screen.say(
            "the builders start no process of their own: each command that they ask for is run in a sandbox of its own",
        );
        screen.say(&format!("sample project: {}", sample.display()));
        let engine = engine(home)?;
        engine.make_repository(&sample, "A ledger kit with some failing tests").await?;
        let repository = engine::inspect(&sample).await.map_err(Error::usage)?;
        let mut request = files.request(goal, repository, None);
        request.settings.record |= args.record;
        let running = engine.begin(request).await?;
        let manner = follow::Manner { wait: false, json: args.json };
        let name = running.handle.key().to_string();
        let outcome = follow::to_the_end(&engine, running, &screen, manner).await?;
        if !args.json {
            screen::out(&look_at(&sample, &name))?;
        }
        Ok(outcome)
    })
}

/// What to look at, and how.
fn look_at(sample: &Path, mission: &str) -> String {
    let sample = sample.display();
    format!(
        "the sample project, as it was and with its new branch: {sample}\n  git -C {sample} log --stat muster/{mission}\n  \
         git -C {sample} checkout muster/{mission} && cd {sample} && python3 -m unittest"
    )
}

/// The folder that was asked for, which must not exist, or a new one.
fn fresh_folder(given: Option<PathBuf>) -> Result<PathBuf, Error> {
    let taken = |dir: &Path, error: &dyn std::fmt::Display| {
        Error::usage(format!("{}: {error}; choose a folder that does not exist yet with --dir", dir.display()))
    };
    if let Some(dir) = given {
        let dir = std::path::absolute(&dir).map_err(Error::usage)?;
        if let Some(parent) = dir.parent() {
            fs::create_dir_all(parent).map_err(|error| taken(parent, &error))?;
        }
        fs::create_dir(&dir).map_err(|error| taken(&dir, &error))?;
        return Ok(dir);
    }
    for number in 1..1000 {
        let dir = std::env::temp_dir().join(format!("muster-demo-{number}"));
        match fs::create_dir(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(taken(&dir, &error)),
        }
    }
    Err(Error::failed(format!("there are a thousand demos in {} already; remove some", std::env::temp_dir().display())))
}

fn write_files(dir: &Path) -> Result<(), Error> {
    for (name, text) in FILES {
        let path = dir.join(name);
        let failed = |error: std::io::Error| Error::failed(format!("{}: {error}", path.display()));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        fs::write(&path, text).map_err(failed)?;
    }
    Ok(())
}
