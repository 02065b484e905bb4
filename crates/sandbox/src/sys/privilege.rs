//! Identities and privileges: taking them on, giving them up for good.

use std::fs;
use std::io;

use super::{check, check_int};

/// The user and group id on the host of everything that root runs in a sandbox, unless a container's id map is too
/// small for it. No distribution gives out ids in this range (systemd, "Users, Groups, UIDs and GIDs": 1879048192 to
/// 2147483647 is unused).
pub const HOST_ID_OF_ROOTS_AGENTS: u32 = 1_900_000_000;

/// Ids on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostIds {
    pub uid: u32,
    pub gid: u32,
}

/// Who sandboxed processes are on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostIdentity {
    /// The caller, who is an ordinary user.
    Caller(HostIds),
    /// The caller is root; they are nobody else's.
    Separate(HostIds),
}

impl HostIdentity {
    /// Who the sandboxed processes of this caller are.
    pub fn of_sandboxes() -> io::Result<Self> {
        let caller = caller();
        if caller.uid != 0 {
            return Ok(Self::Caller(caller));
        }
        match (free_id(&fs::read_to_string("/proc/self/uid_map")?), free_id(&fs::read_to_string("/proc/self/gid_map")?))
        {
            (Free::Id(uid), Free::Id(gid)) => Ok(Self::Separate(HostIds { uid, gid })),
            // Root of a namespace that holds nobody else, and an ordinary user outside of it.
            (Free::NoneAndOrdinary, Free::NoneAndOrdinary) => Ok(Self::Caller(caller)),
            _ => Err(io::Error::from_raw_os_error(libc::EPERM)),
        }
    }

    /// The ids themselves.
    pub fn ids(self) -> HostIds {
        match self {
            Self::Caller(ids) | Self::Separate(ids) => ids,
        }
    }
}

/// What an id map (`/proc/self/uid_map`) leaves for sandboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Free {
    Id(u32),
    /// There is only id 0, and that is not root outside.
    NoneAndOrdinary,
    /// There is only id 0, and that may be root outside: limits on processes would not hold.
    NoneAndRoot,
}

/// [`HOST_ID_OF_ROOTS_AGENTS`], or in a container with fewer ids one near its last, but not the usual `nobody` (65534).
fn free_id(map: &str) -> Free {
    let extents: Vec<[u64; 3]> = map
        .lines()
        .filter_map(|line| {
            let numbers: Vec<u64> = line.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
            numbers.try_into().ok()
        })
        .collect();
    let last = extents.iter().map(|[first, _, count]| first + count - 1).max().unwrap_or(0);
    let wanted = u64::from(HOST_ID_OF_ROOTS_AGENTS);
    if extents.iter().any(|[first, _, count]| (*first..first + count).contains(&wanted)) {
        Free::Id(HOST_ID_OF_ROOTS_AGENTS)
    } else if last >= 1000 {
        Free::Id(u32::try_from(last - 2).unwrap_or(HOST_ID_OF_ROOTS_AGENTS))
    } else if extents.iter().all(|[_, outside, _]| *outside != 0) {
        Free::NoneAndOrdinary
    } else {
        Free::NoneAndRoot
    }
}

/// Puts this process alone into a new user namespace, without any mapping.
pub(crate) fn enter_user_namespace() -> io::Result<()> {
    // SAFETY: no pointers are involved.
    unsafe { check_int(libc::unshare(libc::CLONE_NEWUSER)).map(drop) }
}

/// Who this process is.
pub(crate) fn caller() -> HostIds {
    // SAFETY: these calls cannot fail and involve no pointers.
    unsafe { HostIds { uid: libc::geteuid(), gid: libc::getegid() } }
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    // SAFETY: cannot fail, involves no pointers.
    unsafe { libc::geteuid() == 0 }
}

/// Becomes `ids`, for good, but keeps the capabilities that making namespaces may need.
pub(crate) fn keep_capabilities_across(ids: HostIds) -> io::Result<()> {
    // SAFETY: no pointers but a null for an empty list.
    unsafe {
        check_int(libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0))?;
        check_int(libc::setgroups(0, std::ptr::null()))?;
        check_int(libc::setresgid(ids.gid, ids.gid, ids.gid))?;
        check_int(libc::setresuid(ids.uid, ids.uid, ids.uid))?;
    }
    let mut sets = capabilities()?;
    sets.iter_mut().for_each(|set| set.effective = set.permitted);
    set_capabilities(sets)
}

