//! `sim [--seeds N] [--first N] [--seed N] [--trace] [--journal] [--threads N]`: runs seeds, prints what was reached, fails with the seeds that broke
//! a rule. `--journal` prints the facts of one seed instead, a line of JSON each, as for the golden journal of a release.

use sim::{Coverage, command, run};
use std::{process::ExitCode, time::Instant};

/// What the command line asks for.
struct Options {
    first: u64,
    seeds: u64,
    threads: u64,
    trace: bool,
    journal: bool,
}

/// What a range of seeds came to.
#[derive(Default)]
struct Sum {
    coverage: Coverage,
    steps: u64,
    crashes: u64,
    virtual_ms: u64,
    failures: Vec<(u64, String)>,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!(
                "sim: {problem}; usage: sim [--seeds N] [--first N] [--seed N] [--trace] [--journal] [--threads N]"
            );
            return ExitCode::from(2);
        }
    };
    if options.journal {
        return print_journal(options.first);
    }
    let begun = Instant::now();
    let sum = run_all(&options);
    println!("{}", sum.coverage);
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{} seeds, {} inputs, {} crashes, {} hours of virtual time in {seconds:.1} s ({:.0} inputs/s)",
        options.seeds,
        sum.steps,
        sum.crashes,
        sum.virtual_ms / 3_600_000,
        sum.steps as f64 / seconds.max(0.001)
    );
    for (seed, violation) in sum.failures.iter().take(10) {
        let shown: String = violation.chars().take(if options.trace { 20_000 } else { 600 }).collect();
        println!("seed {seed} breaks {shown}\n  again: {}", command(*seed));
    }
    let missing = if options.seeds >= 1_000 { sum.coverage.missing() } else { Vec::new() };
    if !missing.is_empty() {
        println!("not reached: {}", missing.join(", "));
    }
    println!("{} seeds failed", sum.failures.len());
    if sum.failures.is_empty() && missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { first: 0, seeds: 1_000, threads: 1, trace: false, journal: false };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--trace" => options.trace = true,
            "--journal" => options.journal = true,
            _ => {}
        }
        if matches!(arg.as_str(), "--trace" | "--journal") {
            continue;
        }
        let value = args.next().and_then(|value| value.parse().ok()).ok_or(format!("{arg} needs a number"))?;
        match arg.as_str() {
            "--seeds" => options.seeds = value,
            "--first" => options.first = value,
            "--seed" => (options.first, options.seeds) = (value, 1),
            "--threads" => options.threads = value.max(1),
            _ => return Err(format!("'{arg}' is not an option")),
        }
    }
    Ok(options)
}

fn print_journal(seed: u64) -> ExitCode {
    let journal = run(seed, None, false).map(|outcome| outcome.journal).map_err(|violation| violation.to_string());
    let lines: Result<Vec<String>, String> = journal
        .and_then(|facts| facts.iter().map(|fact| serde_json::to_string(fact).map_err(|e| e.to_string())).collect());
    match lines {
        Ok(lines) => {
            lines.iter().for_each(|line| println!("{line}"));
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("sim: seed {seed}: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Each thread takes every so-manieth seed; the sums do not depend on their number.
fn run_all(options: &Options) -> Sum {
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..options.threads).map(|worker| scope.spawn(move || run_some(options, worker))).collect();
        let mut sum = Sum::default();
        for worker in workers {
            match worker.join() {
                Ok(part) => sum.add(part),
                Err(_) => sum.failures.push((options.first, "a thread ended early".into())),
            }
        }
        sum.failures.sort();
        sum
    })
}

fn run_some(options: &Options, worker: u64) -> Sum {
    let mut sum = Sum::default();
    let mut seed = options.first + worker;
    while seed < options.first + options.seeds {
        match std::panic::catch_unwind(|| run(seed, None, options.trace)) {
            Ok(Ok(outcome)) => {
                sum.coverage.add(outcome.coverage);
                sum.steps += outcome.steps;
                sum.crashes += outcome.crashes;
                sum.virtual_ms += outcome.virtual_ms;
            }
            Ok(Err(violation)) => sum.failures.push((seed, violation.to_string())),
            Err(_) => sum.failures.push((seed, "a panic".into())),
        }
        seed += options.threads;
    }
    sum
}

impl Sum {
    fn add(&mut self, other: Sum) {
        self.coverage.add(other.coverage);
        self.steps += other.steps;
        self.crashes += other.crashes;
        self.virtual_ms += other.virtual_ms;
        self.failures.extend(other.failures);
    }
}
