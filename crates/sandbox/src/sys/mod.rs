//! The system calls that the standard library does not have, each behind a safe function of a few lines.
//!
//! Nothing here decides anything. All `unsafe` of the program is in this folder.
#![allow(unsafe_code)]

mod calls;
mod file;
mod filter;
mod mount;
mod privilege;
mod process;
mod socket;

pub(crate) use calls::{
    Call, answer_call, bound_sockets, connect, family, is_nonblocking, is_waiting, open_from, read_memory, take_call,
    take_file,
};
pub(crate) use file::{
    Space, can_write, drain, is_read_only, make_dir, make_file, make_link, open_beneath, open_dir, open_folder_at,
    open_folder_nofollow, page_bytes, pipe, readable, remove_at, rename_at, set_mode, set_nonblocking, space,
    stat_mode, wait_readable,
};
pub(crate) use filter::{FilterInstruction, memory_file, random};
pub(crate) use mount::{
    Attributes, bind_fd, clone_tree, clone_tree_by_no_link, detach_old_root, make_propagation_private, mount_devpts,
    mount_new, move_to, set_attributes,
};
pub use privilege::HOST_ID_OF_ROOTS_AGENTS;
pub use privilege::keep_from_core_dumps;
pub(crate) use privilege::{
    HostIdentity, HostIds, caller, drop_all_capabilities, enter_user_namespace, is_root, keep_capabilities_across,
    landlock_abi, may_look_into_children, new_session_keyring, no_new_privileges, set_dumpable,
};
pub use process::raise_open_files;
pub(crate) use process::{
    Failed, Forked, Plan, Started, Status, block_child_signals, clone_init, close_all_except, default_signals,
    die_with_parent, exit, fork, hard_limit, kill_child, new_session, own_pidfd, pidfd_kill, reap, set_name,
    signal_all_others, spawn_program, stand_back, watch_children,
};
pub(crate) use socket::{
    Socket, hang_up, loopback_up, receive_exact, receive_with_fds, send_all, send_with_fds, set_host_name, socket_pair,
};

use std::io;

/// The result of a system call that says failure with -1.
fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The same for calls that return an `int`.
fn check_int(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
