//! A lost connection is doubt, told within a minute and taken back when it is there again.

use uuid::Uuid;
use wharf_model::RunId;

use super::*;
use crate::dispatch::event_loop::{Inbox, Told};
use crate::dispatch::input::Fact;
use crate::environment::driver::PlaceProcess;
use crate::run::scripted::{Said, Script, Scripted, process};

/// What was told within so many seconds, and how often the place was asked.
async fn told(driver: Scripted, seconds: u64) -> (Vec<Option<String>>, usize) {
    let (inbox, facts) = Inbox::answered_by(|_| Told::default());
    let watch = Watch::new(&inbox, RunId(Uuid::now_v7()), 1);
    let (driver, there) = driver.there();
    let venue = Venue::There(Box::new(there));
    let asking = keep(&venue, "run/u/1", &watch);
    assert!(tokio::time::timeout(Duration::from_secs(seconds), asking).await.is_err());
    let facts = facts.lock().unwrap();
    let doubt = |f: &Fact| if let Fact::RunObserved { unknown, .. } = f { Some(unknown.clone()) } else { None };
    (facts.iter().filter_map(doubt).collect(), driver.calls().len())
}

fn lives() -> Said<Vec<PlaceProcess>> {
    Said::Answer(Answer::Done(vec![process(7)]))
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_told_and_so_is_its_return() {
    let away = || Said::Answer(Answer::unknown("no route"));
    let driver = Scripted { list: Script::of([lives(), away(), Said::Never, lives()]), ..Scripted::default() };
    let (doubts, asked) = told(driver, 5 * 30 + 30 + 1).await;
    let words = |why: &str| Some(format!("box-1 (ssh) does not say whether it goes on: {why}"));
    assert_eq!(doubts, [words("no route"), words("the driver did not answer in time"), None]);
    assert_eq!(asked, 5);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_need_not_or_cannot_say_is_left_alone() {
    let shared = Scripted { shared_files: true, ..Scripted::default() };
    assert_eq!(told(shared, 600).await, (Vec::new(), 0));
    let refused = Said::Answer(Answer::refused("probe_failed", "it has no such method"));
    let silent = Scripted { silent: true, list: Script::of([refused]), ..Scripted::default() };
    assert_eq!(told(silent, 600).await, (Vec::new(), 1));
}
