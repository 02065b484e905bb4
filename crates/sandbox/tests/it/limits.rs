//! Every limit holds.

use std::time::{Duration, Instant};

use sandbox::{Exit, Limit};

use crate::each;

#[test]
fn processes() {
    each(|host| {
        let mut policy = host.policy();
        policy.limits.processes = 30;
        let output = host.run(policy, &["/opt/kit", "try-processes"]);
        assert_eq!((output.exit, output.out.as_str()), (Exit::Code(0), "28\n"), "two are init and the program");
    });
}

#[test]
fn memory() {
    each(|host| {
        let mut policy = host.policy();
        policy.limits.memory_bytes = 64 << 20;
        assert_eq!(host.run(policy.clone(), &["/opt/kit", "try-memory", "33554432"]).out, "given\n");
        assert_eq!(host.run(policy, &["/opt/kit", "try-memory", "67108864"]).out, "refused\n");
    });
}

#[test]
fn open_files() {
    each(|host| {
        let mut policy = host.policy();
        policy.limits.open_files = 40;
        assert_eq!(host.run(policy, &["/opt/kit", "try-files"]).out, "40\n");
    });
}

#[test]
fn file_size() {
    each(|host| {
        let mut policy = host.policy();
        policy.limits.file_bytes = 1 << 20;
        let output = host.run(policy, &["dd", "if=/dev/zero", "of=/work/f", "bs=64k", "count=32"]);
        assert_eq!(output.exit, Exit::Limit(Limit::FileSize));
        assert_eq!(std::fs::metadata(host.path("work/f")).unwrap().len(), 1 << 20);
    });
}

#[test]
fn temporary_files() {
    each(|host| {
        let mut policy = host.policy();
        policy.filesystem.tmp_bytes = 2 << 20;
        for path in ["/tmp/f", "/dev/shm/f"] {
            let output = host.run(policy.clone(), &["dd", "if=/dev/zero", &format!("of={path}"), "bs=64k", "count=64"]);
            assert!(output.err.contains("No space left on device"), "{output:?}");
        }
        let output = host.run(policy, &["sh", "-c", "for i in $(seq 3000); do : > /tmp/$i || exit 9; done"]);
        assert_eq!(output.exit, Exit::Code(2), "{output:?}");
    });
}

#[test]
fn processor_time() {
    each(|host| {
        let mut policy = host.policy();
        policy.limits.cpu_s = Some(1);
        let started = Instant::now();
        let exit = host.run(policy, &["sh", "-c", "while :; do :; done"]).exit;
        assert_eq!(exit, Exit::Limit(Limit::Cpu));
        assert!(started.elapsed() >= Duration::from_millis(900));
    });
}

#[test]
fn wall_time_ends_the_whole_tree() {
    each(|host| {
        let mut policy = host.policy();
        policy.limits.wall_ms = Some(200);
        let started = Instant::now();
        // The one that stays behind holds the pipes open: the output ends only when it is gone too.
        let output = host.run(policy, &["sh", "-c", "setsid sh -c 'trap \"\" TERM; sleep 1000' & exec sleep 1000"]);
        assert_eq!(output.exit, Exit::Limit(Limit::Wall));
        assert!((Duration::from_millis(200)..Duration::from_secs(20)).contains(&started.elapsed()));
    });
}

#[test]
fn core_dumps_are_off() {
    each(|host| {
        // One byte: at zero the kernel would still start a handler of `core_pattern`, outside. A stricter host holds.
        let script = "cd /work; grep 'Max core' /proc/self/limits; kill -SEGV $$";
        let output = host.run(host.policy(), &["sh", "-c", script]);
        let words: Vec<&str> = output.out.split_ascii_whitespace().skip(4).collect();
        let most = std::fs::read_to_string("/proc/self/limits").unwrap();
        let most = most.lines().find(|line| line.starts_with("Max core")).unwrap().split_ascii_whitespace().nth(5);
        let expected = if most == Some("0") { ["0", "0", "bytes"] } else { ["1", "1", "bytes"] };
        assert_eq!((output.exit, words.as_slice()), (Exit::Signal(libc::SIGSEGV), expected.as_slice()));
        assert_eq!(std::fs::read_dir(host.path("work")).unwrap().count(), 0);
    });
}

#[test]
fn a_host_that_is_stricter_than_the_policy_holds() {
    let mut policy = sandbox::presets::tool();
    policy.limits.open_files = u64::MAX;
    policy.limits.processes = u64::MAX;
    each(|host| assert_eq!(host.run(policy.clone(), &["true"]).exit, Exit::Code(0)));
}
