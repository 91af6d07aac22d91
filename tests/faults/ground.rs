//! Where faults happen: a site, whoever reigns there, the books of what was seen, and the nemesis.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use wharf::process::signal::Signal;
use wharf_model::*;

use super::checker::{self, Books};
use super::child::Plan;
use super::nemesis::Nemesis;
use super::world::{Made, World};
use crate::orchestrator::{Orchestrator, Site, agent, eventually};

/// A site under fire.
pub struct Ground {
    pub site: Site,
    pub books: Books,
    pub nemesis: Nemesis,
    pub orchestrator: Option<Orchestrator>,
    // Ends last, with the word for the table.
    note: Note,
}

/// Config in which runs may share one checkout, with these agents.
pub fn config(agents: &[(&str, &str, &Plan)]) -> String {
    // A lost run stays alone: what is judged here is the run itself, not what follows it.
    let more = |more: &str| format!("retry_lost = false\n{more}");
    let agents: String = agents.iter().map(|(name, m, plan)| agent(name, &more(m), &plan.script())).collect();
    format!("[workspace]\nconcurrency = \"allow\"\n{agents}")
}

impl Ground {
    /// Begins the test of a fault; how it goes is noted for the table.
    pub fn new(fault: &'static str, seed: u64, config: &str) -> Self {
        Self::on(fault, seed, Site::plain(config))
    }

    pub fn on(fault: &'static str, seed: u64, site: Site) -> Self {
        site.configure_machine("[limits]\nconcurrent_runs = 64\n");
        let (books, nemesis) = (Books::default(), Nemesis::new(seed));
        Self { note: Note::begin(fault), site, books, nemesis, orchestrator: None }
    }

    /// Starts an orchestrator and waits until it reigns.
    pub fn reign(&mut self) -> &mut Self {
        self.orchestrator = Some(self.site.start());
        self
    }

    /// Notes what stands now in the books and kills the orchestrator.
    pub fn kill_orchestrator(&mut self) {
        self.look("before a death");
        let it = self.orchestrator.take().expect("somebody reigns");
        self.nemesis.note(format!("SIGKILL to the orchestrator ({})", it.pid()));
        it.kill();
    }

    /// Judges a moment in which things are under way, and notes it.
    pub fn look(&mut self, context: &str) -> World {
        let world = World::read(&self.site);
        // Strays are judged at rest: a tree that is just being ended still has processes.
        let found = self.books.judge(&world, false);
        let found: Vec<String> =
            found.iter().filter(|v| v.statement != checker::Statement::N7Strays).map(ToString::to_string).collect();
        assert!(found.is_empty(), "{context}:\n{}", found.join("\n"));
        self.books.note(&world);
        world
    }

    /// Asks for runs of an agent; gives them once they are taken.
    pub fn begin(&self, agent: &str, count: usize) -> Vec<RunId> {
        let asked: Vec<RequestId> = (0..count).map(|_| self.site.ask_run(agent, json!({}))).collect();
        asked.into_iter().map(|request| self.site.run_of(request)).collect()
    }

    /// Lets every child go that waits at this gate, or will.
    pub fn open(&self, gate: &str) {
        std::fs::write(self.site.path(gate), "").unwrap();
    }

    /// Waits until the child of a run has handed so many bytes to its standard output.
    pub fn wrote(&self, run: RunId, bytes: u64) {
        eventually("output of the child", || {
            let totals = super::child::Totals::read_all(&self.site.path("totals"));
            let mine = totals.iter().find(|(id, _, _)| *id == run.text());
            mine.is_some_and(|(_, _, t)| t.taken[0] >= bytes).then_some(())
        });
    }

    /// The shim directory of a run's last attempt.
    pub fn dir(&self, run: RunId) -> PathBuf {
        let row = self.site.run(run).run;
        let made = Made::all(&self.site.data).into_iter().find(|m| m.id == run.text() && m.attempt == row.attempt);
        made.unwrap_or_else(|| panic!("R-{} has no shim", row.number)).dir
    }

    pub fn signal_shim(&mut self, run: RunId, signal: Signal) {
        let shim = eventually("the shim's id", || super::nemesis::shim_of(&self.dir(run)));
        let whom = format!("the shim of R-{}", self.site.run(run).run.number);
        assert!(self.nemesis.signal(&whom, shim, signal), "it was there");
    }

    /// Waits until every one of these has ended, and judges all seven statements.
    pub fn settle(&mut self, runs: &[RunId]) -> World {
        for run in runs {
            self.site.settled(*run);
        }
        self.at_rest()
    }

    /// Waits until nothing is open, and judges all seven statements.
    pub fn at_rest(&mut self) -> World {
        self.site.wait_and_look("rest", || {
            let state = self.site.open_rows();
            let waits = state.actions.values().any(|a| a.kind != ActionKind::StartService);
            (!waits && state.runs.is_empty() && state.requests.is_empty()).then_some(())
        });
        let world = checker::assert_holds(&self.books, &self.site, true, "at rest");
        self.books.note(&world);
        world
    }

    /// Says in the table that a part could not be shown, and why.
    pub fn skipped(&mut self, why: &str) {
        self.note.skip(why);
    }
}

/// Notes how the test of a fault went, where the table finds it.
pub struct Note {
    fault: &'static str,
    began: Instant,
    skipped: Option<String>,
}

impl Note {
    pub fn begin(fault: &'static str) -> Self {
        Self { fault, began: Instant::now(), skipped: None }
    }

    /// The test, or a part of it, shows nothing here; the reason is printed and kept.
    pub fn skip(&mut self, why: &str) {
        // Past what the test harness keeps to itself of a test that passes.
        let _ = writeln!(std::io::stderr(), "SKIPPED {}: {why}", self.fault);
        self.skipped = Some(why.to_owned());
    }

    fn path(fault: &str) -> PathBuf {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("faults");
        std::fs::create_dir_all(&dir).unwrap();
        dir.join(fault)
    }

    /// How the tests of a fault went last; empty when none was run here.
    pub fn last(fault: &str) -> Vec<String> {
        let dir = Self::path(fault).parent().map(std::path::Path::to_owned);
        let mut all: Vec<String> = std::fs::read_dir(dir.unwrap())
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(fault))
            .filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
            .collect();
        // Failures and what was skipped first.
        all.sort();
        all
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let took = self.began.elapsed().as_secs_f64();
        let word = match &self.skipped {
            _ if std::thread::panicking() => "FAILED".to_owned(),
            Some(why) => format!("skipped: {why}"),
            None => "held".to_owned(),
        };
        // A table that cannot be kept must not end a test.
        let _ = std::fs::write(Self::path(self.fault), format!("{word} ({took:.1} s)"));
    }
}

/// Whether the long forms are asked for.
pub fn is_exhaustive() -> bool {
    std::env::var_os("WHARF_TEST_EXHAUSTIVE").is_some()
}

/// Whether the machine is said to be quiet, so that the figures of the criteria are judged as they are.
pub fn is_quiet() -> bool {
    std::env::var_os("WHARF_TEST_QUIET").is_some()
}

/// Holds that something took no longer than its criterion says; other tests run beside, so without
/// `WHARF_TEST_QUIET` ten times as long is allowed.
pub fn within_criterion(what: &str, began: Instant, limit: Duration) {
    let (took, limit) = (began.elapsed(), if is_quiet() { limit } else { 10 * limit });
    assert!(took <= limit, "{what} took {took:?}, {limit:?} are allowed");
}
