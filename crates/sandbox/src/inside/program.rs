//! Which file is executed, as seen inside, and which others the kernel must be let execute for it.
//!
//! Where everything may be executed, that is the kernel's affair. Where only the program may, its interpreter and its
//! loader have to be known beforehand: a script is turned into its interpreter here, because no other execution follows.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::spec::Spec;
use crate::wire::{Failure, Step};

/// As many interpreters of interpreters as the kernel follows.
const INTERPRETERS_MAX: usize = 4;
/// As much of a script's first line as the kernel reads.
const FIRST_LINE_BYTES: usize = 256;
/// The longest path of a loader.
const LOADER_BYTES_MAX: u64 = 4096;

/// What to execute.
pub(super) struct Program {
    /// Where it may be, in the order to try.
    pub candidates: Vec<CString>,
    /// Its arguments, its name first.
    pub args: Vec<CString>,
    /// The only files that may be executed; none means whatever the binds let execute.
    pub executables: Option<Vec<PathBuf>>,
}

/// Finds the program of a launch. Must be called inside.
pub(super) fn find(spec: &Spec) -> Result<Program, Failure> {
    let malformed = || Step::Request.failed("reading the request");
    let name = spec.program.as_os_str().as_bytes().to_vec();
    let mut words: Vec<Vec<u8>> = [name].into_iter().chain(spec.args.iter().cloned()).collect();
    let mut candidates = candidates(spec, &spec.program);
    let mut executables = match &spec.programs {
        Some(programs) => Some(programs.iter().map(|program| listed(program)).collect::<Result<Vec<_>, _>>()?.concat()),
        None => None,
    };
    if spec.filter.once.is_some() {
        let path = resolve(spec, &candidates, &mut words).map_err(Step::Exec.failed("finding it"))?;
        executables.get_or_insert_with(|| with_loader(&path));
        candidates = vec![path];
    }
    let candidates = candidates.iter().map(|path| c_string(path.as_os_str().as_bytes())).collect::<io::Result<_>>();
    let args = words.iter().map(|word| c_string(word)).collect::<io::Result<_>>();
    Ok(Program { candidates: candidates.map_err(malformed())?, args: args.map_err(malformed())?, executables })
}

pub(super) fn c_string(bytes: &[u8]) -> io::Result<CString> {
    Ok(CString::new(bytes)?)
}

/// Where a program may be: itself if it has a slash, or below each directory of `PATH`.
fn candidates(spec: &Spec, program: &Path) -> Vec<PathBuf> {
    if program.as_os_str().as_bytes().contains(&b'/') {
        return vec![program.to_path_buf()];
    }
    let path = spec.env.iter().find_map(|variable| variable.strip_prefix(b"PATH=")).unwrap_or_default();
    path.split(|byte| *byte == b':').map(|dir| Path::new(std::ffi::OsStr::from_bytes(dir)).join(program)).collect()
}

