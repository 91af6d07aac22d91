//! What is reported of a driver's answers about leases, late ones and lost ones among them.

use std::collections::BTreeMap;

use uuid::Uuid;
use wharf_model::{Driver as Kind, LeaseEnd, LeaseStatus};

use super::acquire::{ACQUIRE_LIMIT, obtain};
use super::*;
use crate::dispatch::event_loop::{Inbox, Told};
use crate::environment::driver::{Acquired, Place, Queue, Resumed};
use crate::run::place::LATE;
use crate::run::scripted::{Said, Script, Scripted, environment, lease};

fn action() -> ActionId {
    ActionId(Uuid::now_v7())
}

/// A lease that is asked for.
fn asked() -> LeaseJob {
    let environment = environment(Kind::Ssh);
    let lease = LeaseRow { status: LeaseStatus::Acquiring, provider_lease_id: None, ..lease(&environment) };
    LeaseJob { lease, environment, project: None }
}

fn place(id: &str) -> Place {
    Place { provider_lease_id: Some(id.into()), expires_at: None, facts: Value::Null }
}

fn queued(position: u32) -> Queue {
    let reason = "all nodes are taken (4 of 4)".into();
    Queue { provider_lease_id: Some("q1".into()), reason, position: Some(position), expected_at: None }
}

fn seen(state: Seen) -> BTreeMap<String, Seen> {
    BTreeMap::from([("q1".to_owned(), state)])
}

fn unknown<T>(evidence: &str) -> Said<T> {
    Said::Answer(Answer::unknown(evidence))
}

/// What was told of a queue: position and reason.
fn told(facts: &[Fact]) -> Vec<(Option<u32>, String)> {
    let queue = |f: &Fact| if let Fact::LeaseQueued { queue, .. } = f { Some(queue.clone()) } else { None };
    facts.iter().filter_map(queue).map(|q| (q.position, q.reason)).collect()
}

