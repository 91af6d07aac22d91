//! The state that a service is meant to be in: from the config or an operator's word, and what brings it there.

use super::release::{AfterLastUser, after_last_user};
use super::service_restart::is_parked;
use crate::*;

/// What is done to bring a service to where it is meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// It is there, or nothing may be done about it.
    Nothing,
    /// It is started.
    Start,
    /// It is stopped.
    Stop,
}

/// Whether a service is to be kept running. One that belongs to a run, or that others keep, never is.
pub fn is_kept(service: &ServiceRow) -> bool {
    service.desired == Desired::Running && !is_of_a_run(service) && !is_reported(service)
}

/// Whether an adapter keeps it: it is shown, and neither started nor stopped by us.
pub fn is_reported(service: &ServiceRow) -> bool {
    service.provider == PROVIDER_ADAPTER
}

/// Provider of a service that an adapter keeps.
pub const PROVIDER_ADAPTER: &str = "adapter";

fn is_of_a_run(service: &ServiceRow) -> bool {
    service.lifecycle == Lifecycle::Ephemeral || service.scope_type == ReuseScope::Run
}

/// What follows for a service when the last that used it has left: where it is meant to be goes before its policy.
pub fn after_last(service: &ServiceRow) -> AfterLastUser {
    if is_reported(service) {
        let goes = service.scope_type == ReuseScope::Run;
        return if goes { AfterLastUser::Stop } else { AfterLastUser::Keep };
    }
    if is_kept(service) {
        return AfterLastUser::Keep;
    }
    if service.desired == Desired::Stopped && !is_of_a_run(service) {
        return AfterLastUser::Stop;
    }
    match after_last_user(service.lifecycle, service.stop_policy, service.idle_ms) {
        // No later run finds it again by its key, so it would be kept for nobody.
        AfterLastUser::Keep if is_of_a_run(service) => AfterLastUser::Stop,
        follows => follows,
    }
}

/// What is to be done about a service. `used` = a run uses it, or a service that runs needs it; `off` = it may not
/// be started.
pub fn reconcile(service: &ServiceRow, used: bool, off: bool) -> Does {
    use ServiceStatus::*;
    if is_of_a_run(service) || is_reported(service) {
        return Does::Nothing;
    }
    match (service.desired, service.status) {
        (Desired::Running, Stopped | Failed) if !off && !is_parked(service) => Does::Start,
        (Desired::Stopped, Starting | Running | Backoff) if !used => Does::Stop,
        _ => Does::Nothing,
    }
}

/// What an operator's start or stop makes of it; `manual` stays.
pub const fn after_action(desired: Desired, started: bool) -> Desired {
    match desired {
        Desired::Manual => Desired::Manual,
        Desired::Running | Desired::Stopped if started => Desired::Running,
        Desired::Running | Desired::Stopped => Desired::Stopped,
    }
}

/// The state that several services together are meant to be in.
pub fn overall(each: impl IntoIterator<Item = Desired>) -> Desired {
    each.into_iter().fold(Desired::Stopped, |all, one| match (all, one) {
        (Desired::Running, _) | (_, Desired::Running) => Desired::Running,
        (Desired::Manual, _) | (_, Desired::Manual) => Desired::Manual,
        (Desired::Stopped, Desired::Stopped) => Desired::Stopped,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::service_restart::CRASH_LOOP;
    use crate::rules::test_rows::service;

    #[test]
    fn what_brings_a_service_to_where_it_is_meant_to_be() {
        use Desired::{Manual, Running as Run, Stopped as Stop};
        use ServiceStatus::*;
        // Desired, status, used, off -> what is done.
        let table = [
            (Run, Stopped, false, false, Does::Start),
            (Run, Failed, false, false, Does::Start),
            (Run, Failed, false, true, Does::Nothing),
            (Run, Backoff, false, false, Does::Nothing),
            (Run, Running, false, false, Does::Nothing),
            (Run, Stopping, false, false, Does::Nothing),
            (Stop, Running, false, false, Does::Stop),
            (Stop, Running, true, false, Does::Nothing),
            (Stop, Starting, false, true, Does::Stop),
            (Stop, Backoff, false, false, Does::Stop),
            (Stop, Stopping, false, false, Does::Nothing),
            (Stop, Failed, false, false, Does::Nothing),
            (Manual, Running, false, false, Does::Nothing),
            (Manual, Stopped, false, false, Does::Nothing),
        ];
        for (desired, status, used, off, expected) in table {
            let row = ServiceRow { status, desired, ..service() };
            assert_eq!(reconcile(&row, used, off), expected, "{desired} {status} {used} {off}");
            // One of a run, and one that an adapter keeps, are left alone.
            let of_run = ServiceRow { scope_type: ReuseScope::Run, ..row.clone() };
            let reported = ServiceRow { provider: PROVIDER_ADAPTER.into(), ..row };
            assert_eq!(
                (reconcile(&of_run, used, off), reconcile(&reported, used, off)),
                (Does::Nothing, Does::Nothing)
            );
        }
        let parked = ServiceRow { desired: Run, status: Failed, error_code: Some(CRASH_LOOP.into()), ..service() };
        assert_eq!(reconcile(&parked, false, false), Does::Nothing, "until somebody starts it by hand");
    }

    #[test]
    fn the_last_user_leaves_what_is_meant_to_run() {
        let with = |desired, stop_policy| ServiceRow { desired, stop_policy, idle_ms: Some(5_000), ..service() };
        let table = [
            (Desired::Manual, StopPolicy::OnRunFinish, AfterLastUser::Stop),
            (Desired::Manual, StopPolicy::IdleTimeout, AfterLastUser::Idle(5_000)),
            (Desired::Manual, StopPolicy::Manual, AfterLastUser::Keep),
            (Desired::Running, StopPolicy::OnRunFinish, AfterLastUser::Keep),
            (Desired::Stopped, StopPolicy::Manual, AfterLastUser::Stop),
        ];
        for (desired, policy, expected) in table {
            assert_eq!(after_last(&with(desired, policy)), expected, "{desired} {policy}");
        }
        let ephemeral = ServiceRow { lifecycle: Lifecycle::Ephemeral, ..with(Desired::Running, StopPolicy::Manual) };
        assert_eq!(after_last(&ephemeral), AfterLastUser::Stop, "it goes with its run");
        let of_run = |policy| ServiceRow { scope_type: ReuseScope::Run, ..with(Desired::Manual, policy) };
        let ends = [StopPolicy::Manual, StopPolicy::OnRunFinish].map(|policy| after_last(&of_run(policy)));
        assert_eq!(ends, [AfterLastUser::Stop; 2], "no later run can find it");
    }

    #[test]
    fn actions_change_what_is_meant_unless_it_is_manual() {
        use Desired::*;
        let table =
            [(Manual, true, Manual), (Manual, false, Manual), (Stopped, true, Running), (Running, false, Stopped)];
        for (before, started, after) in table {
            assert_eq!(after_action(before, started), after, "{before} {started}");
        }
        assert_eq!(overall([Stopped, Manual, Running]), Running);
        assert_eq!(overall([Stopped, Manual]), Manual);
        assert_eq!(overall([Stopped]), Stopped);
        assert_eq!(overall([]), Stopped);
    }
}
