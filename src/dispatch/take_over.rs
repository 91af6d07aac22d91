//! Taking the orchestrator's place: another process that is stopped or hung keeps the kernel's lock, so
//! it is ended, and only when it is certain that it is the one.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use wharf_model::shim::ProcessRef;

use super::election::{self, Holder};
use crate::process::holder::{Doing, Handle, doing};
use crate::process::identity;

/// How long a killed process may take to end; one that is stuck in the kernel takes longer.
const END_LIMIT: Duration = Duration::from_secs(5);

/// A process that holds the lock, and what it does now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// What it has written about itself; none when it has not.
    pub holder: Option<Holder>,
    /// What the kernel says of it.
    pub doing: Doing,
}

impl Seat {
    /// Looks at what a holder does. Never waits.
    pub fn of(holder: Option<Holder>) -> Self {
        let doing = match &holder {
            None => Doing::Unknown("the lock file does not say who holds it".into()),
            Some(holder) => match identity::boot_id() {
                Ok(boot) if boot == holder.boot_id => doing(process(holder)),
                Ok(_) => Doing::Gone,
                Err(error) => Doing::Unknown(error.to_string()),
            },
        };
        Self { holder, doing }
    }

    /// Whether it does its work, as far as can be told from outside.
    pub fn is_healthy(&self) -> bool {
        self.doing == Doing::Lives
    }

    /// Whether it certainly does nothing.
    pub fn is_stopped(&self) -> bool {
        matches!(self.doing, Doing::Stopped(_))
    }

    /// Who it is, in a few words: `process 4711 on pts/3`.
    pub fn name(&self) -> String {
        match &self.holder {
            None => "a process that does not say who it is".to_owned(),
            Some(h) => {
                let tty = h.tty.as_ref().map(|t| format!(" on {}", t.trim_start_matches("/dev/"))).unwrap_or_default();
                format!("process {}{tty}", h.pid)
            }
        }
    }

    /// Everything known of it, in one line: who, what it does, since when it reigns, its version.
    pub fn words(&self) -> String {
        let Some(h) = &self.holder else { return self.name() };
        let since = wharf_model::UnixMillis(h.since).rfc3339();
        format!("{} {}; it reigns since {since}, version {}", self.name(), self.doing, h.version)
    }

    /// For the audit trail.
    pub fn details(&self, by: &str) -> Value {
        let h = self.holder.as_ref();
        json!({
            "by": by, "pid": h.map(|h| h.pid), "state": self.doing.to_string(), "since": h.map(|h| h.since),
            "version": h.map(|h| h.version.clone()), "tty": h.and_then(|h| h.tty.clone()),
            "epoch": h.map(|h| h.epoch),
        })
    }
}

fn process(holder: &Holder) -> ProcessRef {
    ProcessRef { pid: holder.pid, start_ticks: holder.start_ticks }
}

/// Why the holder was not ended. Nothing was signalled, except where it says so.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    /// The lock file names nobody.
    #[error("somebody holds {0} and does not say who; look with `fuser`, end that process, then try again")]
    Nameless(String),
    /// The process that is named is not the one that holds the lock.
    #[error("process {pid} is named as the orchestrator, but {why}: it is not ended; look with `fuser {lock}`")]
    NotTheOne {
        /// Number of the process.
        pid: i32,
        /// What speaks against it.
        why: &'static str,
        /// The lock file.
        lock: String,
    },
    /// The place has changed hands since it was shown.
    #[error("process {pid} is the orchestrator by now, not the one that was shown: it is not ended; look again")]
    Another {
        /// Number of the process.
        pid: i32,
    },
    /// It could not be judged or signalled.
    #[error("process {pid}, the orchestrator, cannot be {doing}: {source}")]
    Cannot {
        /// Number of the process.
        pid: i32,
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// It was killed and has not ended.
    #[error("process {0} was killed and has not ended in {END_LIMIT:?}: it waits in the kernel; try again when it has")]
    Survives(i32),
}

