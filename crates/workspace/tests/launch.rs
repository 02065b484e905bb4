//! The hidden subcommand of `muster` that launches sandboxes, as a program of its own.

fn main() -> std::process::ExitCode {
    workspace::launcher_main()
}
