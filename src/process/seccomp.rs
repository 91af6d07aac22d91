//! A filter of the kernel's (seccomp) that keeps a process from typing into its own terminal.

use std::io;

use libc::{sock_filter, sock_fprog};

/// The architecture that this program was made for, as the kernel names it to filters; none where it is not known here.
const ARCHITECTURE: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xC000_003E)
} else if cfg!(target_arch = "aarch64") {
    Some(0xC000_00B7)
} else {
    None
};

/// Puts a byte into a terminal's input, as if it had been typed.
const TIOCSTI: u32 = 0x5412;
/// The console's own commands, among them to paste a selection.
const TIOCLINUX: u32 = 0x541C;
/// Calls from here on are those of another convention on the same processor (x32), or no calls.
const OTHER_CALLS: u32 = 0x4000_0000;

/// Where the kernel puts what a filter looks at.
const AT_CALL: u32 = 0;
const AT_ARCHITECTURE: u32 = 4;
/// Lower half of the second argument: the kernel itself reads no more of the number of an ioctl.
const AT_SECOND_ARGUMENT: u32 = 24;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// From now on neither this process nor anything that it starts can put input into a terminal, whoever's it is.
/// A program of another architecture is ended at its first call: its numbers are others. The process must have
/// given up new privileges (`no_new_privs`).
///
/// # Errors
/// `Unsupported` on an architecture whose numbers are not known; else what the kernel says. Nothing is kept then.
#[expect(unsafe_code, reason = "the C library has no function for this call")]
pub fn no_typing_into_terminals() -> io::Result<()> {
    let architecture = ARCHITECTURE.ok_or_else(|| {
        io::Error::new(io::ErrorKind::Unsupported, "the numbers of calls are known for x86_64 and aarch64 only")
    })?;
    let step = |code: u16, k: u32| sock_filter { code, jt: 0, jf: 0, k };
    let test = |code: u16, k: u32, jt: u8, jf: u8| sock_filter { code, jt, jf, k };
    let refused = |errno: i32| libc::SECCOMP_RET_ERRNO | (errno as u32 & libc::SECCOMP_RET_DATA);
    let mut filter = [
        step(LOAD, AT_ARCHITECTURE),
        test(IF_EQUAL, architecture, 1, 0),
        step(RETURN, libc::SECCOMP_RET_KILL_PROCESS),
        step(LOAD, AT_CALL),
        test(IF_AT_LEAST, OTHER_CALLS, 0, 1),
        step(RETURN, refused(libc::ENOSYS)),
        test(IF_EQUAL, libc::SYS_ioctl as u32, 0, 3),
        step(LOAD, AT_SECOND_ARGUMENT),
        test(IF_EQUAL, TIOCSTI, 2, 0),
        test(IF_EQUAL, TIOCLINUX, 1, 0),
        step(RETURN, libc::SECCOMP_RET_ALLOW),
        step(RETURN, refused(libc::EPERM)),
    ];
    let program = sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its steps live during the call, which copies them.
    let done = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0u32, &raw const program) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
