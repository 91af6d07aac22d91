//! Places between two durable steps, for tests that end the process there as a crash would.

use std::sync::OnceLock;

static HOOK: OnceLock<fn(&'static str)> = OnceLock::new();

/// Tells `hook` of every such place that is passed from now on (contracts 10, `store.*`). The first one stays.
/// Only debug builds ever call it.
pub fn on_point(hook: fn(&'static str)) {
    let _first_stays = HOOK.set(hook);
}

/// Passes a place.
pub(crate) fn pass(name: &'static str) {
    if cfg!(debug_assertions)
        && let Some(hook) = HOOK.get()
    {
        hook(name);
    }
}
