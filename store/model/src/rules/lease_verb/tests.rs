use serde_json::json;

use super::*;
use crate::rules::release::{HolderIs, NotReleasable, Urgency, Waits};

const NOW: UnixMillis = UnixMillis(1_000_000);

fn id(n: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(n)
}

fn environment(driver: Driver) -> EnvironmentRow {
    let mut row = EnvironmentRow::new(EnvironmentId(id(1)), 2, CompanyId(id(2)), "box-1", driver, NOW);
    let config = match driver {
        Driver::Local => json!({}),
        Driver::Ssh => json!({ "host": "box-1.example", "path": "/srv/wharf" }),
        Driver::Sandbox => json!({ "provider": "podman", "image": "debian" }),
        Driver::Plugin => json!({ "command": ["p"], "driver": "cloud" }),
    };
    row.config = json!({ "config": config });
    row
}

fn run(status: RunStatus, observation: Observation) -> RunRow {
    let agent = AgentRow {
        id: AgentId(id(5)),
        company_id: CompanyId(id(2)),
        project_id: ProjectId(id(6)),
        name: "fixer".into(),
        origin: Origin::Config,
        adapter_type: "process".into(),
        status: AgentStatus::Idle,
        status_reason: None,
        default_environment: None,
        concurrent_runs: 1,
        config: json!({}),
        last_run_at: None,
        version: 0,
        created_at: NOW,
        updated_at: NOW,
    };
    let mut row = RunRow::queued(RunId(id(3)), 7, &agent, NOW);
    row.status = status;
    row.observation = observation;
    row.grace_ms = 2_000;
    row
}

fn facts(driver: Driver, status: LeaseStatus, run: Option<RunRow>) -> ReleaseFacts {
    let environment = environment(driver);
    let mut lease = LeaseRow::asked(LeaseId(id(4)), 12, &environment, status, NOW);
    lease.run_id = run.as_ref().map(|r| r.id);
    lease.version = 5;
    ReleaseFacts {
        lease,
        run,
        services: Vec::new(),
        workspace: None,
        environment: Some(environment),
        urgency: Urgency::Usual,
    }
}

fn words(facts: &ReleaseFacts, verb: Verb) -> String {
    effect(facts, verb, NOW).map_or_else(|e| e.to_string(), |e| format!("{e:?}"))
}

#[test]
fn who_holds_a_lease_is_told_with_what_it_was_judged_by() {
    use HolderIs::{Gone, Live, Nobody, Unknown};
    use LeaseStatus::{Active, Released, Retained};
    let is = |status, run: Option<RunRow>, lost: bool, test: bool| {
        let mut facts = facts(Driver::Ssh, status, run);
        if lost {
            facts.lease.run_id = Some(RunId(id(9)));
        }
        facts.lease.request_id = test.then(|| RequestId(id(10)));
        let holder = Holder::of(&facts.lease, facts.run.as_ref().map(HolderRun::from));
        assert!(!holder.evidence.is_empty());
        holder.is
    };
    assert_eq!(is(Active, Some(run(RunStatus::Running, Observation::Live)), false, false), Live);
    assert_eq!(is(Active, Some(run(RunStatus::Running, Observation::Unknown)), false, false), Unknown);
    assert_eq!(is(Active, Some(run(RunStatus::Failed, Observation::Unknown)), false, false), Gone);
    assert_eq!(is(Released, Some(run(RunStatus::Running, Observation::Live)), false, false), Gone);
    assert_eq!(is(Active, None, true, false), Gone);
    assert_eq!(is(Active, None, false, true), Live);
    assert_eq!(is(Retained, None, false, true), Gone);
    assert_eq!(is(Active, None, false, false), Nobody);
}

#[test]
fn of_a_run_that_waits_for_its_lease_nothing_is_said_to_be_seen() {
    for status in [LeaseStatus::Waiting, LeaseStatus::Acquiring] {
        let facts = facts(Driver::Ssh, status, Some(run(RunStatus::Running, Observation::Live)));
        let holder = Holder::of(&facts.lease, facts.run.as_ref().map(HolderRun::from));
        assert_eq!((holder.is, holder.evidence.as_str()), (HolderIs::Live, "its run waits for it"));
    }
}