/// The program itself, or, if it is a script, what the kernel would execute in its place; `words` change with it.
fn resolve(spec: &Spec, candidates: &[PathBuf], words: &mut Vec<Vec<u8>>) -> io::Result<PathBuf> {
    let mut path = first(spec, candidates)?;
    for _ in 0..INTERPRETERS_MAX {
        let Some(mut interpreter) = interpreter(&path) else { return Ok(path) };
        words.splice(..1, interpreter.drain(..).chain([path.into_os_string().into_vec()]));
        let program = PathBuf::from(std::ffi::OsString::from_vec(words[0].clone()));
        path = first(spec, &self::candidates(spec, &program))?;
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

fn first(spec: &Spec, candidates: &[PathBuf]) -> io::Result<PathBuf> {
    let places = candidates.iter().map(|path| spec.cwd.join(path));
    places.into_iter().find(|path| path.is_file()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
}

/// Opens a program to read. Without waiting: the agent may have put a pipe in its place, whose other end nobody opens.
fn open(program: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(program)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::from_raw_os_error(libc::EACCES)) }
}

/// The words that a script's first line puts in front of it; none for anything but a script.
fn interpreter(script: &Path) -> Option<Vec<Vec<u8>>> {
    let mut head = Vec::new();
    open(script).ok()?.take(FIRST_LINE_BYTES as u64).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?.trim_ascii();
    let (interpreter, rest) = match line.iter().position(u8::is_ascii_whitespace) {
        Some(at) => (&line[..at], line[at..].trim_ascii()),
        None => (line, &[][..]),
    };
    // `env` would execute what it finds, and that would be a second time.
    if interpreter.ends_with(b"/env") {
        let rest = rest.strip_prefix(b"-S").unwrap_or(rest);
        let words: Vec<Vec<u8>> =
            rest.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect();
        if words.first().is_some_and(|word| !word.starts_with(b"-") && !word.contains(&b'=')) {
            return Some(words);
        }
    }
    let argument = (!rest.is_empty()).then(|| rest.to_vec());
    (!interpreter.is_empty()).then(|| [interpreter.to_vec()].into_iter().chain(argument).collect())
}

/// A program that may be executed, which must be there.
fn listed(program: &Path) -> Result<Vec<PathBuf>, Failure> {
    match open(program) {
        Ok(_) => Ok(with_loader(program)),
        Err(error) => Err(Step::Programs.failed(program.to_string_lossy())(error)),
    }
}

fn with_loader(program: &Path) -> Vec<PathBuf> {
    [program.to_path_buf()].into_iter().chain(loader(program)).collect()
}

/// The loader that an executable file names (`PT_INTERP`); none for one that needs none, or that is no such file.
/// The layout is that of 64-bit ELF (`elf(5)`), little-endian as both processors are.
fn loader(program: &Path) -> Option<PathBuf> {
    const HEADER_BYTES: usize = 64;
    const SEGMENT_BYTES: usize = 56;
    const INTERPRETER: u64 = 3;
    let file = open(program).ok()?;
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(&mut header, 0).ok()?;
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (segments, count) = (number(&header, 32, 8), number(&header, 56, 2));
    let segment = |i: u64| {
        let mut segment = [0; SEGMENT_BYTES];
        file.read_exact_at(&mut segment, segments.checked_add(i * SEGMENT_BYTES as u64)?).ok()?;
        (number(&segment, 0, 4) == INTERPRETER).then_some(segment)
    };
    let segment = (0..count).find_map(segment)?;
    let (offset, bytes) = (number(&segment, 8, 8), number(&segment, 32, 8).min(LOADER_BYTES_MAX));
    let mut path = vec![0; bytes as usize];
    file.read_exact_at(&mut path, offset).ok()?;
    path.truncate(path.iter().position(|byte| *byte == 0)?);
    Some(PathBuf::from(std::ffi::OsString::from_vec(path)))
}

fn number(bytes: &[u8], from: usize, count: usize) -> u64 {
    bytes[from..from + count].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(first_line: &str) -> Option<Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        std::fs::write(&script, first_line).unwrap();
        let text = |words: Vec<Vec<u8>>| words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect();
        interpreter(&script).map(text)
    }

    #[test]
    fn the_first_line_of_a_script_names_its_interpreter() {
        assert_eq!(words("#!/bin/sh\necho"), Some(vec!["/bin/sh".into()]));
        assert_eq!(words("#! /bin/awk -f -x \n"), Some(vec!["/bin/awk".into(), "-f -x".into()]));
        assert_eq!(words("#!/usr/bin/env node\n"), Some(vec!["node".into()]));
        assert_eq!(words("#!/usr/bin/env -S node --a b\n"), Some(vec!["node".into(), "--a".into(), "b".into()]));
        assert_eq!(words("#!/usr/bin/env A=b node\n"), Some(vec!["/usr/bin/env".into(), "A=b node".into()]));
        assert_eq!(words("#!\n"), None);
        assert_eq!(words("echo\n"), None);
    }

    #[test]
    fn a_pipe_in_the_place_of_a_program_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(interpreter(&pipe), None);
        assert_eq!(super::loader(&pipe), None);
        assert_eq!(listed(&pipe).err().map(|failure| failure.errno), Some(libc::EACCES));
        assert_eq!(listed(dir.path()).err().map(|failure| failure.errno), Some(libc::EACCES));
    }

    #[test]
    fn a_program_names_its_loader() {
        let loader = loader(&std::env::current_exe().unwrap()).unwrap();
        assert!(loader.is_file() && loader.to_string_lossy().contains("ld"), "{loader:?}");
        assert_eq!(super::loader(Path::new("/etc/passwd")), None);
    }
}
