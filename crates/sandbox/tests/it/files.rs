//! Only what is listed exists inside.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use sandbox::{Bind, Exit, presets};

use crate::{Host, each};

#[test]
fn only_listed_paths_exist() {
    each(|host| {
        let names = host.sh(host.policy(), "ls -A /");
        for name in names.lines() {
            let known = [
                "bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "nix", "opt", "proc", "sbin", "tmp", "usr",
                "work",
            ];
            assert!(known.contains(&name), "{name}");
        }
        assert_eq!(host.sh(host.policy(), "ls -A /tmp /work /dev/shm"), "/dev/shm:\n\n/tmp:\n\n/work:\n");
    });
}

#[test]
fn the_hosts_homes_secrets_and_other_agents_are_not_there() {
    each(|host| {
        fs::write(host.path("secret"), "x").unwrap();
        let secret = host.path("secret");
        for path in ["/root", "/home", "/var", "/run", "/sys", "/etc/shadow", "/etc/hostname", secret.to_str().unwrap()]
        {
            let output = host.run(host.policy(), &["ls", "-d", path]);
            assert_eq!(output.exit, Exit::Code(2), "{path}: {output:?}");
        }
    });
}

#[test]
fn a_link_that_an_agent_makes_leads_nowhere_outside() {
    each(|host| {
        fs::write(host.path("secret"), "x").unwrap();
        symlink(host.path("secret"), host.path("work/link")).unwrap();
        let script = "cat /work/link || cat /work/../../../../../../root/.bashrc || cat /proc/1/root/etc/shadow";
        let output = host.run(host.policy(), &["sh", "-c", script]);
        assert_eq!((output.exit, output.out.as_str()), (Exit::Code(1), ""));
    });
}

#[test]
fn what_is_read_only_cannot_be_written() {
    each(|host| {
        fs::create_dir(host.path("rules")).unwrap();
        fs::write(host.path("rules/a"), "kept").unwrap();
        let mut policy = host.policy();
        policy.filesystem.binds.push(Bind::read(host.path("rules"), "/rules"));
        for path in ["/rules/a", "/rules/b", "/usr/b", "/b", "/dev/b", "/etc/passwd", "/proc/sys/kernel/core_pattern"] {
            let output = host.run(policy.clone(), &["sh", "-c", &format!("echo x > {path}")]);
            assert_eq!(output.exit, Exit::Code(2), "{path}: {output:?}");
        }
        assert_eq!(fs::read_to_string(host.path("rules/a")).unwrap(), "kept");
    });
}

#[test]
fn what_is_only_to_read_cannot_be_executed() {
    each(|host| {
        let mut policy = host.policy();
        policy.filesystem.binds.push(Bind::read(host.path("kit"), "/rules/kit"));
        let refusal = host.refusal(policy.clone(), &["/rules/kit", "try-files"]);
        assert!(refusal.contains("/rules/kit cannot be started in the sandbox: Permission denied"), "{refusal}");
        assert_eq!(host.run(policy, &["/opt/kit", "try-files"]).exit, Exit::Code(0));
    });
}

#[test]
fn what_an_agent_makes_is_the_callers_on_the_host() {
    each(|host| {
        host.sh(host.policy(), "mkdir /work/d && echo made > /work/d/f && cp /bin/true /work/t && /work/t");
        let made = fs::metadata(host.path("work/d/f")).unwrap();
        assert_eq!(made.uid(), fs::metadata(host.path("work")).unwrap().uid());
        assert_eq!(fs::read_to_string(host.path("work/d/f")).unwrap(), "made\n");
        fs::remove_dir_all(host.path("work")).unwrap();
    });
}

