//! The idle time of services that run and that nobody uses.

use wharf_model::rules::release::AfterLastUser;
use wharf_model::rules::service_desired::{after_last, is_reported};
use wharf_model::{ServiceId, ServiceRow, ServiceStatus, UnixMillis};

use super::in_use;
use crate::dispatch::decide::Deciding;

/// Begins the idle time of every service that runs unused and counts down nothing yet, however it came to run: by an
/// operator's start or restart no last user ever leaves. Each decision ends with it, so it holds from the beginning of
/// a reign on.
pub(crate) fn count_down(d: &mut Deciding<'_, '_>) {
    let now = d.now();
    let begins: Vec<(ServiceId, UnixMillis)> = d
        .state()
        .services
        .values()
        .filter(|s| s.status == ServiceStatus::Running && s.idle_deadline_at.is_none() && !is_reported(s))
        .filter_map(|s| match after_last(s) {
            AfterLastUser::Idle(ms) => Some((s.id, now.plus(ms))),
            AfterLastUser::Stop | AfterLastUser::Keep => None,
        })
        .filter(|(id, _)| !in_use(d, *id))
        .collect();
    for (id, at) in begins {
        d.tx.update::<ServiceRow>(id, |s| s.idle_deadline_at = Some(at));
    }
}
