//! `wharf shim DIR`: the small process that keeps one child (contracts 6).
//!
//! It owns the child's pipes and process tree, writes every byte to the log and at the end one
//! exit frame. One thread, one poll loop, no runtime, no database: it outlives the console and
//! must be boring.

mod agent;
mod check;
mod clock;
mod control;
mod disk;
mod exit_record;
mod halt;
mod journal;
mod lines;
mod pump;
mod redact;
mod spawn_child;
mod start;
mod stop;
mod terminal;
mod tree;
mod turn;

use std::ffi::OsStr;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;

use serde_json::json;
use wharf_model::shim::{ControlReply, EndedBy, OnQuota, SpawnError, Spec, StartMessage};
use wharf_store::log::LogOwner;

use crate::process::cgroup::{self, Enclosing, Groups};
use crate::process::kill_point::kill_point;
use crate::process::shim_dir::names;
use crate::process::{identity, signal};
use agent::AgentDesk;
use clock::StepWatch;
use control::Peer;
use exit_record::Recording;
use halt::Halts;
use journal::Journal;
use lines::Server;
use pump::{Feed, Pump};
use redact::Secrets;
use start::{EXIT_REFUSED, EXIT_UNRECORDED, Keeper};
use stop::{Clearing, Stop};
use terminal::Terminal;
use tree::Tree;

pub use redact::{SECRET_MAX_BYTES, SECRET_MIN_BYTES};
pub use start::{EXIT_REFUSED as EXIT_SPEC_REFUSED, EXIT_UNRECORDED as EXIT_NOT_RECORDED};

/// Runs the shim for a directory to its end and gives the exit status of the process.
///
/// Statuses: 0 the end is recorded, or there was no start message; 100 the directory was used
/// before; 102 the end could not be recorded, or not be made durable; 103 nothing was started, the error file says why.
pub fn main(dir: Option<&OsStr>) -> i32 {
    let Some(dir) = dir.map(Path::new).filter(|d| !d.as_os_str().is_empty()) else {
        complain("needs the directory to keep");
        return EXIT_REFUSED;
    };
    match start::begin(dir) {
        Ok(keeper) => keep(keeper),
        Err(refusal) => {
            // Whoever started this is gone. What it left is as before, so that the next one can start.
            if !matches!(refusal, start::Refusal::NoMessage) {
                complain(&refusal.to_string());
            }
            refusal.exit_status()
        }
    }
}

/// Standard error is the directory's error file.
fn complain(words: &str) {
    let _ = writeln!(std::io::stderr(), "wharf shim: {words}");
}

fn keep(mut keeper: Keeper) -> i32 {
    let message = std::mem::take(&mut keeper.message);
    match Shim::new(keeper, &message) {
        Ok(mut shim) => {
            shim.start_child(message);
            start::let_go_of_starter();
            shim.run()
        }
        Err(failed) => {
            let (keeper, error) = *failed;
            complain(&error.message);
            if exit_record::write_copy_only(keeper.dir.path(), error) { 0 } else { EXIT_UNRECORDED }
        }
    }
}

/// Where the shim is in its one life.
#[derive(Debug)]
enum Life {
    Starting,
    Running,
    Clearing(Clearing),
    Recording(Box<Recording>),
    /// With the exit status of the process.
    Over(i32),
}

/// All that the loop works on.
#[derive(Debug)]
struct Shim {
    keeper: Keeper,
    spec: Spec,
    journal: Journal,
    pump: Pump,
    feed: Option<Feed>,
    terminal: Option<Terminal>,
    tree: Tree,
    life: Life,
    stop: Option<Stop>,
    halts: Halts,
    /// End of the child's time, awake nanoseconds.
    deadline: Option<u64>,
    control: Server<Peer>,
    agents: Option<AgentDesk>,
    /// Highest epoch seen.
    epoch: i64,
    steps: StepWatch,
    started_ms: Option<i64>,
    leaky: bool,
    told_disk_full: bool,
    quota_told: bool,
    survivors: Vec<String>,
    /// Who counts what the kernel kills for want of memory, where the child has no group of its own.
    surroundings: Enclosing,
}

