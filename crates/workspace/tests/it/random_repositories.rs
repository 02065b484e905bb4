//! Random repositories, each with a canary in whatever could name a program: looking at one, asking for a branch name and
//! taking its history start nothing but git and change no file.
//!
//! A campaign with a seed and not a libFuzzer target: a run costs some twenty processes, so coverage feedback would get a few
//! hundred runs an hour, and what matters is not our parser but git's. `MUSTER_REPOSITORIES=N` sets how many (60),
//! `MUSTER_REPOSITORY_SEED=N` the first seed (1). A seed that fails is a case: it is added to [`CORPUS`].

use crate::place::{LAUNCHER, Place, write};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};
use workspace::{Repository, inspect, result_branch};

/// Seeds that are always run.
const CORPUS: [u64; 8] = [3, 11, 42, 101, 977, 4_242, 65_537, 1_000_003];

struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % most as u64).unwrap()
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    fn name(&mut self) -> Vec<u8> {
        let pieces: [&[u8]; 10] = [b"a", b"=", b"\xff", b"x.y", b" ", b"\t", "ä".as_bytes(), b"lfs", b"\\\\", b"*"];
        (0..=self.below(3)).flat_map(|_| self.one(&pieces).to_vec()).collect()
    }
}

/// Settings that name a program or lead to one.
const COMMANDS: [&str; 24] = [
    "core.fsmonitor",
    "core.hooksPath",
    "core.pager",
    "core.editor",
    "core.sshCommand",
    "core.askPass",
    "core.gitProxy",
    "core.alternateRefsCommand",
    "credential.helper",
    "diff.external",
    "gpg.program",
    "gpg.ssh.program",
    "sequence.editor",
    "uploadpack.packObjectsHook",
    "remote.origin.uploadpack",
    "remote.origin.receivepack",
    "alias.status",
    "alias.rev-parse",
    "pager.status",
    "interactive.diffFilter",
    "trailer.x.command",
    "trailer.x.cmd",
    "hook.x.command",
    "init.templateDir",
];
const PLAIN: [(&str, &str); 14] = [
    ("core.untrackedCache", "true"),
    ("core.splitIndex", "true"),
    ("index.sparse", "true"),
    ("core.sparseCheckout", "true"),
    ("extensions.worktreeConfig", "true"),
    ("extensions.partialClone", "origin"),
    ("remote.origin.promisor", "true"),
    ("remote.origin.url", "ext::touch canary"),
    ("protocol.ext.allow", "always"),
    ("protocol.allow", "always"),
    ("core.bare", "true"),
    ("core.worktree", "/tmp"),
    ("status.submoduleSummary", "true"),
    ("hook.x.event", "post-index-change"),
];

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

fn setting(key: &str, value: &str) -> String {
    let (section, name) = key.rsplit_once('.').unwrap();
    match section.split_once('.') {
        Some((section, sub)) => format!("[{section} \"{sub}\"]\n\t{name} = {}\n", quoted(value)),
        None => format!("[{section}]\n\t{name} = {}\n", quoted(value)),
    }
}

