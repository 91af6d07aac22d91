//! How the end of a run in a place is found out: as long as it takes, never by guessing.

use std::sync::{Arc, Mutex};

use uuid::Uuid;
use wharf_model::RunId;

use super::*;
use crate::dispatch::event_loop::{Inbox, Told};
use crate::dispatch::input::Fact;
use crate::run::scripted::{Said, Script, Scripted, process};

const TAG: &str = "run/u/1";

struct Desk {
    inbox: Inbox,
    facts: Arc<Mutex<Vec<Fact>>>,
    run: RunId,
}

impl Desk {
    /// One that gives the run up at the n-th fact that says why it is in doubt.
    fn patient_until(doubts: usize) -> Self {
        let mut seen = 0;
        let (inbox, facts) = Inbox::answered_by(move |fact| {
            seen += usize::from(matches!(fact, Fact::RunObserved { unknown: Some(_), .. }));
            Told { ended: seen >= doubts, over: true, ..Told::default() }
        });
        Self { inbox, facts, run: RunId(Uuid::now_v7()) }
    }

    fn new() -> Self {
        Self::patient_until(usize::MAX)
    }

    fn watch(&self) -> Watch<'_> {
        Watch::new(&self.inbox, self.run, 1)
    }

    /// What was told of doubt: why, or that it is over.
    fn doubts(&self) -> Vec<Option<String>> {
        let facts = self.facts.lock().unwrap();
        let doubt = |f: &Fact| if let Fact::RunObserved { unknown, .. } = f { Some(unknown.clone()) } else { None };
        facts.iter().filter_map(doubt).collect()
    }
}

fn unknown<T>(evidence: &str) -> Said<T> {
    Said::Answer(Answer::unknown(evidence))
}

fn stop() -> Stop<'static> {
    Stop::new(TAG, 15_000, false)
}

