//! The processes of one service: whose its port may be, and what they leave behind.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use wharf_model::shim::{ChildRef, ProcessRef};

use super::port::{self, Ownership};
use crate::process::adopt::{self, Verdict};
use crate::process::halted::{self, HaltedBy};
use crate::process::stat::ProcStat;
use crate::process::{descendants, holder};

/// Time in which a service must own its port after it has answered.
const LIMIT: Duration = Duration::from_secs(2);
/// Pause between two looks meanwhile.
const PAUSE: Duration = Duration::from_millis(50);
/// Processes that are named.
const NAMED: usize = 5;

/// The tree of a service, by its child and the directory of its shim.
#[derive(Debug, Clone)]
pub struct Owned {
    /// Its first process.
    pub child: ChildRef,
    /// Its shim's directory.
    pub dir: PathBuf,
}

/// What a child has left behind when it ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Left {
    /// Those that live on, by name and number, the first few.
    pub names: Vec<String>,
    /// The one that listens on the service's port.
    pub listener: Option<String>,
}

impl Owned {
    fn child_ref(&self) -> ProcessRef {
        ProcessRef { pid: self.child.pid, start_ticks: self.child.start_ticks }
    }

    /// Its shim, whose descendants include what a launcher has left behind; the child where that is not known.
    fn top(&self) -> i32 {
        match adopt::judge(&self.dir) {
            Ok(Verdict::Live(Some(id))) => id.shim.pid,
            _ => self.child.pid,
        }
    }

    fn below(&self) -> Vec<ProcStat> {
        descendants::of(self.top()).unwrap_or_default()
    }

    /// Whose the listeners on a port are. Reads the process table.
    pub fn port(&self, port: u16) -> Ownership {
        let mut ours = BTreeSet::from([self.child.pid]);
        ours.extend(self.below().iter().map(|p| p.id.pid));
        port::ownership(port, &ours)
    }

    /// Waits a moment until the port is its own; the error says who has it. What cannot be told is not held against it.
    pub fn settle(&self, port: u16) -> Result<(), String> {
        let end = Instant::now() + LIMIT;
        loop {
            match self.port(port) {
                Ownership::Ours(_) => return Ok(()),
                Ownership::Unknown(why) => {
                    tracing::warn!(%why, port, "whose a port is cannot be told");
                    return Ok(());
                }
                Ownership::Nobody if Instant::now() >= end => return Ok(()),
                Ownership::Others(owners) if Instant::now() >= end => return Err(port::describe(&Ok(owners))),
                Ownership::Nobody | Ownership::Others(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Why it may be silent, where its child stands still.
    pub fn halted(&self) -> Option<String> {
        let it = halted::look(&self.dir, self.child_ref())?;
        let pid = it.pid;
        Some(match it.by {
            HaltedBy::Signal(Some((signal, _))) => format!("its process {pid} is stopped ({signal})"),
            HaltedBy::Signal(None) => format!("its process {pid} is stopped"),
            HaltedBy::Tracer(Some((tracer, name))) => format!("its process {pid} is held by {name} ({tracer})"),
            HaltedBy::Tracer(None) => format!("its process {pid} is held by a debugger"),
        })
    }

    /// Waits for the end of the child and looks at once what lives on; its shim asks that to end after a moment.
    pub async fn left(self, port: Option<u16>) -> Left {
        if let Ok(Some(handle)) = holder::Handle::open(self.child_ref()) {
            // An error only means that the look comes too early.
            let _ended = handle.ended().await;
        }
        tokio::task::spawn_blocking(move || self.look_left(port)).await.unwrap_or_default()
    }

    fn look_left(&self, port: Option<u16>) -> Left {
        let left: Vec<ProcStat> =
            self.below().into_iter().filter(|p| p.is_alive() && p.id != self.child_ref()).collect();
        let named = |p: &ProcStat| format!("{} ({})", p.comm, p.id.pid);
        let pids: BTreeSet<i32> = left.iter().map(|p| p.id.pid).collect();
        let holders = match port.map(|port| port::ownership(port, &pids)) {
            Some(Ownership::Ours(holders)) => holders,
            _ => BTreeSet::new(),
        };
        Left {
            names: left.iter().take(NAMED).map(named).collect(),
            listener: left.iter().find(|p| holders.contains(&p.id.pid)).map(named),
        }
    }
}