impl Shim {
    fn new(keeper: Keeper, message: &StartMessage) -> Result<Self, Box<(Keeper, SpawnError)>> {
        let spec = keeper.spec.clone();
        let made = (|| {
            let words = |what: &str, e: std::io::Error| SpawnError {
                code: "exec_failed".to_owned(),
                message: format!("the shim {what}: {e}"),
                errno: e.raw_os_error(),
            };
            let uuid = uuid::Uuid::parse_str(&spec.id)
                .map_err(|e| spawn_child::refused(format!("{:?} is no id: {e}", spec.id)))?;
            let owner = LogOwner { uuid: *uuid.as_bytes(), attempt: spec.attempt };
            let dir = keeper.dir.path();
            let journal = Journal::create(dir, owner, spec.log.segment_bytes).map_err(|e| words("has no log", e))?;
            let control = Server::listen(&dir.join(names::CONTROL)).map_err(|e| words("has no control socket", e))?;
            let agents = match &message.token {
                Some(token) => {
                    let server =
                        Server::listen(&dir.join(names::AGENT)).map_err(|e| words("has no agent socket", e))?;
                    Some(AgentDesk::new(server, token.clone()))
                }
                None => None,
            };
            Ok((journal, control, agents))
        })();
        let (journal, control, agents) = match made {
            Ok(made) => made,
            Err(error) => return Err(Box::new((keeper, error))),
        };
        let prepare = if spec.tty.is_some() { Secrets::for_terminal } else { Secrets::new };
        let secrets = match prepare(&message.redact) {
            Ok(secrets) => secrets,
            Err(words) => return Err(Box::new((keeper, spawn_child::refused(words)))),
        };
        Ok(Self {
            pump: Pump::new(&spec, secrets),
            feed: None,
            terminal: None,
            tree: Tree::new(keeper.me, spec.keep.clone(), spec.tag.clone()),
            life: Life::Starting,
            stop: None,
            halts: Halts::default(),
            deadline: None,
            control,
            agents,
            epoch: spec.epoch,
            steps: StepWatch::new(),
            started_ms: None,
            leaky: false,
            told_disk_full: false,
            quota_told: false,
            survivors: Vec::new(),
            surroundings: Enclosing::now(),
            journal,
            keeper,
            spec,
        })
    }

    fn keeper_dir(&self) -> &Path {
        self.keeper.dir.path()
    }

    /// Starts the child, or records why not.
    fn start_child(&mut self, message: StartMessage) {
        if let Err(error) = self.try_start_child(message) {
            self.begin_refusal(error);
        }
    }

    fn try_start_child(&mut self, message: StartMessage) -> Result<(), SpawnError> {
        check::check(&self.spec, &message)?;
        let program = spawn_child::program(&self.spec, &message.env)?;
        self.make_groups()?;
        let (held, ends) = spawn_child::prepare(&self.spec, &program, self.keeper.lock.as_fd())?;
        let pid = held.pid();
        kill_point("shim.child_spawned");
        self.tree.enter_groups(pid);
        let recorded = identity::child(pid).and_then(|child| {
            // The child leaves our session only if it does so itself; its group is its own.
            let child = child.ok_or_else(|| std::io::Error::other("it is not in the process table"))?;
            let child = wharf_model::shim::ChildRef {
                pgid: pid,
                sid: if self.spec.tty.is_some() { pid } else { child.sid },
                ..child
            };
            self.keeper.write_id(Some(child), None)?;
            Ok(child)
        });
        let child = match recorded {
            Ok(child) => child,
            Err(error) => {
                // Unheld, the child ends without having run anything.
                drop(held);
                Self::reap_unstarted(pid);
                return Err(spawn_child::refused(format!("the child could not be recorded: {error}")));
            }
        };
        kill_point("shim.child_id_written");
        // Set before it runs: nothing may pass between its first instruction and this.
        let started_ms = clock::wall_ms();
        let started_at = clock::awake_ns();
        if let Err(failure) = held.go(spawn_child::EXEC_LIMIT) {
            let error = spawn_child::explain(failure, &program, &self.spec);
            Self::reap_unstarted(pid);
            return Err(error);
        }
        self.tree.set_child(child);
        self.pump.attach(ends.stdout, ends.stderr);
        self.terminal = ends.terminal.zip(self.spec.tty).map(|(keeper, size)| Terminal::new(keeper, size));
        if let (Some(pipe), Some(text)) = (ends.stdin, message.stdin) {
            self.feed = Some(Feed::new(pipe, text.into_bytes()));
        }
        self.started_ms = Some(started_ms);
        self.deadline = self.spec.timeout_ms.map(|t| started_at.saturating_add(clock::ms(t)));
        self.life = Life::Running;
        self.journal.control(&json!({
            "t": "started", "at_ms": started_ms, "pid": child.pid, "start_ticks": child.start_ticks,
            "pgid": child.pgid, "sid": child.sid, "limits": self.tree.groups().report(),
        }));
        let limits = self.tree.groups().report().map(Box::new);
        self.push(&ControlReply::Started { child, at_ms: started_ms, limits });
        Ok(())
    }