#[test]
fn how_long_a_release_waits_for_its_holder() {
    let table = [
        (Observation::Live, None, Urgency::Usual, Some(Waits::ForItsEnd)),
        (Observation::Live, None, Urgency::Forced, Some(Waits::AtMost(17_000))),
        (Observation::Live, None, Urgency::Twice, Some(Waits::AtMost(17_000))),
        (Observation::Unknown, None, Urgency::Usual, Some(Waits::ForItsEnd)),
        (Observation::Unknown, None, Urgency::Forced, Some(Waits::AtMost(release::DOUBT_MS))),
        (Observation::Unknown, Some(NOW.plus(9)), Urgency::Forced, Some(Waits::Until(NOW.plus(9)))),
        (Observation::Unknown, Some(NOW.plus(9)), Urgency::Twice, None),
    ];
    for (observation, expires_at, urgency, waits) in table {
        let mut facts = facts(Driver::Ssh, LeaseStatus::Active, Some(run(RunStatus::Running, observation)));
        facts.lease.expires_at = expires_at;
        facts.urgency = urgency;
        let effect = release::effect(&facts).unwrap();
        assert_eq!((effect.waits, effect.stops_run), (waits, Some(RunId(id(3)))), "{observation:?} {urgency:?}");
    }
    for urgency in [Urgency::Usual, Urgency::Forced, Urgency::Twice] {
        let mut facts = facts(Driver::Ssh, LeaseStatus::Active, Some(run(RunStatus::Failed, Observation::Live)));
        facts.urgency = urgency;
        let effect = release::effect(&facts).unwrap();
        assert_eq!((effect.waits, effect.stops_run, effect.holder.is), (None, None, HolderIs::Gone));
    }
}

#[test]
fn what_a_driver_does_is_told_by_the_settings_of_the_lease() {
    use LeaseStatus::{Active, Waiting};
    let does = |driver, status, going| {
        let facts = facts(driver, status, None);
        let does = DriverDoes::expected(&facts.lease, facts.environment.as_ref().unwrap(), going);
        (does.what.unwrap_or_default(), does.how, does.removes)
    };
    let told = |what: &str, how: &str, removes| (what.to_owned(), how.to_owned(), removes);
    assert_eq!(
        does(Driver::Ssh, Active, Going::Back),
        told("its directory on box-1.example", "removed there; the connection is closed", true)
    );
    assert_eq!(
        does(Driver::Sandbox, Active, Going::Aside),
        told("its podman container", "stopped, to be resumed", false)
    );
    assert_eq!(
        does(Driver::Plugin, Active, Going::Away),
        told("what plugin cloud holds", "the plugin is told to destroy it", true)
    );
    assert_eq!(does(Driver::Local, Active, Going::Away).0, "");
    assert_eq!(does(Driver::Ssh, Waiting, Going::Back).0, "");
}

#[test]
fn each_verb_is_possible_in_its_states_only() {
    use LeaseStatus::*;
    let verbs = [
        (Verb::Destroy, vec![Acquiring, Active, Retained, PendingCleanup]),
        (Verb::Extend(60_000), vec![Active, Retained]),
        (Verb::Retain(NOW.plus(60_000)), vec![Active, Retained]),
        (Verb::RetryCleanup, vec![PendingCleanup]),
        (Verb::Shell, vec![Active, Retained]),
    ];
    for (verb, states) in verbs {
        for &status in LeaseStatus::ALL {
            let mut facts = facts(Driver::Ssh, status, None);
            facts.lease.expires_at = Some(NOW.plus(1_000));
            let possible = effect(&facts, verb, NOW);
            assert_eq!(possible.is_ok(), states.contains(&status), "{verb:?} of {status}: {possible:?}");
            if let Err(why) = possible {
                assert!(why.to_string().starts_with("L-12"), "{why}");
            }
        }
    }
}

#[test]
fn destroying_a_held_lease_stops_its_holder_first() {
    let facts = facts(Driver::Ssh, LeaseStatus::Active, Some(run(RunStatus::Running, Observation::Live)));
    let effect = effect(&facts, Verb::Destroy, NOW).unwrap();
    assert_eq!(effect.release.as_ref().unwrap().stops_run, Some(RunId(id(3))));
    assert_eq!(effect.judged.len(), 2, "the run is judged as well");
    assert!(effect.driver.unwrap().removes);
}

