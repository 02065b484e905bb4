//! `probe NAME KEY=VALUE…` makes one attempt. The other words are what the tests need around it.
#![allow(unsafe_code)]

mod stage;

use std::process::ExitCode;

use probes::{Outcome, Scene, all, report};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    stage::run(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Makes one attempt and tells how it went.
fn attempt(name: &str, args: &[&str]) -> ExitCode {
    let Some(probe) = all().find(|probe| probe.name == name) else {
        eprintln!("there is no probe {name}; there are:");
        all().for_each(|probe| eprintln!("  {:28} {}", probe.name, probe.what));
        return ExitCode::from(2);
    };
    let outcome = probe.run(&Scene::read(args.iter().map(ToString::to_string)));
    println!("{}", report(name, &outcome));
    ExitCode::SUCCESS
}

/// What a program says that a probe has managed to execute.
fn executed(name: &str) -> ExitCode {
    println!("{}", report(name, &Outcome::Escaped("executed".to_owned())));
    ExitCode::SUCCESS
}