    /// Makes the groups that keep the child's limits, once it is recorded where they will be: whoever
    /// finds this process dead removes them. A limit that cannot be kept never keeps it from starting.
    fn make_groups(&mut self) -> Result<(), SpawnError> {
        let Spec { kind, id, attempt, limits, .. } = &self.spec;
        let groups = Groups::plan(&cgroup::name(kind.as_str(), id, *attempt), limits);
        self.keeper.cgroups = groups.paths();
        if !self.keeper.cgroups.is_empty() {
            let written = self.keeper.write_id(None, None);
            written
                .map_err(|e| spawn_child::refused(format!("the child's control groups could not be recorded: {e}")))?;
        }
        self.tree.make_groups(groups);
        Ok(())
    }

    /// Takes the end of a child that never executed. It is ending or dead; bounded all the same.
    fn reap_unstarted(pid: i32) {
        for _ in 0..1_000 {
            match crate::process::reap::reap(pid) {
                Ok(None) => std::thread::sleep(std::time::Duration::from_millis(1)),
                _ => return,
            }
        }
    }

    /// The loop: serve what is ready, then what is due, until the end is recorded and told.
    fn run(&mut self) -> i32 {
        loop {
            let now = clock::awake_ns();
            self.tick(now);
            if let Life::Over(status) = self.life {
                self.farewell();
                return status;
            }
            self.wait_and_serve(now);
        }
    }

    fn tick(&mut self, now: u64) {
        if let Some(step) = self.steps.look() {
            self.journal.control(&json!({"t": "clock_step", "wall_ms": step.wall_ms, "slept_ms": step.slept_ms}));
        }
        self.tick_disk(now);
        self.pump.release_due(&mut self.journal, now);
        self.tick_quota();
        self.look_for_terminal(now);
        self.journal.sync_if_due(now);
        if matches!(self.life, Life::Running) {
            self.look_for_end(now);
            self.tell_halts(now);
        }
        match self.life {
            Life::Running => self.tick_running(now),
            Life::Clearing(_) => self.tick_clearing(now),
            _ => {}
        }
        self.tick_recording(now);
        self.control.sweep(now);
        if let Some(desk) = &mut self.agents {
            desk.server.sweep(now);
        }
    }

    /// Notices the child's end. Cheap enough to be asked at every turn, which also covers a signal
    /// that went missing.
    fn look_for_end(&mut self, now: u64) {
        let Ok(Some(ended)) = self.tree.look_at_child() else { return };
        self.journal.control(&json!({
            "t": "child_exited", "code": ended.code, "signal": ended.signal.map(signal::name), "core": ended.core,
        }));
        self.feed = None;
        // It may have opened, written and left its terminal since the last look.
        if let Some(terminal) = &mut self.terminal {
            terminal.look_now();
        }
        self.look_for_terminal(now);
        self.life = Life::Clearing(Clearing::new(ended, now));
    }

    /// A child that had closed its terminal may open it again; it is read on then.
    fn look_for_terminal(&mut self, now: u64) {
        if !matches!(self.life, Life::Running) || !self.pump.has_ended() {
            return;
        }
        if let Some(reading) = self.terminal.as_mut().and_then(|t| t.opened_again(now)) {
            self.pump.attach(reading, None);
        }
    }

    fn tick_quota(&mut self) {
        let reached = self.pump.is_at_quota(&self.journal) || self.journal.has_dropped();
        if self.quota_told || !matches!(self.life, Life::Running) || !reached {
            return;
        }
        self.quota_told = true;
        let action = self.spec.log.on_quota;
        let bytes = self.spec.log.quota_bytes;
        self.journal.control(&json!({"t": "quota", "quota_bytes": bytes, "action": action.as_str()}));
        if action == OnQuota::Kill {
            // Read on, so that a child that wants to say goodbye is not stuck in a write.
            self.pump.discard(pump::Missed::Quota);
            self.ask_stop("quota", self.spec.grace_ms, EndedBy::Quota);
        }
    }
}