#[tokio::test(start_paused = true)]
async fn one_that_is_queued_is_told_so_until_it_is_held() {
    let driver = Scripted {
        acquire: Script::done([Acquired::Queued(queued(2)), Acquired::Held(place("p"))]),
        observe: Script::done([seen(Seen::Queued(queued(1))), seen(Seen::Queued(queued(1))), seen(Seen::Held(None))]),
        ..Scripted::default()
    };
    let (inbox, facts) = Inbox::answered_by(|_| Told::default());
    let got = obtain(&inbox, &driver, action(), &asked()).await;
    let Fact::LeaseAcquired { provider_lease_id, provider, resumed, .. } = got else { panic!("{got:?}") };
    assert_eq!((provider_lease_id.as_deref(), provider.as_str(), resumed), (Some("p"), "ssh", false));
    // Each place once: what has not changed is not told again and again.
    let reason = "all nodes are taken (4 of 4)".to_owned();
    assert_eq!(told(&facts.lock().unwrap()), [(Some(2), reason.clone()), (Some(1), reason)]);
    assert_eq!(driver.calls(), ["acquire L-12", "observe q1", "observe q1", "observe q1", "acquire L-12"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_queued_for_ever_stays_as_long_as_somebody_waits() {
    let driver = Scripted {
        acquire: Script::done([Acquired::Queued(queued(9))]),
        observe: Script::done([seen(Seen::Queued(queued(9)))]),
        ..Scripted::default()
    };
    let mut asked_to_wait = 0;
    let (inbox, facts) = Inbox::answered_by(move |_| {
        asked_to_wait += 1;
        Told { over: asked_to_wait > 10, ..Told::default() }
    });
    let began = tokio::time::Instant::now();
    let got = obtain(&inbox, &driver, action(), &asked()).await;
    assert!(matches!(&got, Fact::LeaseRefused { code, .. } if code == "cancelled"), "{got:?}");
    assert_eq!(facts.lock().unwrap().len(), 11);
    assert_eq!(began.elapsed().as_secs(), 10 * 30, "what has not changed is told twice a minute");
}

#[tokio::test(start_paused = true)]
async fn a_queue_is_not_left_because_its_controller_is_away() {
    let driver = Scripted {
        acquire: Script::of([
            Said::Answer(Answer::Done(Acquired::Queued(queued(3)))),
            unknown("no controller"),
            Said::Answer(Answer::Done(Acquired::Held(place("p")))),
        ]),
        observe: Script::of([
            unknown("no controller"),
            Said::Never,
            Said::Answer(Answer::Done(BTreeMap::new())),
            Said::Answer(Answer::Done(seen(Seen::Gone))),
        ]),
        ..Scripted::default()
    };
    let (inbox, facts) = Inbox::answered_by(|_| Told::default());
    let got = obtain(&inbox, &driver, action(), &asked()).await;
    assert!(matches!(got, Fact::LeaseAcquired { .. }), "{got:?}");
    let reasons: Vec<String> = told(&facts.lock().unwrap()).into_iter().map(|(_, reason)| reason).collect();
    let reason = "all nodes are taken (4 of 4)";
    let late = format!("{reason} ({LATE})");
    let away = format!("{reason} (no controller)");
    assert_eq!(reasons, [reason, &away, &late, &away]);
    assert_eq!(*driver.dropped.lock().unwrap(), 1, "a question that is not answered is dropped");

    // An earlier reign stood in it.
    let mut job = asked();
    job.lease.queue = serde_json::to_value(queued(2)).ok();
    let driver = Scripted {
        acquire: Script::of([unknown("no controller"), Said::Answer(Answer::Done(Acquired::Held(place("p"))))]),
        observe: Script::done([BTreeMap::new()]),
        ..Scripted::default()
    };
    let got = obtain(&inbox, &driver, action(), &job).await;
    assert!(matches!(got, Fact::LeaseAcquired { .. }), "{got:?}");
}

#[tokio::test(start_paused = true)]
async fn acquire_table() {
    let refused = || Answer::refused("lease_acquire_failed", "no such image");
    let table: [(Said<Acquired>, &str); 3] = [
        (Said::Answer(refused()), "lease_acquire_failed: no such image"),
        (unknown("no route"), "again: no route"),
        (Said::Never, "again: the driver did not answer in time"),
    ];
    let (inbox, _) = Inbox::answered_by(|_| Told::default());
    for (said, words) in table {
        let never = matches!(said, Said::Never);
        let driver = Scripted { acquire: Script::of([said]), ..Scripted::default() };
        let began = tokio::time::Instant::now();
        let got = match obtain(&inbox, &driver, action(), &asked()).await {
            Fact::LeaseRefused { code, message, .. } => format!("{code}: {message}"),
            Fact::ActionFailed { error, .. } => format!("again: {error}"),
            other => panic!("{other:?}"),
        };
        assert_eq!(got, words);
        assert_eq!(*driver.dropped.lock().unwrap(), u32::from(never));
        assert_eq!(began.elapsed(), if never { ACQUIRE_LIMIT } else { Duration::ZERO });
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_lease_held_is_taken_over_unless_it_is_certain_that_it_is_gone() {
    let mut job = asked();
    (job.lease.resumed_from, job.lease.provider_lease_id) = (Some(job.lease.id), Some("old".into()));
    let (inbox, facts) = Inbox::answered_by(|_| Told::default());
    let acquire = || Script::done([Acquired::Held(place("new"))]);

    let driver = Scripted { resume: Script::done([Resumed::Held(place("old"))]), ..Scripted::default() };
    let got = obtain(&inbox, &driver, action(), &job).await;
    assert!(matches!(got, Fact::LeaseAcquired { resumed: true, .. }), "{got:?}");

    let driver = Scripted { resume: Script::done([Resumed::Gone]), acquire: acquire(), ..Scripted::default() };
    let got = obtain(&inbox, &driver, action(), &job).await;
    assert!(matches!(got, Fact::LeaseAcquired { resumed: false, .. }), "{got:?}");
    assert_eq!(driver.calls(), ["resume old", "acquire L-12"]);
    // The row is told so first.
    assert_eq!(*facts.lock().unwrap(), [Fact::LeasePlaceGone { lease: job.lease.id }]);

    // Given back meanwhile: nothing is made that nobody would find.
    let (over, _) = Inbox::answered_by(|_| Told { over: true, ..Told::default() });
    let driver = Scripted { resume: Script::done([Resumed::Gone]), acquire: acquire(), ..Scripted::default() };
    let got = obtain(&over, &driver, action(), &job).await;
    assert!(matches!(&got, Fact::LeaseRefused { code, .. } if code == "cancelled"), "{got:?}");
    assert_eq!(driver.calls(), ["resume old"]);

    // Unknown is not gone: no second place is made beside it.
    let driver = Scripted { resume: Script::of([unknown("no route")]), acquire: acquire(), ..Scripted::default() };
    let got = obtain(&inbox, &driver, action(), &job).await;
    assert!(matches!(got, Fact::ActionFailed { .. }), "{got:?}");
    assert_eq!(driver.calls(), ["resume old"]);
}

#[tokio::test(start_paused = true)]
async fn no_call_outlasts_the_deadline_of_its_lease() {
    let job = |left_s: i64| {
        let mut job = asked();
        job.lease.deadline_at = Some(crate::clock::now().plus(left_s * 1_000));
        (job.lease.resumed_from, job.lease.provider_lease_id) = (Some(job.lease.id), Some("old".into()));
        job
    };
    let (inbox, _) = Inbox::answered_by(|_| Told::default());
    let scripted = |resume| Scripted { resume, acquire: Script::of([Said::Never]), ..Scripted::default() };
    let near = |took: Duration, seconds: u64| took.abs_diff(Duration::from_secs(seconds)) < Duration::from_secs(2);
    for (left_s, seconds) in [(300, 290), (100, 90), (8, 1), (-5, 1), (3_000, 290)] {
        let began = tokio::time::Instant::now();
        let driver = scripted(Script::of([Said::Never]));
        assert!(matches!(obtain(&inbox, &driver, action(), &job(left_s)).await, Fact::ActionFailed { .. }));
        assert!(near(began.elapsed(), seconds), "{left_s}: {:?}", began.elapsed());
        let began = tokio::time::Instant::now();
        let driver = scripted(Script::done([Resumed::Gone]));
        assert!(matches!(obtain(&inbox, &driver, action(), &job(left_s)).await, Fact::ActionFailed { .. }));
        assert!(near(began.elapsed(), seconds), "{left_s}: {:?}", began.elapsed());
    }
    // Both calls share the time, and one in the provider's queue has its own.
    let budget = acquire::Budget::of(&job(300).lease, crate::clock::now());
    tokio::time::advance(Duration::from_secs(200)).await;
    assert!(near(budget.call(), 90), "{:?}", budget.call());
    let mut queued_job = job(8);
    (queued_job.lease.resumed_from, queued_job.lease.queue) = (None, serde_json::to_value(queued(2)).ok());
    let driver = Scripted {
        acquire: Script::of([Said::Never, Said::Answer(Answer::Done(Acquired::Held(place("p"))))]),
        observe: Script::done([seen(Seen::Held(None))]),
        ..Scripted::default()
    };
    let began = tokio::time::Instant::now();
    assert!(matches!(obtain(&inbox, &driver, action(), &queued_job).await, Fact::LeaseAcquired { .. }));
    assert!(began.elapsed() >= ACQUIRE_LIMIT);
}

#[tokio::test(start_paused = true)]
async fn release_table() {
    let row = lease(&environment(Kind::Ssh));
    let ends = [
        (None, false, "release Released"),
        (Some(LeaseEnd::Released), false, "release Released"),
        (Some(LeaseEnd::Failed), false, "release Failed"),
        (Some(LeaseEnd::Expired), false, "release Expired"),
        (Some(LeaseEnd::Failed), true, "release Kept"),
    ];
    for (end_reason, kept, call) in ends {
        let driver = Scripted { release: Script::done([()]), ..Scripted::default() };
        let fact = give_back(&driver, action(), &LeaseRow { end_reason, ..row.clone() }, kept).await;
        assert_eq!(driver.calls(), [call]);
        let is_right = match fact {
            Fact::LeaseLaidBy { failed: None, .. } => kept,
            Fact::LeaseReleased { .. } => !kept,
            _ => false,
        };
        assert!(is_right, "{call}");
    }
    let failures: [(fn() -> Said<()>, &str); 3] = [
        (|| Said::Answer(Answer::refused("lease_release_failed", "busy")), "lease_release_failed: busy"),
        (|| unknown("no route"), "no route"),
        (|| Said::Never, LATE),
    ];
    for (said, words) in failures {
        let driver =
            || Scripted { release: Script::of([said()]), destroy: Script::of([said()]), ..Scripted::default() };
        for fact in [
            give_back(&driver(), action(), &row, false).await,
            give_back(&driver(), action(), &row, true).await,
            remove(&driver(), action(), &row).await,
        ] {
            let (Fact::LeaseReleaseFailed { message, .. } | Fact::LeaseLaidBy { failed: Some(message), .. }) = fact
            else {
                panic!("{fact:?}")
            };
            assert_eq!(message, words);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_provider_says_of_its_time_is_told_as_it_is() {
    let row = lease(&environment(Kind::Ssh));
    let ask = |said| async {
        let driver = Scripted { extend: Script::of([said]), ..Scripted::default() };
        ask_time(&driver, action(), &row, UnixMillis(500)).await
    };
    let done = |extended| Said::Answer(Answer::Done(extended));
    let got = ask(done(Extended::Until(UnixMillis(400)))).await;
    assert!(matches!(got, Fact::LeaseExtended { until: UnixMillis(400), .. }), "{got:?}");
    let got = ask(done(Extended::Refused { latest: UnixMillis(300) })).await;
    assert!(matches!(got, Fact::LeaseNotExtended { latest: Some(UnixMillis(300)), .. }), "{got:?}");
    for said in [unknown("no route"), Said::Never] {
        let got = ask(said).await;
        assert!(matches!(got, Fact::LeaseNotExtended { latest: None, .. }), "{got:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_provider_that_says_so_makes_a_lease_gone() {
    let row = LeaseRow { provider_lease_id: Some("q1".into()), ..lease(&environment(Kind::Ssh)) };
    let table: [(Said<BTreeMap<String, Seen>>, LeaseSeen); 6] = [
        (Said::Answer(Answer::Done(seen(Seen::Held(Some(UnixMillis(9)))))), LeaseSeen::Held(Some(UnixMillis(9)))),
        (Said::Answer(Answer::Done(seen(Seen::Gone))), LeaseSeen::Gone),
        (
            Said::Answer(Answer::Done(seen(Seen::Queued(queued(1))))),
            LeaseSeen::Unknown("it is queued: all nodes are taken (4 of 4)".into()),
        ),
        (Said::Answer(Answer::Done(BTreeMap::new())), LeaseSeen::Unknown("the provider says nothing of it".into())),
        (unknown("no route"), LeaseSeen::Unknown("no route".into())),
        (Said::Never, LeaseSeen::Unknown(LATE.into())),
    ];
    for (said, expected) in table {
        let driver = Scripted { observe: Script::of([said]), ..Scripted::default() };
        assert_eq!(look(&driver, &row).await, expected);
    }
    let nameless = LeaseRow { provider_lease_id: None, ..row };
    assert!(matches!(look(&Scripted::default(), &nameless).await, LeaseSeen::Unknown(_)));
}
