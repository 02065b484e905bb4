//! The hidden subcommands of `muster` that launch sandboxes, as a program of their own.

fn main() -> std::process::ExitCode {
    match std::env::args_os().nth(1).as_deref().and_then(|word| word.to_str()) {
        Some("__sandbox-guest") => workspace::guest_main(std::env::args_os().skip(2)),
        _ => workspace::launcher_main(),
    }
}
