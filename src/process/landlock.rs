//! A fence of the kernel's (Landlock) around where links and special files may be made.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const MAKE_CHAR: u64 = 1 << 6;
const MAKE_SOCK: u64 = 1 << 9;
const MAKE_FIFO: u64 = 1 << 10;
const MAKE_BLOCK: u64 = 1 << 11;
const MAKE_SYM: u64 = 1 << 12;
/// Moving and linking between directories: refused everywhere unless it is granted.
const REFER: u64 = 1 << 13;
const SPECIAL: u64 = MAKE_CHAR | MAKE_SOCK | MAKE_FIFO | MAKE_BLOCK | MAKE_SYM;

/// The first version that can grant [`REFER`]; before it nothing could be moved between directories.
const VERSION_NEEDED: i64 = 2;
const CREATE_VERSION: u32 = 1;
const RULE_PATH_BENEATH: u32 = 1;

/// The first version that can keep a process from sockets with abstract names, which no mount hides.
pub const VERSION_SCOPED: i64 = 6;
const SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1 << 0;
const SCOPE_SIGNAL: u64 = 1 << 1;

#[repr(C)]
struct RulesetAttr {
    handled_access_fs: u64,
}

#[repr(C)]
struct ScopedAttr {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

#[repr(C, packed)]
struct PathBeneathAttr {
    allowed_access: u64,
    parent_fd: i32,
}

/// Version of the fence that this kernel has; `None` where it has none that is of use here.
#[expect(unsafe_code, reason = "the C library has no function for this call")]
pub fn version() -> Option<i64> {
    // SAFETY: asks for a number and touches no memory.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0usize, 0usize, CREATE_VERSION) };
    (version >= VERSION_NEEDED).then_some(version)
}

/// From now on this process and all that it starts make symbolic links, sockets, pipes and devices only below
/// these directories. It also may no longer change mounts. Says whether the kernel keeps it: one without
/// Landlock does not. A directory that is named by a link is an error. The process must have given up new privileges (`no_new_privs`).
///
/// # Errors
/// A directory that cannot be opened, and what else the kernel says.
#[expect(unsafe_code, reason = "the C library has no functions for these calls")]
pub fn special_files_only_below(dirs: &[&Path]) -> io::Result<bool> {
    if version().is_none() {
        return Ok(false);
    }
    let attr = RulesetAttr { handled_access_fs: SPECIAL | REFER };
    // SAFETY: the structure lives during the call and its size is told.
    let fd = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attr, std::mem::size_of::<RulesetAttr>(), 0u32)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given this descriptor to us.
    let ruleset = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    let everywhere = (Path::new("/"), REFER);
    for (dir, access) in std::iter::once(everywhere).chain(dirs.iter().map(|dir| (*dir, SPECIAL | REFER))) {
        let dir =
            File::options().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW).open(dir)?;
        let rule = PathBeneathAttr { allowed_access: access, parent_fd: dir.as_raw_fd() };
        // SAFETY: the structure and the descriptors live during the call.
        let done = unsafe {
            libc::syscall(libc::SYS_landlock_add_rule, ruleset.as_raw_fd(), RULE_PATH_BENEATH, &raw const rule, 0u32)
        };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: takes a descriptor and nothing else.
    if unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0u32) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(true)
}

/// From now on this process and all that it starts neither reach sockets with abstract names that were made outside,
/// nor send signals there. Says whether the kernel keeps it: one before [`VERSION_SCOPED`] does not. The process
/// must have given up new privileges (`no_new_privs`).
///
/// # Errors
/// What the kernel says.
#[expect(unsafe_code, reason = "the C library has no functions for these calls")]
pub fn nothing_outside_by_abstract_names() -> io::Result<bool> {
    if version().is_none_or(|version| version < VERSION_SCOPED) {
        return Ok(false);
    }
    let attr =
        ScopedAttr { handled_access_fs: 0, handled_access_net: 0, scoped: SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL };
    // SAFETY: the structure lives during the call and its size is told.
    let fd = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attr, std::mem::size_of::<ScopedAttr>(), 0u32)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given this descriptor to us.
    let ruleset = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    // SAFETY: takes a descriptor and nothing else.
    if unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0u32) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(true)
}
