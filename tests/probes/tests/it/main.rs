//! Every probe without a sandbox, and inside every preset, as root and as an ordinary user; judged on the host.
//!
//! A probe that gets out fails the test of its preset with its name. With `MUSTER_EVIDENCE=docs/evidence` the results are
//! also written as the table `probes.md`.
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod evidence;
mod expected;
mod host;
mod judge;
mod people;
mod run;
mod scene;
mod services;
mod suite;

use std::os::unix::fs::chown;
use std::path::Path;

/// The program that attacks; also the launcher of its sandboxes.
const PROBE: &str = env!("CARGO_BIN_EXE_probe");
/// The ordinary user that the tests become when they are run by root. Nobody else's, because one probe kills all that it may.
const ORDINARY: u32 = 65_531;

/// Makes a file of the scene somebody's; an ordinary user's are that user's anyway.
fn give(path: &Path, uid: u32) {
    if is_root() {
        chown(path, Some(uid), Some(uid)).unwrap();
    }
}

fn is_root() -> bool {
    unsafe { libc::geteuid() == 0 }
}