#[test]
fn whoever_was_killed_after_its_grace_is_given_little_more() {
    assert_eq!(Stop::new(TAG, 15_000, false).grace, Duration::from_secs(15));
    assert_eq!(Stop::new(TAG, 15_000, true).grace, SHORT_GRACE);
    assert_eq!(Stop::new(TAG, 500, true).grace, Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn a_run_has_ended_when_nothing_lives_there_and_its_results_are_here() {
    let desk = Desk::new();
    let brought = Collected { changed: true, ..Collected::default() };
    let (driver, there) = Scripted {
        list: Script::done([vec![process(7), process(8)]]),
        stop: Script::done([vec![]]),
        collect: Script::done([brought.clone()]),
        ..Scripted::default()
    }
    .there();
    let settled = settle(&Venue::There(Box::new(there)), stop(), &desk.watch()).await.unwrap();
    assert_eq!(settled.collected, Some(Ok(brought)));
    assert_eq!(
        settled.stopped.as_deref(),
        Some("2 of its processes lived on in box-1 (ssh) and were stopped: sleep 7, sleep 8")
    );
    assert_eq!(driver.calls(), ["list run/u/1", "stop run/u/1 15000", "collect /there/w/sub"]);
    assert_eq!(desk.doubts(), []);
}

#[tokio::test(start_paused = true)]
async fn where_files_are_shared_nothing_is_brought_back() {
    let desk = Desk::new();
    let (driver, there) = Scripted { shared_files: true, list: Script::done([vec![]]), ..Scripted::default() }.there();
    let settled = settle(&Venue::There(Box::new(there)), stop(), &desk.watch()).await.unwrap();
    assert_eq!((settled.collected, settled.stopped), (None, None));
    assert_eq!(driver.calls(), ["list run/u/1"]);
}

#[tokio::test(start_paused = true)]
async fn a_driver_is_asked_before_it_is_believed_that_it_cannot_say() {
    let refused = || Said::Answer(Answer::refused("probe_failed", "it has no such method"));
    let desk = Desk::new();
    let (driver, there) =
        Scripted { silent: true, shared_files: true, list: Script::of([refused()]), ..Scripted::default() }.there();
    assert!(settle(&Venue::There(Box::new(there)), stop(), &desk.watch()).await.is_some());
    assert_eq!((driver.calls(), desk.doubts()), (vec!["list run/u/1".to_owned()], vec![]));
    // One that lists otherwise and refuses now has said nothing about what lives.
    let desk = Desk::patient_until(1);
    let (_, there) = Scripted { shared_files: true, list: Script::of([refused()]), ..Scripted::default() }.there();
    assert!(settle(&Venue::There(Box::new(there)), stop(), &desk.watch()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_found_out_is_asked_again_until_it_can() {
    let desk = Desk::new();
    let (driver, there) = Scripted {
        list: Script::of([unknown("no route"), Said::Never, unknown("no route"), Said::Answer(Answer::Done(vec![]))]),
        collect: Script::of([unknown("no route"), Said::Answer(Answer::Done(Collected::default()))]),
        ..Scripted::default()
    }
    .there();
    let began = tokio::time::Instant::now();
    let settled = settle(&Venue::There(Box::new(there)), stop(), &desk.watch()).await.unwrap();
    assert_eq!(settled.collected, Some(Ok(Collected::default())));
    // Pauses grow, and a call that does not end is dropped at its limit.
    assert_eq!(began.elapsed().as_secs(), 1 + 30 + 2 + 5 + 1);
    assert_eq!(*driver.dropped.lock().unwrap(), 1);
    let doubts = desk.doubts();
    assert_eq!(doubts.iter().filter(|d| d.is_some()).count(), 4, "{doubts:?}");
    assert_eq!(doubts.iter().filter(|d| d.is_none()).count(), 2, "{doubts:?}");
    let first = doubts[0].as_deref().unwrap();
    assert_eq!(first, "whether it has ended in box-1 (ssh) is not known: no route");
    let last = doubts[4].as_deref().unwrap();
    assert_eq!(last, "what it changed in box-1 (ssh) is not brought back yet: no route");
}

#[tokio::test(start_paused = true)]
async fn processes_that_live_on_are_never_called_stopped() {
    let desk = Desk::patient_until(3);
    let (driver, there) = Scripted {
        list: Script::done([vec![process(7)]]),
        stop: Script::done([vec![process(7)]]),
        ..Scripted::default()
    }
    .there();
    // The operator gives it up; until then its end is not told.
    assert!(settle(&Venue::There(Box::new(there)), stop(), &desk.watch()).await.is_none());
    assert!(desk.doubts()[0].as_deref().unwrap().ends_with("1 of its processes live on: sleep 7"));
    assert!(!driver.calls().iter().any(|call| call.starts_with("collect")));
}

#[tokio::test(start_paused = true)]
async fn a_call_under_way_ends_when_the_run_is_given_up() {
    let (inbox, facts) = Inbox::answered_by(|_| Told { ended: true, ..Told::default() });
    let desk = Desk { inbox, facts, run: RunId(Uuid::now_v7()) };
    let (driver, there) = Scripted { list: Script::of([Said::Never]), ..Scripted::default() }.there();
    let began = tokio::time::Instant::now();
    assert!(settle(&Venue::There(Box::new(there)), stop(), &desk.watch()).await.is_none());
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(*driver.dropped.lock().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn results_that_the_driver_refuses_are_an_error_and_no_doubt() {
    let desk = Desk::new();
    let (_, there) = Scripted {
        list: Script::done([vec![]]),
        collect: Script::of([Said::Answer(Answer::refused("workspace_realization_failed", "its directory is gone"))]),
        ..Scripted::default()
    }
    .there();
    let settled = settle(&Venue::There(Box::new(there.clone())), stop(), &desk.watch()).await.unwrap();
    let why = "box-1 (ssh): workspace_realization_failed: its directory is gone";
    assert_eq!(settled.collected, Some(Err(why.into())));
    // The same where it is not known what to bring back, and where the lease is gone.
    let there = There { realisation: None, ..there };
    let settled = settle(&Venue::There(Box::new(there)), stop(), &desk.watch()).await.unwrap();
    assert!(settled.collected.unwrap().is_err());
    for carries in [true, false] {
        let gone = Venue::Gone { why: "its lease is gone".into(), carries };
        let settled = settle(&gone, stop(), &desk.watch()).await.unwrap();
        assert_eq!(settled.collected, carries.then(|| Err("its lease is gone".into())));
    }
    assert_eq!(desk.doubts(), []);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_cannot_be_asked_keeps_its_run_in_doubt() {
    let desk = Desk::patient_until(2);
    assert!(settle(&Venue::Unreachable("no such driver".into()), stop(), &desk.watch()).await.is_none());
    assert_eq!(desk.doubts()[0].as_deref(), Some("where it ran cannot be asked: no such driver"));
}

#[tokio::test(start_paused = true)]
async fn of_a_lost_run_what_lives_is_stopped_and_its_work_is_brought_back() {
    let brought = Collected { changed: true, ..Collected::default() };
    let table = [
        (vec![Said::Answer(Answer::Done(brought.clone()))], Ok(brought), "what it changed was brought back"),
        (
            vec![unknown("no route"), Said::Answer(Answer::Done(Collected::default()))],
            Ok(Collected::default()),
            "it had changed nothing",
        ),
        (
            vec![Said::Answer(Answer::refused("workspace_realization_failed", "its directory is gone"))],
            Err("box-1 (ssh): workspace_realization_failed: its directory is gone"),
            "what it changed was not brought back: box-1 (ssh): workspace_realization_failed: its directory is gone",
        ),
        // It is not asked for ever.
        (
            vec![unknown("no route")],
            Err("box-1 (ssh): no route"),
            "what it changed was not brought back: box-1 (ssh): no route",
        ),
    ];
    for (said, collected, words) in table {
        let desk = Desk::new();
        let tries = if said.len() == 2 {
            2
        } else if collected == Err("box-1 (ssh): no route") {
            LOST_TRIES
        } else {
            1
        };
        let (driver, there) = Scripted {
            list: Script::of([unknown("no route"), Said::Answer(Answer::Done(vec![]))]),
            collect: Script::of(said),
            ..Scripted::default()
        }
        .there();
        let told = settle_lost(&Venue::There(Box::new(there)), stop(), &desk.watch()).await.unwrap();
        assert_eq!(told.words, format!("; nothing of it lives in box-1 (ssh); {words}"));
        assert_eq!(told.collected, Some(collected.map_err(str::to_owned)));
        let asked = driver.calls().iter().filter(|c| c.starts_with("collect")).count();
        assert_eq!(asked, tries as usize);
        assert_eq!(desk.doubts().last(), Some(&None), "it is known in the end");
    }
    let desk = Desk::new();
    assert_eq!(settle_lost(&Venue::Here, stop(), &desk.watch()).await, Some(Lost::default()));
    for (carries, collected) in [(true, Some(Err("its lease is gone".to_owned()))), (false, None)] {
        let gone = Venue::Gone { why: "its lease is gone".into(), carries };
        assert_eq!(settle_lost(&gone, stop(), &desk.watch()).await.unwrap().collected, collected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_run_that_is_given_up_meanwhile_is_asked_about_no_more() {
    let desk = Desk::patient_until(2);
    let (driver, there) =
        Scripted { list: Script::done([vec![]]), collect: Script::of([unknown("no route")]), ..Scripted::default() }
            .there();
    assert_eq!(settle_lost(&Venue::There(Box::new(there)), stop(), &desk.watch()).await, None);
    assert!(driver.calls().len() <= 4, "{:?}", driver.calls());
}