fn spoil(dice: &mut Dice, place: &Place, canary: &Path) {
    let run = format!("touch {}", canary.display());
    let git_dir = place.user.join(".git");
    let mut config = fs::read(git_dir.join("config")).unwrap();
    let mut attributes = Vec::new();
    for _ in 0..=dice.below(3) {
        let name = dice.name();
        for key in ["clean", "smudge", "process"] {
            config.extend(
                [b"[filter \"", &name[..], format!("\"]\n\t{key} = {}\n", quoted(&format!("{run}; cat"))).as_bytes()]
                    .concat(),
            );
        }
        config.extend(
            [b"[diff \"", &name[..], format!("\"]\n\ttextconv = {0}\n\tcommand = {0}\n", quoted(&run)).as_bytes()]
                .concat(),
        );
        config.extend([b"[merge \"", &name[..], format!("\"]\n\tdriver = {}\n", quoted(&run)).as_bytes()].concat());
        attributes.extend([b"* filter=", &name[..], b" diff=", &name[..], b" merge=", &name[..], b"\n"].concat());
    }
    for _ in 0..dice.below(12) {
        config.extend(setting(dice.one(&COMMANDS), &run).bytes());
    }
    for _ in 0..dice.below(4) {
        let (key, value) = PLAIN[dice.below(PLAIN.len())];
        config.extend(setting(key, value).bytes());
    }
    match dice.below(4) {
        0 => {
            write(&place.user.join("included"), &setting("core.fsmonitor", &run));
            config.extend(b"[include]\n\tpath = ../included\n[includeIf \"gitdir:/\"]\n\tpath = ../included\n");
        }
        1 => config.extend((0..dice.below(40)).map(|_| b"[]\"=\n\tx\0\xff"[dice.below(9)])),
        _ => {}
    }
    place_attributes(dice, place, &attributes);
    for hook in ["post-index-change", "reference-transaction", "post-checkout", "fsmonitor-watchman", "pre-auto-gc"] {
        let path = git_dir.join("hooks").join(hook);
        write(&path, &format!("#!/bin/sh\n{run}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    spoil_state(dice, place, &git_dir);
    fs::write(git_dir.join("config"), config).unwrap();
}

fn place_attributes(dice: &mut Dice, place: &Place, attributes: &[u8]) {
    match dice.below(3) {
        0 => fs::write(place.user.join(".gitattributes"), attributes).unwrap(),
        1 => fs::write(place.user.join(".git/info/attributes"), attributes).unwrap(),
        _ => {
            fs::write(place.user.join(".gitattributes"), attributes).unwrap();
            place.git(&["add", "-A"]);
            place.git(&["commit", "-q", "-m", "attributes"]);
        }
    }
}

/// Index, HEAD, refs and files of the checkout.
fn spoil_state(dice: &mut Dice, place: &Place, git_dir: &Path) {
    match dice.below(8) {
        0 => drop(place.git(&["update-index", "--split-index"])),
        1 => drop(place.git(&["update-index", "--force-untracked-cache"])),
        2 => {
            let mut index = fs::read(git_dir.join("index")).unwrap();
            let at = dice.below(index.len());
            index[at] ^= 1 << dice.below(8);
            fs::write(git_dir.join("index"), index).unwrap();
        }
        3 => {
            fs::write(git_dir.join("HEAD"), ["ref: refs/heads/../../x\n", "", "ref: refs/heads/none\n"][dice.below(3)])
                .unwrap()
        }
        4 => fs::write(git_dir.join("packed-refs"), "# pack-refs with:\nxyz refs/heads/main\n").unwrap(),
        5 => drop(place.git(&["tag", "-a", "v1", "-m", "x"])),
        6 => write(&git_dir.join("objects/info/alternates"), "/nonexistent\n../../../x\n"),
        _ => {}
    }
    // Of the same length and newer than the index, so that git has to look at the content.
    write(&place.user.join("b.txt"), "c\n");
}

#[tokio::test]
async fn looking_at_any_repository_runs_nothing_of_it_and_changes_nothing() {
    let number = |name: &str, usual: u64| std::env::var(name).ok().map_or(usual, |text| text.parse().unwrap());
    let first = number("MUSTER_REPOSITORY_SEED", 1);
    let seeds: Vec<u64> =
        CORPUS.into_iter().chain((0..number("MUSTER_REPOSITORIES", 60)).map(|n| first * 7_919 + n)).collect();
    let (mut fine, mut would) = (0, 0);
    for seed in &seeds {
        let place = Place::filled();
        let canary = place.temp.path().join("canary");
        spoil(&mut Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1), &place, &canary);
        // Spoiling commits, which runs what is planted already; nothing of that counts.
        let _ = fs::remove_file(&canary);
        let before = place.fingerprint();
        let looked = inspect(&place.user).await;
        let _ = result_branch(&place.user, "x").await;
        if let Ok(facts) = &looked {
            fine += 1;
            let _ = Repository::prepare(&place.dir, &place.user, &facts.head, LAUNCHER.clone()).await;
        }
        assert!(!canary.exists(), "seed {seed}: something was run");
        assert!(before == place.fingerprint(), "seed {seed}: a file was changed");
        let mut git = Command::new("git");
        let _ = git.args(["-c", "safe.directory=*", "status"]).current_dir(&place.user).output();
        would += usize::from(canary.exists());
    }
    // The canaries do sing for git as a user runs it, and not every repository is refused at once.
    assert!(would > seeds.len() / 4 && fine > seeds.len() / 4, "{would} and {fine} of {}", seeds.len());
}