/// Ends the process that holds the lock of a data directory, once its identity is certain: its number, its
/// start, this boot, and an open descriptor on the lock file; with `shown`, only the one of that
/// [`Holder::token`]. Gives what it was; `None` when nobody holds it.
///
/// # Errors
/// [`TakeOverError`]: who it is is not certain, or it would not end.
pub fn end_holder(data: &Path, shown: Option<&str>) -> Result<Option<Seat>, TakeOverError> {
    let path = election::path(data);
    let lock = path.display().to_string();
    let cannot = |pid, doing, source| TakeOverError::Cannot { pid, doing, source };
    let Some(holder) = election::holder(data).map_err(|e| cannot(0, "read from its lock file", e))? else {
        return Ok(None);
    };
    let seat = Seat::of(holder);
    let Some(holder) = &seat.holder else { return Err(TakeOverError::Nameless(lock)) };
    let pid = holder.pid;
    let other = |why| TakeOverError::NotTheOne { pid, why, lock: lock.clone() };
    if shown.is_some_and(|shown| shown != holder.token()) {
        return Err(TakeOverError::Another { pid });
    }
    if pid == std::process::id().cast_signed() {
        return Err(other("that is this very process"));
    }
    let boot = identity::boot_id().map_err(|e| cannot(pid, "judged", e))?;
    if boot != holder.boot_id {
        return Err(other("it belongs to another boot of this machine"));
    }
    let Some(handle) = Handle::open(process(holder)).map_err(|e| cannot(pid, "taken hold of", e))? else {
        return Err(other("there is no such process, or a later one has its number"));
    };
    let file = File::open(&path).map_err(|e| cannot(pid, "compared with the lock file", e))?;
    if !handle.has_open(&file).map_err(|e| cannot(pid, "looked into", e))? {
        return Err(other("it does not have the lock file open"));
    }
    handle.kill().map_err(|e| cannot(pid, "killed", e))?;
    if !handle.wait_end(END_LIMIT).map_err(|e| cannot(pid, "waited for", e))? {
        return Err(TakeOverError::Survives(pid));
    }
    tracing::warn!(seat = %seat.words(), "ended to take its place");
    Ok(Some(seat))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::lock;

    fn note(data: &Path, change: impl FnOnce(&mut Holder)) -> File {
        let me = identity::this_process().unwrap();
        let mut holder = Holder {
            disk: None,
            epoch: 1,
            pid: me.pid,
            start_ticks: me.start_ticks,
            boot_id: identity::boot_id().unwrap(),
            version: "0.1.0".into(),
            tty: Some("/dev/pts/3".into()),
            since: 0,
        };
        change(&mut holder);
        std::fs::write(election::path(data), serde_json::to_vec(&holder).unwrap()).unwrap();
        let file = File::options().write(true).open(election::path(data)).unwrap();
        assert!(lock::try_lock(&file).unwrap());
        file
    }

    #[test]
    fn nobody_is_ended_who_is_not_certainly_the_holder() {
        let mut bystander = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let it = identity::process(bystander.id() as i32).unwrap().unwrap();
        let table: [(&str, Box<dyn FnOnce(&mut Holder)>); 4] = [
            ("very process", Box::new(|_| {})),
            ("another boot", Box::new(move |h| (h.pid, h.boot_id) = (it.pid, "other".into()))),
            ("later one", Box::new(move |h| (h.pid, h.start_ticks) = (it.pid, it.start_ticks + 1))),
            ("lock file open", Box::new(move |h| (h.pid, h.start_ticks) = (it.pid, it.start_ticks))),
        ];
        for (why, change) in table {
            let data = tempfile::tempdir().unwrap();
            let _held = note(data.path(), change);
            let error = end_holder(data.path(), None).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
            let shown = end_holder(data.path(), Some("1:2:3")).unwrap_err().to_string();
            assert!(shown.contains("not the one that was shown"), "{shown}");
        }
        assert!(bystander.try_wait().unwrap().is_none(), "it was left alone");
        bystander.kill().unwrap();
        bystander.wait().unwrap();
        let data = tempfile::tempdir().unwrap();
        assert!(end_holder(data.path(), None).unwrap().is_none(), "nobody holds what is not there");
    }
}
