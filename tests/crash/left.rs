//! What a killed shim leaves behind when nothing of it carries a tag any more: programs write over their
//! environment, or start others with an empty one.

use wharf::process::signal::{self, Signal};
use wharf::process::stat;
use wharf_model::shim::ProcessRef;
use wharf_model::*;

use crate::orchestrator::*;

/// Processes named by number in a file of the site, told apart from later ones.
struct Named(Vec<ProcessRef>);

impl Named {
    /// Reads so many numbers, once all of those are a program with an environment of its own.
    fn wait(site: &Site, file: &str, program: &str, count: usize) -> Self {
        Self(eventually("the processes without a tag", || {
            let all: Vec<_> = site
                .lines(file)
                .iter()
                .filter_map(|line| stat::read(line.trim().parse().ok()?).ok()?)
                .filter(|it| it.comm == program)
                .map(|it| it.id)
                .collect();
            (all.len() == count).then_some(all)
        }))
    }

    fn living(&self) -> usize {
        self.0.iter().filter(|it| stat::read(it.pid).unwrap().is_some_and(|p| p.id == **it && p.is_alive())).count()
    }
}

impl Drop for Named {
    /// Nothing else would find them.
    fn drop(&mut self) {
        for it in &self.0 {
            let _ = signal::send(*it, Signal::KILL);
        }
    }
}

/// Kills the shim while nobody reigns, does something, and gives how the next start judged the run.
fn lose(site: &Site, first: Orchestrator, run: RunId, meanwhile: impl FnOnce(&RunRow)) -> RunRow {
    let row = site.started(run);
    assert_eq!(site.processes_of(&row), Vec::<String>::new(), "the tag finds nothing");
    let shim = site.shim_of(run);
    first.kill();
    assert!(signal::send(shim, Signal::KILL).unwrap());
    eventually("the end of the shim", || {
        stat::read(shim.pid).unwrap().is_none_or(|p| p.id != shim || !p.is_alive()).then_some(())
    });
    meanwhile(&row);
    let next = site.start();
    let row = site.settled(run);
    assert_eq!((row.status, row.error_code.as_deref()), (RunStatus::Lost, Some("process_lost")));
    next.stop();
    row
}

/// Members of the child's group, one that left it for a session of its own, and the child itself.
const TREE: &str = "env -i sleep 601 & echo $! >> $ROOT/pids; env -i setsid sleep 602 & echo $! >> $ROOT/pids; \
                    echo $$ >> $ROOT/pids; exec env -i sleep 603";

#[test]
fn whoever_the_child_proves_is_stopped_without_a_tag() {
    let site = Site::plain(&agent("bare", "grace = \"300ms\"", TREE));
    let first = site.start();
    let run = site.begin_run("bare");
    let named = Named::wait(&site, "pids", "sleep", 3);
    let row = lose(&site, first, run, |_| ());
    assert_eq!(named.living(), 0, "{:?}", row.error);
    let words = row.error.unwrap();
    assert!(words.contains("3 of its processes were found by its child and stopped"), "{words}");
    assert!(!words.contains("left alone"), "{words}");
}

#[test]
fn without_the_child_they_are_named_and_left_alone() {
    let site = Site::plain(&agent("bare", "grace = \"300ms\"", TREE));
    let first = site.start();
    let run = site.begin_run("bare");
    let named = Named::wait(&site, "pids", "sleep", 3);
    let row = lose(&site, first, run, |row| {
        let child = named.0.iter().find(|it| Some(it.pid) == row.process_pid).unwrap();
        assert!(signal::send(*child, Signal::KILL).unwrap());
        eventually("the end of the child", || {
            stat::read(child.pid).unwrap().is_none_or(|p| p.id != *child).then_some(())
        });
    });
    assert_eq!(named.living(), 2, "nothing proves that they are of the run");
    let words = row.error.unwrap();
    assert!(words.contains("none of its processes was found by its tag; left alone"), "{words}");
    // The one in a session of its own has nothing in common with the child any more.
    assert!(words.contains(&format!("speaks for them: sleep {} (", named.0[0].pid)), "{words}");
}

#[test]
fn a_child_with_a_terminal_proves_its_whole_session() {
    // Jobs have groups of their own; the one whose parent has ended is told by the session alone.
    let jobs = "trap '' HUP; set -m; (env -i sleep 601 & echo $! >> $ROOT/pids); echo $$ >> $ROOT/pids; \
                exec env -i sleep 603";
    let site = Site::plain(&agent("jobs", "grace = \"300ms\"\ntty = true", jobs));
    let first = site.start();
    let run = site.begin_run("jobs");
    let named = Named::wait(&site, "pids", "sleep", 2);
    let of = |it: &ProcessRef| stat::read(it.pid).unwrap().unwrap();
    assert_ne!(of(&named.0[0]).pgid, named.0[1].pid, "a group of its own");
    assert_eq!(of(&named.0[0]).sid, named.0[1].pid, "the session of the child");
    let row = lose(&site, first, run, |_| ());
    assert_eq!(named.living(), 0, "{:?}", row.error);
    assert!(row.error.as_ref().unwrap().contains("2 of its processes were found by its child"), "{:?}", row.error);
}

#[test]
fn one_with_a_tag_and_one_without_are_told_together() {
    let script = "sleep 601 & echo $! >> $ROOT/pids; env -i sleep 602 & echo $! >> $ROOT/pids; wait";
    let site = Site::plain(&agent("mixed", "grace = \"300ms\"", script));
    let first = site.start();
    let run = site.begin_run("mixed");
    let named = Named::wait(&site, "pids", "sleep", 2);
    let shim = site.shim_of(run);
    // The orchestrator sees the shim die this time.
    assert!(signal::send(shim, Signal::KILL).unwrap());
    let row = site.settled(run);
    assert_eq!(named.living(), 0, "{:?}", row.error);
    assert!(row.error.as_ref().unwrap().contains("by its tag and its child and stopped"), "{:?}", row.error);
    first.stop();
}
