//! A command that runs in a place beside this machine, as a shim of this machine starts it.

use crate::environment::target::{Inside, Target, Wrapped};

/// Variable of the command of this machine that follows what runs in a place: the grace there, in milliseconds,
/// between SIGTERM and force.
pub const GRACE_VARIABLE: &str = "WHARF_GRACE_MS";
/// Time that a shim gives such a command beyond that grace: the way there and back takes time too.
pub const FOLLOWER_MS: u64 = 5_000;

/// Wraps a command for a shim. A command of a place finds its own grace in [`GRACE_VARIABLE`], and the tag by which
/// it is found itself; neither travels any further unless the target lets all be inherited.
pub fn wrap(target: &Target, inside: &Inside<'_>, tag: &str, grace_ms: u64) -> Wrapped {
    let mut wrapped = target.wrap(inside);
    if !target.is_here() {
        wrapped.env.insert("WHARF_TAG".into(), tag.to_owned());
        wrapped.env.insert(GRACE_VARIABLE.into(), grace_ms.to_string());
    }
    wrapped
}

/// The grace that a shim keeps, so that what it keeps can keep its own.
pub fn shim_grace(target: &Target, grace_ms: u64) -> u64 {
    if target.is_here() { grace_ms } else { grace_ms.saturating_add(FOLLOWER_MS) }
}

/// The same for a stop that is asked of a shim later, told by the names of the variables it was started with.
pub fn asked_grace(env_names: &[String], grace_ms: u64) -> u64 {
    let follows = env_names.iter().any(|name| name == GRACE_VARIABLE);
    if follows { grace_ms.saturating_add(FOLLOWER_MS) } else { grace_ms }
}
