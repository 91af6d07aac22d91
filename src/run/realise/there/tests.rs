//! What is said of a workspace that could not be made in a place.

use serde_json::{Value, json};
use wharf_model::RunId;

use super::*;
use crate::dispatch::event_loop::{Inbox, Told};
use crate::dispatch::input::Fact;
use crate::environment::driver::Realised;
use crate::run::scripted::{Said, Script, Scripted, realisation};

fn request() -> RealiseAsk {
    realisation().request
}

async fn told(said: Said<Realised>) -> (String, Option<String>, u32) {
    let (inbox, _) = Inbox::answered_by(|_| Told::default());
    let watch = Watch::new(&inbox, RunId(uuid::Uuid::now_v7()), 1);
    let (driver, there) = Scripted { realise: Script::of([said]), ..Scripted::default() }.there();
    let failed = match realise(&there, request(), &watch).await {
        Ok(made) => panic!("{made:?}"),
        Err(failed) => failed,
    };
    let dropped = *driver.dropped.lock().unwrap();
    (failed.message, failed.cause, dropped)
}

#[tokio::test(start_paused = true)]
async fn a_failure_says_whether_it_was_refused_is_not_known_or_took_too_long() {
    let prefix = "its workspace could not be made in box-1 (ssh): ";
    let refused = told(Said::Answer(Answer::refused("workspace_realization_failed", "no git there"))).await;
    let cause = Some("workspace_realization_failed: no git there".to_owned());
    assert_eq!(refused, (format!("{prefix}refused: no git there"), cause, 0));
    let unknown = told(Said::Answer(Answer::unknown("no route"))).await;
    assert_eq!(unknown, (format!("{prefix}no route"), Some("no route".into()), 0));
    let late = told(Said::Never).await;
    assert_eq!(late, (format!("{prefix}timed out after 300 s"), Some("timed out".into()), 1));
}

#[tokio::test(start_paused = true)]
async fn a_workspace_that_is_there_is_kept_with_what_was_asked() {
    let (inbox, facts) = Inbox::answered_by(|_| Told::default());
    let watch = Watch::new(&inbox, RunId(uuid::Uuid::now_v7()), 1);
    let made = Realised { cwd: "/there/w".into(), sync: "none".into(), record: Value::Null };
    let (driver, there) = Scripted { realise: Script::done([made.clone()]), ..Scripted::default() }.there();
    let asked = request();
    let Ok(got) = realise(&there, asked.clone(), &watch).await else { panic!("it failed") };
    assert_eq!((got.request, got.result), (asked, made));
    assert_eq!(driver.calls(), ["realise /here/w/sub"]);
    assert!(facts.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_carried_is_said() {
    let many: Vec<String> = (1..=7).map(|n| format!("m{n}")).collect();
    for (paths, words) in [
        (json!(["vendor/lib"]), Some("vendor/lib")),
        (json!(many), Some("m1, m2, m3, m4, m5 and 2 more")),
        (json!([]), None),
        (Value::Null, None),
    ] {
        let (inbox, facts) = Inbox::answered_by(|_| Told::default());
        let watch = Watch::new(&inbox, RunId(uuid::Uuid::now_v7()), 1);
        let record = json!({ "not_carried": paths });
        let made = Realised { cwd: "/there/w".into(), sync: "ssh_git_import_export".into(), record };
        let (_, there) = Scripted { realise: Script::done([made]), ..Scripted::default() }.there();
        assert!(realise(&there, request(), &watch).await.is_ok());
        let facts = facts.lock().unwrap();
        let note = |f: &Fact| if let Fact::RunNoted { note, .. } = f { note.clone() } else { None };
        let expected = words.map(|words| format!("not carried to box-1 (ssh), and missing there: {words}"));
        assert_eq!(facts.iter().find_map(note), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_not_kept_waiting_by_a_slow_place() {
    let (inbox, _) = Inbox::answered_by(|_| Told { over: true, ..Told::default() });
    let watch = Watch::new(&inbox, RunId(uuid::Uuid::now_v7()), 1);
    let (driver, there) = Scripted { realise: Script::of([Said::Never]), ..Scripted::default() }.there();
    let began = tokio::time::Instant::now();
    let Err(failed) = realise(&there, request(), &watch).await else { panic!("it was made") };
    assert_eq!(failed.message, "its workspace in box-1 (ssh) was not finished, since a stop was asked");
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(*driver.dropped.lock().unwrap(), 1);
}
