//! Our own agent as a program by itself, for tests; the product runs it as a hidden subcommand.

use std::process::ExitCode;

fn main() -> ExitCode {
    native::main()
}