/// Gives up every capability, now and for whatever is executed later.
pub(crate) fn drop_all_capabilities() -> io::Result<()> {
    // SAFETY: no pointers are involved.
    unsafe {
        // The kernel says EINVAL for the first capability that it does not know.
        for capability in 0..64 {
            if libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) == -1 {
                break;
            }
        }
        check_int(libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))?;
    }
    set_capabilities([CapabilitySet::default(); 2])
}

/// From here on no execution gives more rights than there are.
pub(crate) fn no_new_privileges() -> io::Result<()> {
    // SAFETY: no pointers are involved.
    unsafe { check_int(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)).map(drop) }
}

/// Whether others of the same id may look into this process.
pub(crate) fn set_dumpable(dumpable: bool) -> io::Result<()> {
    // SAFETY: no pointers are involved.
    unsafe { check_int(libc::prctl(libc::PR_SET_DUMPABLE, libc::c_ulong::from(dumpable), 0, 0, 0)).map(drop) }
}

/// Keeps the memory of this process, in which keys may be, to itself: it leaves no core dump, neither in a file nor at a
/// program that the system gives dumps to, and no other process of the same user may look into it. What it starts leaves
/// no core dump either. For a process that starts programs: those can be looked into again, as soon as they run.
///
/// # Errors
/// Those of the kernel; there is no usual one.
pub fn keep_from_core_dumps() -> io::Result<()> {
    // Not 0: programs that take dumps (`core_pattern` with a pipe) are started all the same then. At 1 the kernel starts none.
    let limit = libc::rlimit { rlim_cur: 1, rlim_max: 1 };
    // SAFETY: `limit` outlives the call.
    unsafe { check_int(libc::setrlimit(libc::RLIMIT_CORE, &raw const limit))? };
    set_dumpable(false)
}

/// Whether a process may look into the ones that it has started (Yama's `ptrace_scope` of 2 and 3 forbids it).
pub(crate) fn may_look_into_children() -> bool {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    scope.map_or(true, |scope| matches!(scope.trim(), "0" | "1"))
}

/// Leaves the caller's session keyring for an empty one. A kernel without keyrings has nothing to leave.
pub(crate) fn new_session_keyring() {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: a null name makes an anonymous keyring.
    let _ = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>()) };
}

/// The version of Landlock that the kernel has; none if it has none.
pub(crate) fn landlock_abi() -> Option<i32> {
    const VERSION: libc::c_uint = 1;
    // SAFETY: a null attribute of length 0 with this flag only asks for the version.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION) };
    i32::try_from(abi).ok().filter(|abi| *abi > 0)
}

/// `struct __user_cap_data_struct`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilitySet {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `struct __user_cap_header_struct`, version 3, this process.
const CAPABILITY_HEADER: [u32; 2] = [0x2008_0522, 0];

fn capabilities() -> io::Result<[CapabilitySet; 2]> {
    let (mut header, mut sets) = (CAPABILITY_HEADER, [CapabilitySet::default(); 2]);
    // SAFETY: header and sets are laid out as version 3 wants them.
    unsafe { check(libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr()))? };
    Ok(sets)
}

fn set_capabilities(sets: [CapabilitySet; 2]) -> io::Result<()> {
    let mut header = CAPABILITY_HEADER;
    // SAFETY: header and sets are laid out as version 3 wants them.
    unsafe { check(libc::syscall(libc::SYS_capset, header.as_mut_ptr(), sets.as_ptr())).map(drop) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_id_is_the_fixed_one_where_it_exists() {
        assert_eq!(free_id("         0          0 4294967295\n"), Free::Id(HOST_ID_OF_ROOTS_AGENTS));
    }

    #[test]
    fn a_container_with_few_ids_gives_one_of_its_last() {
        assert_eq!(free_id("0 100000 65536\n"), Free::Id(65533));
        assert_eq!(free_id("0 1000 1\n1 100000 65536\n"), Free::Id(65534));
    }

    #[test]
    fn a_namespace_of_one_id_is_fine_for_an_ordinary_user_only() {
        assert_eq!(free_id("0 1000 1\n"), Free::NoneAndOrdinary);
        assert_eq!(free_id("0 0 1\n"), Free::NoneAndRoot);
    }
}
