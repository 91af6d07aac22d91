//! A command that runs in a place beside this machine, as a shim of this machine starts it.

use crate::environment::target::{EnvPass, GRACE_MEMBER, GRACE_VARIABLE, Inside, Target, Wrapped};

/// Time that a shim gives such a command beyond that grace: the way there and back takes time too.
pub const FOLLOWER_MS: u64 = 5_000;

/// Whether what runs in the place is followed by a command of this machine. Whoever inherits all variables was started
/// by the wrapping command itself: a shim sees its processes and can end them.
fn is_followed(target: &Target) -> bool {
    !target.is_here() && target.env != EnvPass::Inherited
}

/// Wraps a command for a shim. A command that follows what runs in a place finds the grace of there in
/// [`GRACE_VARIABLE`], and has the tag by which it is found itself; neither travels any further.
pub fn wrap(target: &Target, inside: &Inside<'_>, tag: &str, grace_ms: u64) -> Wrapped {
    if !is_followed(target) {
        return target.wrap(inside);
    }
    let mut target = target.clone();
    if let Some(grace) = target.block.get_mut(GRACE_MEMBER) {
        *grace = grace_ms.into();
    }
    let mut wrapped = target.wrap(inside);
    wrapped.env.insert("WHARF_TAG".into(), tag.to_owned());
    wrapped.env.insert(GRACE_VARIABLE.into(), grace_ms.to_string());
    wrapped
}

/// The grace that a shim keeps, so that what it keeps can keep its own.
pub fn shim_grace(target: &Target, grace_ms: u64) -> u64 {
    if is_followed(target) { grace_ms.saturating_add(FOLLOWER_MS) } else { grace_ms }
}

/// The same for a stop that is asked of a shim later, told by the names of the variables it was started with.
pub fn asked_grace(env_names: &[String], grace_ms: u64) -> u64 {
    let follows = env_names.iter().any(|name| name == GRACE_VARIABLE);
    if follows { grace_ms.saturating_add(FOLLOWER_MS) } else { grace_ms }
}
