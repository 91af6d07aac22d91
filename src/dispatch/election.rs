//! Who is the orchestrator: whoever holds the lock on `orchestrator.lock` (contracts 3).

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use wharf_model::shim::ProcessRef;

use crate::process::{identity, kill_point, lock};

/// How long the lock of a dead holder is waited for: a process that it was just starting has a copy
/// of the descriptor until it executes its program.
const REMNANT_LIMIT: Duration = Duration::from_millis(500);
/// Pause between two tries.
const REMNANT_PAUSE: Duration = Duration::from_millis(5);

/// What stands in the lock file about its holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Epoch of its reign; 0 until it has begun.
    pub epoch: i64,
    /// Process.
    pub pid: i32,
    /// Its kernel start time, in ticks.
    pub start_ticks: u64,
    /// Boot id.
    pub boot_id: String,
    /// Program version.
    pub version: String,
    /// Its terminal, when it has one.
    pub tty: Option<String>,
    /// Since when, milliseconds.
    pub since: i64,
}

impl Holder {
    /// Tells this reign from every other one of this machine.
    pub fn token(&self) -> String {
        format!("{}:{}:{}", self.pid, self.start_ticks, self.epoch)
    }
}

/// The held lock. Dropping it gives the lock back.
#[derive(Debug)]
pub struct Elected {
    file: File,
    holder: Holder,
}

/// How an attempt to become orchestrator went.
#[derive(Debug)]
pub enum Election {
    /// This process is it.
    Won(Elected),
    /// Another one is; what is known of it.
    Held(Option<Holder>),
}

/// The lock file of a data directory.
pub fn path(data: &Path) -> PathBuf {
    data.join("orchestrator.lock")
}

/// Tries to become orchestrator; waits only for what a dead one has left behind, and not long.
pub fn stand(data: &Path, now_ms: i64) -> io::Result<Election> {
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path(data))?;
    let end = Instant::now() + REMNANT_LIMIT;
    while !lock::try_lock(&file)? {
        let holder = read_holder(&mut file);
        if !holder.as_ref().is_some_and(is_gone) || Instant::now() >= end {
            return Ok(Election::Held(holder));
        }
        std::thread::sleep(REMNANT_PAUSE);
    }
    kill_point::kill_point("elect.locked");
    let me = identity::this_process()?;
    // Not /dev/null, which is no place to look for it.
    let on = io::stdin().is_terminal().then(|| std::fs::read_link("/proc/self/fd/0").ok()).flatten();
    let tty = on.filter(|p| p.starts_with("/dev/"));
    let holder = Holder {
        epoch: 0,
        pid: me.pid,
        start_ticks: me.start_ticks,
        boot_id: identity::boot_id()?,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        tty: tty.map(|p| p.display().to_string()),
        since: now_ms,
    };
    let mut elected = Elected { file, holder };
    elected.write()?;
    Ok(Election::Won(elected))
}

/// Whether the process that noted itself as the holder has ended. What cannot be told counts as living.
fn is_gone(holder: &Holder) -> bool {
    let same_boot = identity::boot_id().is_ok_and(|boot| boot == holder.boot_id);
    let process = ProcessRef { pid: holder.pid, start_ticks: holder.start_ticks };
    !same_boot || identity::is_alive(process).is_ok_and(|alive| !alive)
}

/// Who holds the lock now, without taking it; `None` when it is free.
pub fn holder(data: &Path) -> io::Result<Option<Option<Holder>>> {
    let path = path(data);
    match lock::probe(&path)? {
        Some(lock::LockState::Held) => {
            let mut file = File::open(&path)?;
            Ok(Some(read_holder(&mut file)))
        }
        _ => Ok(None),
    }
}

fn read_holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(64 * 1024).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

impl Elected {
    /// Notes the epoch of the reign for those who ask who holds the lock.
    pub fn begin(&mut self, epoch: i64) -> io::Result<()> {
        self.holder.epoch = epoch;
        self.write()?;
        kill_point::kill_point("elect.epoch_committed");
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        let text = serde_json::to_vec(&self.holder)?;
        self.file.rewind()?;
        self.file.write_all(&text)?;
        self.file.set_len(text.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lock file, locked by an open file of its own, with a note of this holder.
    fn locked(data: &Path, pid: i32) -> File {
        let holder = Holder {
            epoch: 1,
            pid,
            start_ticks: identity::this_process().unwrap().start_ticks,
            boot_id: identity::boot_id().unwrap(),
            version: String::new(),
            tty: None,
            since: 0,
        };
        std::fs::write(path(data), serde_json::to_vec(&holder).unwrap()).unwrap();
        let file = File::options().write(true).open(path(data)).unwrap();
        assert!(lock::try_lock(&file).unwrap());
        file
    }

    #[test]
    fn a_lock_that_a_dead_holder_has_left_to_a_starting_child_is_waited_for() {
        let data = tempfile::tempdir().unwrap();
        let remnant = locked(data.path(), i32::MAX);
        let letting_go = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(remnant);
        });
        assert!(matches!(stand(data.path(), 1).unwrap(), Election::Won(_)));
        letting_go.join().unwrap();
    }

    #[test]
    fn a_living_holder_is_told_at_once_and_a_remnant_not_waited_for_for_ever() {
        let data = tempfile::tempdir().unwrap();
        let me = identity::this_process().unwrap().pid;
        let lock = locked(data.path(), me);
        let began = Instant::now();
        let Election::Held(Some(holder)) = stand(data.path(), 1).unwrap() else { panic!("it is held") };
        assert!(holder.pid == me && began.elapsed() < REMNANT_LIMIT);
        drop(lock);
        let _remnant = locked(data.path(), i32::MAX);
        assert!(matches!(stand(data.path(), 1).unwrap(), Election::Held(Some(_))));
    }
}
