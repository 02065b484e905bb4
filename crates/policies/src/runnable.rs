//! Whether a program can be started in a sandbox, told before anything is begun.

use crate::{Bind, Policy, extras::Extras};
use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use workspace::Backend;

/// Where work lies inside: what is there comes with the repository, and is known only then.
const WORK: &str = "/workspace";

/// Why a program cannot be started in the sandbox of these settings, and what to do; nothing when it can, or when that
/// cannot be known from here. `folders` are those in which the person's own shell looks for programs.
pub fn unrunnable(extras: &Extras, program: &str, folders: &[PathBuf]) -> Option<(String, String)> {
    let extras = extras.for_sandbox();
    let mut policy = extras.preset.policy();
    extras.apply(&mut policy);
    if policy.backend != Backend::Kernel {
        return None;
    }
    let path = Path::new(program);
    if path.is_relative() && program.contains('/') || path.starts_with(WORK) {
        return None;
    }
    let Some(host) = inside(&policy, program) else {
        return Some(missing(program, folders));
    };
    let mode = fs::metadata(&host).map(|about| about.permissions().mode()).unwrap_or_default();
    if mode & 0o111 == 0 {
        return Some((
            format!("{} may not be executed", host.display()),
            format!("make it so: chmod +x {}", host.display()),
        ));
    }
    let real = host.canonicalize().ok()?;
    if !shows(&policy, &real) {
        let what = format!("{program} leads to {}, which its sandbox does not show", real.display());
        return Some((what, show(real.parent()?)));
    }
    let interpreter = interpreter(&real)?;
    if interpreter.starts_with(WORK) || inside(&policy, &interpreter).is_some() {
        return None;
    }
    let (what, fix) = missing(&interpreter, folders);
    Some((format!("{program} is run by the interpreter {interpreter}: {what}"), fix))
}

/// What a program is on the host that is looked up inside by a name or a full path.
fn inside(policy: &Policy, program: &str) -> Option<PathBuf> {
    if program.starts_with('/') {
        return on_host(policy, Path::new(program));
    }
    let path = policy.env.get("PATH").cloned().unwrap_or_default();
    path.split(':')
        .filter(|folder| !folder.is_empty())
        .find_map(|folder| on_host(policy, &Path::new(folder).join(program)))
}

fn on_host(policy: &Policy, path: &Path) -> Option<PathBuf> {
    let host = |bind: &Bind| {
        let rest = path.strip_prefix(&bind.inside).ok()?;
        // A bind of a file itself: joined with nothing it would get a slash.
        let host = if rest.as_os_str().is_empty() { bind.host.clone() } else { bind.host.join(rest) };
        host.is_file().then_some(host)
    };
    // A system folder that is a link inside, such as /bin, is one on the host too.
    policy.filesystem.binds.iter().find_map(host)
}

fn shows(policy: &Policy, real: &Path) -> bool {
    policy.filesystem.binds.iter().any(|bind| bind.host.canonicalize().is_ok_and(|host| real.starts_with(host)))
}

fn missing(program: &str, folders: &[PathBuf]) -> (String, String) {
    let on_host = match program.starts_with('/') {
        true => Some(PathBuf::from(program)),
        false => folders.iter().map(|folder| folder.join(program)).find(|path| path.is_file()),
    };
    match on_host.filter(|path| path.is_file()) {
        Some(found) => {
            let real = found.canonicalize().unwrap_or_else(|_| found.clone());
            let folder = real.parent().unwrap_or(Path::new("/"));
            let what = format!("{} is on this machine, but its sandbox does not show it", found.display());
            (
                what,
                format!(
                    "{}; a bare name is looked up in the sandbox's own PATH, so name it by its full path",
                    show(folder)
                ),
            )
        }
        None => {
            (format!("the program {program} is not there"), "install it, or write `command: [PROGRAM, …]`".to_owned())
        }
    }
}

fn show(folder: &Path) -> String {
    format!("show it in the role: `sandbox: {{read: [{}]}}`", crate::word(folder))
}

/// The program that runs a script, or what `env` is to look for.
fn interpreter(script: &Path) -> Option<String> {
    let mut head = Vec::new();
    File::open(script).ok()?.take(256).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line).into_owned();
    let mut words = line.split_whitespace();
    let first = words.next()?;
    match Path::new(first).file_name()?.to_str()? {
        "env" => words.find(|word| !word.starts_with('-') && !word.contains('=')).map(str::to_owned),
        _ => Some(first.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn made(dir: &Path, name: &str, text: &str, mode: u32) -> String {
        let path = dir.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    }

    #[test]
    fn a_program_is_looked_for_as_its_sandbox_will() {
        let dir = tempfile::tempdir().unwrap();
        let (shown, hidden) = (dir.path().join("shown"), dir.path().join("hidden"));
        for folder in [&shown, &hidden] {
            fs::create_dir(folder).unwrap();
        }
        let extras = Extras { read: vec![shown.clone()], ..Extras::default() };
        let folders = [hidden.clone()];
        let why = |program: &str| unrunnable(&extras, program, &folders).map(|(what, fix)| format!("{what}|{fix}"));
        let good = made(&shown, "good", "#!/bin/sh\n", 0o755);
        assert_eq!(why(&good), None);
        assert_eq!(why("sh"), None);
        assert_eq!(why("/workspace/x"), None);
        assert_eq!(why("./x"), None);
        let plain = made(&shown, "plain", "#!/bin/sh\n", 0o644);
        assert!(why(&plain).unwrap().contains("may not be executed"));
        made(&hidden, "agent", "#!/bin/sh\n", 0o755);
        let told = why("agent").unwrap();
        assert!(told.contains("its sandbox does not show it") && told.contains("/hidden"), "{told}");
        assert!(why("no-such-agent").unwrap().contains("is not there"));
        let link = shown.join("link");
        symlink(hidden.join("agent"), &link).unwrap();
        assert!(why(&link.display().to_string()).unwrap().contains("leads to"));
        let script = made(&shown, "script", "#!/usr/bin/env -S no-such-interpreter -x\n", 0o755);
        assert!(why(&script).unwrap().contains("is run by the interpreter no-such-interpreter: the program"));
    }
}
