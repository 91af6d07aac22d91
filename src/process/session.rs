//! Commands that run apart from the operator's terminal.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Has a command lead a session of its own, and so a group: it has no terminal that it could ask on or be
/// stopped by.
///
/// Such a command is forked, not spawned, which is slow for a large process: only for what is rare.
#[expect(unsafe_code, reason = "std offers no session of its own but through what runs before exec")]
pub fn lead_session(command: &mut Command) -> &mut Command {
    // SAFETY: setsid is safe between fork and exec; nothing is allocated.
    unsafe { command.pre_exec(|| rustix::process::setsid().map(drop).map_err(Into::into)) }
}
