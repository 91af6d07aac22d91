//! A lost run is followed by one more, after a pause, where its agent allows it; never by a storm.

use wharf::process::signal::{self, Signal};
use wharf_model::*;

use crate::orchestrator::*;

#[test]
fn a_lost_run_is_followed_once_and_its_lineage_never_again() {
    let script = "echo \"$WHARF_RUN_NUMBER $(cat)\" >> $ROOT/starts; exec sleep 600";
    let config = agent("one", "retry_lost = true\ngrace = \"100ms\"", script).replace("\"none\"", "\"prompt\"");
    let site = Site::plain(&config);
    let _it = site.start();
    let first = site.run_of(site.ask_run("one", serde_json::json!({ "prompt": "do it" })));
    let lose = |run: RunId| {
        site.started(run);
        let number = format!("R-{} do it", site.run(run).run.number);
        eventually("its start", || site.lines("starts").contains(&number).then_some(()));
        assert!(signal::send(site.shim_of(run), Signal::KILL).unwrap());
        let row = site.settled(run);
        assert_eq!(row.status, RunStatus::Lost);
        assert_eq!(site.processes_of(&row), Vec::<String>::new());
    };
    lose(first);
    let runs = site.all_runs();
    assert_eq!(runs.len(), 2, "one retry");
    let second = &runs[1];
    assert_eq!((second.status, second.retry_of_run_id), (RunStatus::ScheduledRetry, Some(first)));
    assert_eq!((second.lineage, second.process_loss_retry_count), (first, 1));
    let pause = second.due_at.unwrap().0 - second.queued_at.0;
    assert!((1_000..60_000).contains(&pause), "a pause of {pause} ms");
    let chain: Vec<i64> = site.run(first).chain.iter().map(|c| c.number).collect();
    assert_eq!(chain, [1, 2], "the chain is known from both ends");
    let second = second.id;
    site.wait("its turn", || (site.run(second).run.status == RunStatus::Running).then_some(()));
    lose(second);
    assert_eq!(site.all_runs().len(), 2, "the budget of the lineage is spent");
    let told = site.events(second).into_iter().any(|e| e.message.contains("has had its retry"));
    assert!(told, "and that is said");
    site.assert_nothing_open("after both");
}

#[test]
fn a_retry_outlives_its_orchestrator_and_can_be_cancelled() {
    let site =
        Site::plain(&agent("one", "retry_lost = true\ngrace = \"100ms\"", "echo $$ >> $ROOT/starts; exec sleep 600"));
    let it = site.start();
    let first = site.begin_run("one");
    site.started(first);
    assert!(signal::send(site.shim_of(first), Signal::KILL).unwrap());
    assert_eq!(site.settled(first).status, RunStatus::Lost);
    it.kill();
    let _next = site.start();
    let second = site.all_runs().remove(1);
    assert_eq!(second.status, RunStatus::ScheduledRetry);
    site.finished(site.cancel(second.id, 100));
    assert_eq!(site.run(second.id).run.status, RunStatus::Cancelled);
    assert!(site.lines("starts").len() <= 1);
    site.assert_nothing_open("after the cancel");
}
