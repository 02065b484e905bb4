//! Rules of one policy that contradict each other. Nothing of it is guessed at: neither of two wins silently.

use super::{CheckedPolicy, Network, Processes, Work};
use crate::source::{
    Place,
    checker::{Checker, quote},
};
use std::path::{Path, PathBuf};

/// Tells what contradicts. `bounds` is what `permissions` alone became; `passed_at` is where each name of `pass` stands.
pub(super) fn tell(checker: &mut Checker, bounds: &CheckedPolicy, policy: &CheckedPolicy, passed_at: &[Place]) {
    wider_than_permissions(checker, bounds, policy);
    same_place(checker, policy);
    for (name, place) in policy.pass.iter().zip(passed_at).filter(|(name, _)| policy.env.contains_key(*name)) {
        let fix = "keep it in `env` for this value, or in `pass` for the caller's";
        checker.wrong(*place, format!("{} stands in `env` and in `pass`", quote(name)), fix);
    }
    if let Some(Network::Hosts(hosts)) = &policy.network {
        let twice = |host: &&String| hosts.contains(&format!("{host} private"));
        for host in hosts.iter().filter(twice) {
            let what = format!("{} stands there with and without `private`", quote(host));
            checker.wrong(policy.place("network"), what, "keep one of them");
        }
    }
}

/// A key of ours says more exactly what a boundary of `permissions` means, or less; never more.
fn wider_than_permissions(checker: &mut Checker, bounds: &CheckedPolicy, policy: &CheckedPolicy) {
    let network = |network: &Network| match network {
        Network::None => 0,
        Network::Gateway => 1,
        // Approved endpoints are what `restricted` means.
        Network::Hosts(_) if bounds.network == Some(Network::Gateway) => 1,
        Network::Hosts(_) => 2,
        Network::Open => 3,
    };
    let work = |work: &Work| match work {
        Work::None => 0,
        Work::Read => 1,
        Work::Write => 2,
    };
    let processes = |processes: &Processes| match processes {
        Processes::None => 0,
        Processes::Exec(_) => 1,
        Processes::Tree => 2,
    };
    // Approved commands may be named.
    let named = matches!((&bounds.processes, &policy.processes), (Some(Processes::None), Some(Processes::Exec(_))))
        && !bounds.remains.is_empty();
    let wider = [
        ("network", "network", exceeds(&bounds.network, &policy.network, network)),
        ("work", "file_system", exceeds(&bounds.work, &policy.work, work)),
        ("processes", "shell_commands", !named && exceeds(&bounds.processes, &policy.processes, processes)),
    ];
    for (key, boundary, _) in wider.into_iter().filter(|(_, _, wider)| *wider) {
        let what = format!("`{key}` allows more than `permissions: {{{boundary}: …}}`");
        checker.wrong(policy.place(key), what, format!("keep one of the two: `{key}` alone, or a wider `{boundary}`"));
    }
    if let (Some(Work::None | Work::Read), Some(shown)) = (bounds.work, policy.write.first()) {
        let fix = "show it with `read`, or write `file_system: read_write`";
        checker.wrong(shown.place, "`permissions: {file_system: …}` lets nothing be written", fix);
    }
}

fn exceeds<T>(bound: &Option<T>, asked: &Option<T>, width: impl Fn(&T) -> u8) -> bool {
    matches!((bound, asked), (Some(bound), Some(asked)) if width(asked) > width(bound))
}

/// Two paths of the host that would appear at one place. The same path in `write` and in `execute` is one that can be both.
fn same_place(checker: &mut Checker, policy: &CheckedPolicy) {
    // The folders only have to differ from every path that can be written.
    let resolved = |shown: &super::Shown| shown.resolve(Path::new("/\0home"), Path::new("/\0file"));
    let mut seen: Vec<(PathBuf, PathBuf)> = Vec::new();
    for shown in policy.host_paths() {
        let (host, inside) = resolved(shown);
        if seen.iter().any(|(other, place)| *place == inside && *other != host) {
            let what = format!("another path appears at {} too", quote(&inside.display().to_string()));
            checker.wrong(shown.place, what, "give one of them another place: `{host: …, inside: …}`");
        }
        seen.push((host, inside));
    }
}
