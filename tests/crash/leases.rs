//! The orchestrator dies between any two steps of a lease, with each driver that can run here: the next one finds
//! everything again, and nothing is left at a provider that no row knows.

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde_json::json;
use wharf_model::*;
use wharf_store::view::{ActivityQuery, LeaseQuery};

use crate::engines::{Engine, Grounds};
use crate::orchestrator::{Site, agent, eventually};

/// Deaths side by side: they mostly wait for the disk and for other processes.
const WORKERS: usize = 4;
const EVERYWHERE: &[&str] = &[
    "lease.intended",
    "lease.provider_called",
    "lease.active_committed",
    "lease.release_intended",
    "lease.provider_released",
    "lease.release_committed",
    "workspace.intended",
    "workspace.worktree_added",
    "workspace.provisioned",
    "workspace.committed",
];
/// Passed only where a driver leads elsewhere.
const ELSEWHERE: &[&str] = &["workspace.realised_there", "run.collected"];

/// A run that changes a file, and fails with a code of its own.
pub fn config(engine: Engine) -> String {
    let script = "echo $$ >> $ROOT/out/starts; echo made > made-there; echo hello; exit 7";
    format!(
        "[workspace]\nprovision = \"echo $$ >> $ROOT/out/provisions\"\n{}",
        agent("worker", engine.of_agent(), script)
    )
}

/// All leases, oldest first.
pub fn leases(site: &Site) -> Vec<LeaseRow> {
    let mut all: Vec<LeaseRow> =
        site.ask(|r| r.leases(&LeaseQuery::default(), None, 1_000)).rows.into_iter().map(|l| l.lease).collect();
    all.reverse();
    all
}

/// No row says that it holds a place which is not there. A place may go a moment after its row was read.
pub fn assert_active_ones_have_places(grounds: &Grounds, context: &str) {
    let Some(places) = grounds.places() else { return };
    for lease in leases(&grounds.site).into_iter().filter(|l| l.status == LeaseStatus::Active) {
        let id = lease.provider_lease_id.clone().unwrap_or_default();
        // Made after the look at the places, or taken away after the look at the rows.
        let is_there = places.contains(&id) || grounds.places().is_some_and(|now| now.contains(&id));
        let is_held = || leases(&grounds.site).iter().any(|l| l.id == lease.id && l.status == LeaseStatus::Active);
        assert!(is_there || !is_held(), "{context}: L-{} is active and {id:?} is not there", lease.number);
    }
}

/// What must be so once everything has ended.
pub fn assert_nothing_left(grounds: &Grounds, context: &str) {
    let rows = leases(&grounds.site);
    assert!(rows.iter().all(|l| l.status.is_terminal()), "{context}: {rows:?}");
    assert_eq!(grounds.places().unwrap_or_default(), Vec::<String>::new(), "{context}: places without a lease");
    if grounds.engine == Engine::Plugin {
        let known: BTreeSet<String> = rows.iter().map(|l| l.id.text()).collect();
        for call in grounds.witness().calls("environmentAcquireLease") {
            let lease = call["lease"].as_str().unwrap().to_owned();
            assert!(known.contains(&lease), "{context}: a place was asked for {lease}, which no row knows");
        }
    }
    grounds.site.assert_nothing_open(context);
}

/// Dies at one point and goes on; what is wrong then.
fn dies(engine: Engine, point: &str) {
    let Ok(grounds) = engine.site("", &config(engine)) else { return };
    let site = &grounds.site;
    let mut first = site.spawn(&[("WHARF_KILL_POINT", point)]);
    let request = site.ask_run("worker", json!({}));
    eventually(&format!("the death at {point}"), || first.has_ended().then_some(()));
    let second = site.start();
    let run = site.run_of(request);
    let row = site.wait_and_look("the end of the run", || {
        assert_active_ones_have_places(&grounds, point);
        let detail = site.run(run);
        let is_over = detail.run.status.is_terminal() && detail.lease.is_none_or(|l| l.lease.status.is_terminal());
        (is_over && site.open_rows().actions.is_empty()).then_some(detail.run)
    });
    let seen = (row.status, row.exit_code, row.attempt);
    assert_eq!(seen, (RunStatus::Failed, Some(7), 1), "{:?}: {:?}", row.error_code, row.error);
    assert_eq!(row.stdout_bytes, Some(6), "its output is whole");
    assert_eq!(site.lines("out/starts").len(), 1, "it was started once");
    assert_eq!(site.lines("out/provisions").len(), 1, "it was provisioned once");
    let detail = site.run(run);
    let made = detail.workspace.and_then(|w| w.cwd).map(|cwd| std::path::Path::new(&cwd).join("made-there"));
    assert!(made.as_ref().is_some_and(|made| made.exists()), "what it made is here: {made:?}");
    assert_eq!(leases(site).len(), 1, "one lease was asked for");
    let granted = ActivityQuery { action: Some("environment.lease_acquired".into()), ..ActivityQuery::default() };
    assert_eq!(site.activity(&granted).len(), 1, "one grant");
    assert_nothing_left(&grounds, point);
    second.stop();
}

fn dies_everywhere(engine: Engine) {
    if engine.site_or_skip("", &config(engine)).is_none() {
        return;
    }
    let elsewhere = if engine == Engine::Local { &[] } else { ELSEWHERE };
    let points: Vec<&str> = EVERYWHERE.iter().chain(elsewhere).copied().collect();
    let queue = Mutex::new(points.iter());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let Some(point) = queue.lock().unwrap().next() else { return };
                    if let Err(panic) = std::panic::catch_unwind(|| dies(engine, point)) {
                        let text = panic.downcast_ref::<String>().cloned();
                        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                        failures.lock().unwrap().push(format!("{point}: {}", text.unwrap_or_default()));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {} deaths:\n{}", failures.len(), points.len(), failures.join("\n"));
}

#[test]
fn a_lease_of_this_machine_survives_a_death_at_each_of_its_steps() {
    dies_everywhere(Engine::Local);
}

#[test]
fn a_lease_of_a_sandbox_survives_a_death_at_each_of_its_steps() {
    dies_everywhere(Engine::Bubblewrap);
}

#[test]
fn a_lease_of_a_host_survives_a_death_at_each_of_its_steps() {
    dies_everywhere(Engine::Ssh);
}

#[test]
fn a_lease_of_a_plugin_survives_a_death_at_each_of_its_steps() {
    dies_everywhere(Engine::Plugin);
}