#[test]
fn what_the_caller_makes_is_the_agents_inside() {
    each(|host| {
        if host.is_root {
            fs::write(host.path("work/f"), "private").unwrap();
            fs::set_permissions(host.path("work/f"), fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(host.sh(host.policy(), "cat /work/f; stat -c %U /work/f; rm /work/f"), "privateagent\n");
        }
        assert_eq!(host.sh(host.policy(), "id -un; id -gn; stat -c %U:%G /work"), "agent\nagent\nagent:agent\n");
    });
}

#[test]
fn system_files_keep_the_owners_they_have() {
    each(|host| {
        assert_eq!(host.sh(host.policy(), "stat -c %u /usr/bin"), "65534\n");
    });
}

#[test]
fn a_directory_that_root_lets_be_written_stays_as_it_is_behind_the_filter() {
    each(|host| {
        fs::set_permissions(host.path("work"), fs::Permissions::from_mode(0o755)).unwrap();
        let refused = host.run(host.policy(), &["sh", "-c", "cp /bin/true /work/t && chmod 4755 /work/t"]);
        assert!(
            refused.exit != sandbox::Exit::Code(0) && refused.err.contains("Operation not permitted"),
            "{refused:?}"
        );
        assert_eq!(mode(host, "work"), 0o755);
        assert_eq!(mode(host, "work/t"), 0o755);
    });
}

#[test]
fn without_the_filter_it_is_closed_to_others() {
    each(|host| {
        fs::set_permissions(host.path("work"), fs::Permissions::from_mode(0o755)).unwrap();
        let mut policy = host.policy();
        policy.allow_degraded.push(sandbox::Layer::Seccomp);
        host.sh(policy, "true");
        assert_eq!(mode(host, "work"), if host.is_root { 0o700 } else { 0o755 });
    });
}

fn mode(host: &Host, name: &str) -> u32 {
    fs::metadata(host.path(name)).unwrap().mode() & 0o7777
}

#[test]
fn a_missing_path_refuses_the_launch() {
    each(|host| {
        let mut policy = host.policy();
        policy.filesystem.binds.push(Bind::read(host.path("missing"), "/missing"));
        let refusal = host.refusal(policy, &["touch", "/work/ran"]);
        assert!(refusal.contains("missing cannot be shown in the sandbox: No such file or directory"), "{refusal}");
        assert!(!host.path("work/ran").exists());
    });
}

#[test]
fn a_link_in_an_agents_directory_cannot_redirect_a_mount() {
    each(|host| {
        fs::create_dir(host.path("victim")).unwrap();
        symlink(host.path("victim"), host.path("work/sub")).unwrap();
        let mut policy = host.policy();
        policy.filesystem.binds.push(Bind::read(host.path("victim"), "/work/sub/new"));
        let refusal = host.refusal(policy, &["true"]);
        assert!(refusal.contains("cannot be shown in the sandbox"), "{refusal}");
        assert_eq!(fs::read_dir(host.path("victim")).unwrap().count(), 0);
    });
}

#[test]
fn binds_nest_and_files_are_placed() {
    each(|host| {
        fs::create_dir(host.path("inner")).unwrap();
        fs::write(host.path("inner/a"), "inner").unwrap();
        fs::create_dir(host.path("work/sub")).unwrap();
        let mut policy = host.policy();
        policy.filesystem.binds.insert(0, Bind::read(host.path("inner"), "/work/sub"));
        policy.filesystem.files.insert("/home/agent/.gitconfig".into(), "[user]\n".into());
        assert_eq!(host.sh(policy, "cat /work/sub/a /home/agent/.gitconfig"), "inner[user]\n");
    });
}

#[test]
fn the_usual_tools_run() {
    each(|host| {
        let script = "git init -q /work/r && cd /work/r && git status --porcelain && : > /dev/null && head -c1 /dev/urandom | wc -c";
        assert_eq!(host.sh(host.policy(), script), "1\n");
        if fs::exists("/usr/bin/python3").unwrap() {
            let script = "/usr/bin/python3 -c 'import ssl, tempfile, multiprocessing as m; m.Semaphore(); print(tempfile.gettempdir())'";
            assert_eq!(host.sh(host.policy(), script), "/tmp\n");
        }
    });
}

#[test]
fn terminals_are_there_when_asked_for() {
    each(|host| {
        let mut policy = host.policy();
        policy.filesystem.terminals = true;
        let script = "script -qec 'test -t 1 && echo yes' /dev/null";
        assert_eq!(host.sh(policy, script).trim_end(), "yes");
        assert!(host.sh(presets::tool(), "ls -d /dev/ptmx 2>&1 || true").contains("No such file"));
    });
}

#[test]
fn many_launches_share_nothing() {
    each(|host: &Host| {
        host.sh(host.policy(), "echo x > /tmp/left; echo x > /dev/shm/left");
        assert_eq!(host.sh(host.policy(), "ls /tmp /dev/shm"), "/dev/shm:\n\n/tmp:\n");
    });
}
