//! A full disk: the mission waits, says so, and goes on when there is room. Needs a file system of its own, and so the right to mount one.

use crate::support::{Bench, Running};
use std::{fs, io::Write, path::PathBuf, process::Command};

/// A small file system in memory. It is unmounted when the test ends.
struct Small(PathBuf);

impl Small {
    /// Nothing when this user may not mount.
    fn mount(at: PathBuf, mib: u32) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=700"), "muster-it"])
            .arg(&at)
            .output()
            .ok()?;
        done.status.success().then_some(Self(at))
    }

    /// Takes all the room there is. Answers with the file that takes it.
    fn fill(&self) -> PathBuf {
        let file = self.0.join("ballast");
        let mut ballast = fs::File::create(&file).unwrap();
        while ballast.write_all(&[0; 4096]).is_ok() {}
        file
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_is_waited_for() {
    let mut bench = Bench::exercise("conflict");
    let Some(small) = Small::mount(bench.path("small"), 64) else {
        println!("not tested: this user may not mount a file system");
        return;
    };
    bench.set_home("small/home");
    let mut running: Running = bench.start_run(&["--wait", "--all"]);
    running.wait_for("turn 1 begins");
    let ballast = small.fill();
    running.wait_for("disk is full");
    fs::remove_file(ballast).unwrap();
    running.wait_for("i0 (user_input): The disk is full");
    bench.muster(&["answer", "i0", "--approve"]).expect(0);
    running.end().expect(0);
    is_whole(&bench);
}

#[test]
fn a_disk_that_stays_full_ends_the_run_and_not_the_mission() {
    let mut bench = Bench::exercise("conflict");
    let Some(small) = Small::mount(bench.path("small"), 64) else {
        println!("not tested: this user may not mount a file system");
        return;
    };
    bench.set_home("small/home");
    let mut running = bench.start_run(&["--wait", "--all"]);
    running.wait_for("turn 1 begins");
    let ballast = small.fill();
    running.wait_for("disk is full");
    running.signal(rustix::process::Signal::KILL);
    assert_eq!(running.end().signal, Some(9));
    bench.wait_until_all_processes_are_gone();
    let stuck = bench.resume();
    println!("{stuck}");
    assert!(stuck.code != Some(0) && !stuck.stderr.contains("panicked"), "{stuck}");
    fs::remove_file(ballast).unwrap();
    let mut ended = bench.resume();
    if ended.code == Some(3) {
        bench.muster(&["answer", "i0", "--approve"]).expect(0);
        ended = bench.resume();
    }
    ended.expect(0);
    is_whole(&bench);
}

fn is_whole(bench: &Bench) {
    let journal = bench.journal();
    journal.check();
    assert_eq!(journal.merges().len(), 2);
    bench.repo.is_sound();
    bench.wait_until_all_processes_are_gone();
}