#[test]
fn time_is_given_from_the_later_of_now_and_the_end() {
    let mut facts = facts(Driver::Ssh, LeaseStatus::Active, None);
    assert_eq!(
        words(&facts, Verb::Extend(1)),
        "L-12 on box-1 has no expiry: it lives as long as its run; extend the run's deadline instead"
    );
    facts.lease.expires_at = Some(NOW.plus(500));
    assert_eq!(effect(&facts, Verb::Extend(1_000), NOW).unwrap().expires_at, Some(NOW.plus(1_500)));
    facts.lease.expires_at = Some(NOW.plus(-500));
    assert_eq!(effect(&facts, Verb::Extend(1_000), NOW).unwrap().expires_at, Some(NOW.plus(1_000)), "overdue");
    for wrong in [0, -5, TIME_MAX_MS + 1, i64::MAX] {
        assert!(words(&facts, Verb::Extend(wrong)).starts_with("L-12: "), "{wrong}");
    }
    facts.lease.status = LeaseStatus::Retained;
    facts.lease.retain_until = Some(NOW.plus(2_000));
    facts.lease.expires_at = Some(NOW.plus(2_500));
    let kept = effect(&facts, Verb::Extend(1_000), NOW).unwrap();
    assert_eq!((kept.retain_until, kept.expires_at), (Some(NOW.plus(3_000)), Some(NOW.plus(3_000))));
}

#[test]
fn a_lease_is_kept_longer_never_shorter() {
    let mut facts = facts(Driver::Sandbox, LeaseStatus::Active, Some(run(RunStatus::Running, Observation::Live)));
    let kept = effect(&facts, Verb::Retain(NOW.plus(5_000)), NOW).unwrap();
    assert_eq!(kept.retain_until, Some(NOW.plus(5_000)));
    assert!(!kept.driver.unwrap().removes);
    facts.lease.retain_until = Some(NOW.plus(9_000));
    assert!(words(&facts, Verb::Retain(NOW.plus(5_000))).contains("is kept until"));
    assert!(words(&facts, Verb::Retain(NOW)).contains("has passed"));
    assert!(words(&facts, Verb::Retain(NOW.plus(TIME_MAX_MS + 1))).contains("thirty days"));
}

#[test]
fn a_clean_up_that_was_given_up_begins_anew() {
    let mut facts = facts(Driver::Ssh, LeaseStatus::PendingCleanup, None);
    facts.lease.cleanup_attempts = 4;
    let effect_of = |facts: &ReleaseFacts| {
        let effect = effect(facts, Verb::RetryCleanup, NOW).unwrap();
        (effect.try_number, effect.resets_tries)
    };
    assert_eq!(effect_of(&facts), (Some(5), false));
    facts.lease.cleanup_attempts = CLEANUP_TRIES_MAX;
    assert_eq!(effect_of(&facts), (Some(1), true));
}

#[test]
fn a_shell_takes_up_what_was_laid_by_and_keeps_it() {
    let mut facts = facts(Driver::Sandbox, LeaseStatus::Retained, None);
    facts.lease.provider_lease_id = Some("c-1".into());
    facts.lease.retain_until = Some(NOW.plus(1));
    let shell = effect(&facts, Verb::Shell, NOW).unwrap();
    assert_eq!((shell.resumes, shell.retain_until), (true, Some(NOW.plus(SHELL_KEEPS_MS))));
    facts.lease.deadline_at = Some(NOW.plus(1));
    assert!(words(&facts, Verb::Shell).contains("is being laid by"));
    facts.lease.status = LeaseStatus::Active;
    assert!(!effect(&facts, Verb::Shell, NOW).unwrap().resumes);
}

#[test]
fn what_has_ended_or_is_ending_cannot_be_released() {
    for &status in LeaseStatus::ALL {
        let effect = release::effect(&facts(Driver::Local, status, None));
        match status {
            LeaseStatus::Releasing => assert!(matches!(effect, Err(NotReleasable::Releasing { .. }))),
            _ if status.is_terminal() => assert!(matches!(effect, Err(NotReleasable::Ended { .. }))),
            _ => assert!(effect.is_ok(), "{status}"),
        }
    }
}
