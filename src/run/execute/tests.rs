//! How a run's command is found where it works: never on this machine by mistake, and not for ever.

use wharf_model::{LeaseRow, LeaseStatus};

use super::*;
use crate::dispatch::event_loop::{Inbox, Told};
use crate::environment::driver::{Answer, EnvPass};
use crate::run::scripted::{Said, Script, Scripted, remote_run};

fn ssh() -> Target {
    Target { head: vec!["ssh".into()], tty: None, env: EnvPass::Stdin, ..Target::default() }
}

/// What came of asking a driver that says this: the code and words of a refusal, or that it is to be tried again.
async fn asked(said: Said<Target>, change: impl FnOnce(&mut ActionRow, &mut RunJob)) -> String {
    let (mut action, mut job) = remote_run();
    change(&mut action, &mut job);
    let (inbox, _) = Inbox::answered_by(|_| Told::default());
    let watch = Watch::new(&inbox, job.run.id, 1);
    let (_, there) = Scripted { target: Script::of([said]), ..Scripted::default() }.there();
    match target(&Venue::There(Box::new(there)), &action, &job, &watch).await {
        Ok(Ok(target)) => target.head.join(" "),
        Ok(Err(cannot)) => format!("{}: {}", cannot.code, cannot.message),
        Err(evidence) => format!("again: {evidence}"),
    }
}

fn done(target: Target) -> Said<Target> {
    Said::Answer(Answer::Done(target))
}

#[tokio::test(start_paused = true)]
async fn target_table() {
    assert_eq!(asked(done(ssh()), |_, _| {}).await, "ssh");
    let failed = "transport_resolution_failed: box-1 (ssh): ";
    let refused = Said::Answer(Answer::refused("transport_resolution_failed", "no shell there"));
    assert_eq!(asked(refused, |_, _| {}).await, format!("{failed}no shell there"));
    let unsupported = Said::Answer(Answer::refused("unsupported_adapter_environment", "no"));
    assert_eq!(asked(unsupported, |_, _| {}).await, "unsupported_adapter_environment: box-1 (ssh): no");
    // What is not known is asked again, up to a limit; one that does not answer is not known.
    let unknown = || Said::Answer(Answer::unknown("no route"));
    assert_eq!(asked(unknown(), |_, _| {}).await, "again: box-1 (ssh): no route");
    assert_eq!(asked(unknown(), |action, _| action.tries = TARGET_TRIES).await, format!("{failed}no route"));
    assert_eq!(asked(Said::Never, |_, _| {}).await, "again: box-1 (ssh): the driver did not answer in time");
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_meant_for_a_place_begins_on_this_machine() {
    let here = asked(done(Target::default()), |_, _| {}).await;
    assert!(here.starts_with("transport_resolution_failed: the driver of box-1 (ssh) names no command"), "{here}");
    let lease =
        |change: fn(&mut LeaseRow)| move |_: &mut ActionRow, job: &mut RunJob| change(job.lease.as_mut().unwrap());
    for change in
        [(|l| l.status = LeaseStatus::Releasing) as fn(&mut LeaseRow), |l| l.fence = Some(99), |l| l.run_id = None]
    {
        let gone = asked(done(ssh()), lease(change)).await;
        assert_eq!(gone, "transport_resolution_failed: its lease of box-1 (ssh) is not held any more");
    }
    let (action, job) = remote_run();
    let (inbox, _) = Inbox::answered_by(|_| Told::default());
    let watch = Watch::new(&inbox, job.run.id, 1);
    for venue in
        [Venue::Gone { why: "its lease is gone".into(), carries: true }, Venue::Unreachable("no such driver".into())]
    {
        assert_eq!(
            target(&venue, &action, &job, &watch).await.unwrap().unwrap_err().code,
            "transport_resolution_failed"
        );
    }
    // Without its environment or its lease a run has no place, and this machine is none.
    let ctx = crate::run::scripted::context(std::path::Path::new("/nowhere"), inbox.clone());
    let homeless = RunJob { environment: None, ..job.clone() };
    assert!(matches!(place::of(&ctx, &homeless), Venue::Unreachable(_)));
    let released = RunJob { lease: None, ..job.clone() };
    assert!(matches!(place::of(&ctx, &released), Venue::Gone { carries: true, .. }));
}

#[tokio::test(start_paused = true)]
async fn an_agent_with_a_terminal_is_not_started_where_there_is_none() {
    let with_terminal = |_: &mut ActionRow, job: &mut RunJob| job.agent.config["tty"] = true.into();
    let words = "unsupported_adapter_environment: an agent with a terminal cannot run in box-1 (ssh), which gives none";
    assert_eq!(asked(done(ssh()), with_terminal).await, words);
    // Variables that come by standard input would be typed into it.
    let typed = Target { tty: Some(vec!["-t".into()]), ..ssh() };
    assert_eq!(asked(done(typed), with_terminal).await, words);
    let inherited = Target { tty: Some(Vec::new()), env: EnvPass::Inherited, ..ssh() };
    assert_eq!(asked(done(inherited), with_terminal).await, "ssh");
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_question() {
    let (action, job) = remote_run();
    let (inbox, _) = Inbox::answered_by(|_| Told { over: true, ..Told::default() });
    let watch = Watch::new(&inbox, job.run.id, 1);
    let (driver, there) = Scripted { target: Script::of([Said::Never]), ..Scripted::default() }.there();
    let got = target(&Venue::There(Box::new(there)), &action, &job, &watch).await.unwrap().unwrap_err();
    assert_eq!(got.code, "cancelled");
    assert_eq!(*driver.dropped.lock().unwrap(), 1);
}
