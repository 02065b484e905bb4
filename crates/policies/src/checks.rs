//! Whether a check that failed could not even start, and the lines of configuration that would let it.
//!
//! A check may name what the task is to make: a script of the repository, a module of its own. That it is missing before the work is done says nothing.
//! A program that is looked up by name, a package or a host of the network is nothing that an agent makes.

/// Where the ways to give checks what they need are written down.
const MORE: &str = "docs/checks.md has more";

/// Words of tools that say that there is no network.
const NO_NETWORK: [&str; 8] = [
    "EAI_AGAIN",
    "ENETUNREACH",
    "ENOTFOUND",
    "Could not resolve host",
    "Temporary failure in name resolution",
    "Network is unreachable",
    "getaddrinfo",
    "failed to lookup address",
];

/// What would let a failed check start, with how it ended and what it printed last; nothing when it did start.
pub fn lacking(ended: &str, output: &str) -> Option<String> {
    let hint = hint(ended, output)?;
    Some(format!("{hint} ({MORE})."))
}

fn hint(ended: &str, output: &str) -> Option<String> {
    if let Some(program) = missing_program(output).filter(|_| ended.contains("127") || ended.contains("126")) {
        return Some(for_program(program));
    }
    if output.contains("rustup could not choose a version") || output.contains("could not create home directory") {
        return Some(for_program("cargo"));
    }
    if let Some(package) = missing_package(output) {
        return Some(format!(
            "Package {package} is git-ignored or not installed, so the check's clean clone has none. Show it yours in muster.yaml: \
             `checks: {{files: {{read: [{{host: ./node_modules, inside: /workspace/node_modules}}]}}}}`"
        ));
    }
    if let Some(module) = missing_runner(output) {
        return Some(format!(
            "{module} is not installed in the check's sandbox. Show it your environment in muster.yaml, `checks: {{files: {{execute: \
             [{{host: ./.venv, inside: /workspace/.venv}}]}}}}`, and run `.venv/bin/python -m {module}`"
        ));
    }
    NO_NETWORK.iter().any(|words| output.contains(words)).then(|| {
        "It needs the network, and checks have none. Install beforehand what it fetches and show it, or name its hosts in muster.yaml: \
         `checks: {network: {hosts: [\"registry.npmjs.org:443\"]}}`"
            .to_owned()
    })
}

/// The program that a shell looked up by its name and did not find.
fn missing_program(output: &str) -> Option<&str> {
    let found = output.lines().rev().find_map(|line| {
        let before = line.strip_suffix(": not found").or_else(|| line.strip_suffix(": command not found"));
        let before = before.or_else(|| line.strip_suffix(": Permission denied"))?;
        before.rsplit(": ").next().map(str::trim)
    })?;
    (!found.is_empty() && !found.contains('/') && !found.contains(' ')).then_some(found)
}

/// A package that Node does not find: no file of the repository.
fn missing_package(output: &str) -> Option<&str> {
    let (_, rest) = output.split_once("Cannot find module '").or_else(|| output.split_once("Cannot find package '"))?;
    let name = rest.split('\'').next()?;
    (!name.is_empty() && !name.starts_with(['.', '/'])).then_some(name)
}

/// A module that Python was asked to run by name (`python -m`): `python3: No module named pytest`.
fn missing_runner(output: &str) -> Option<&str> {
    let line = output.lines().rev().find(|line| line.contains(": No module named ") && !line.contains("Error"))?;
    let name = line.rsplit("No module named ").next()?.trim_matches(['\'', '"', ' ']);
    (!name.is_empty()).then_some(name)
}

fn for_program(program: &str) -> String {
    const SYSTEM: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    match program {
        "cargo" | "rustc" | "rustup" => format!(
            "{program} is not in the check's sandbox. A toolchain of rustup needs both of its folders; in muster.yaml: `checks: {{files: {{execute: \
             [~/.cargo, ~/.rustup]}}, env: {{CARGO_HOME: /tmp/cargo, RUSTUP_HOME: \"$HOME/.rustup\", PATH: \"$HOME/.cargo/bin:{SYSTEM}\"}}}}` \
             with your home in place of $HOME"
        ),
        "node" | "npm" | "npx" | "yarn" | "pnpm" | "bun" | "deno" | "go" | "pytest" | "python" | "uv" | "poetry"
        | "bundle" | "mvn" | "gradle" => format!(
            "{program} is not in the check's sandbox. Show it the folder that {program} is installed in, and name it in PATH; in muster.yaml: `checks: \
             {{files: {{execute: [FOLDER]}}, env: {{PATH: \"FOLDER/bin:{SYSTEM}\"}}}}`"
        ),
        _ => format!(
            "{program} is not in the check's sandbox. Install it, or show its folder in muster.yaml: `checks: {{files: {{execute: [FOLDER]}}, env: {{PATH: \
             \"FOLDER:{SYSTEM}\"}}}}`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hinted(ended: &str, output: &str) -> String {
        lacking(ended, output).unwrap_or_default()
    }

    #[test]
    fn what_no_agent_makes_stops() {
        for (ended, output, says) in [
            ("exit 127", "sh: 1: cargo: not found", "~/.rustup"),
            ("exit 127", "bash: line 1: cargo: command not found", "~/.cargo"),
            ("exit 1", "error: rustup could not choose a version of cargo to run", "~/.rustup"),
            ("exit 127", "sh: 1: frobnicate: not found", "frobnicate is not in"),
            ("exit 1", "Error: Cannot find module 'express'\nRequire stack:", "/workspace/node_modules"),
            ("exit 1", "/usr/bin/python3: No module named pytest", "-m pytest"),
            ("exit 1", "npm error code EAI_AGAIN", "network: {hosts"),
        ] {
            assert!(hinted(ended, output).contains(says), "{output}: {}", hinted(ended, output));
        }
    }

    #[test]
    fn what_the_task_may_make_does_not() {
        for (ended, output) in [
            ("exit 127", "sh: 1: ./run.sh: not found"),
            ("exit 127", "sh: 1: scripts/test: not found"),
            ("exit 1", "ModuleNotFoundError: No module named 'parser'"),
            ("exit 1", "Error: Cannot find module './parser'"),
            ("exit 1", "Error: Cannot find module '/workspace/test.js'"),
            ("exit 1", "grep: note.txt: No such file or directory"),
            ("exit 1", "1 failed"),
        ] {
            assert_eq!(hinted(ended, output), "", "{output}");
        }
    }
}
