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
    /// What waits for the disk in its reign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskNeed>,
}

/// What waits for room on a disk. It stands in the lock file, since a store without room takes no row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskNeed {
    /// Since when, milliseconds.
    pub since: i64,
    /// Numbers of what cannot write its output, at most [`NAMED`] of them.
    pub waiting: Vec<String>,
    /// How many more there are.
    pub more: usize,
    /// Why the store takes no writes.
    pub store: Option<String>,
}

/// What waits for the disk and is named in the lock file.
pub const NAMED: usize = 4;
/// Characters of the store's own words there.
const WORDS: usize = 300;
/// Bytes of the lock file, written when it is made: later on its content is replaced in place, which needs no
/// room on a disk that has none.
const ROOM: usize = 2048;

impl DiskNeed {
    /// What waits, in the order given, and why the store does; none when nothing does.
    pub fn of(since: i64, waiting: &[String], store: Option<&str>) -> Option<Self> {
        (!waiting.is_empty() || store.is_some()).then(|| Self {
            since,
            waiting: waiting.iter().take(NAMED).cloned().collect(),
            more: waiting.len().saturating_sub(NAMED),
            store: store.map(|words| words.chars().take(WORDS).collect()),
        })
    }
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
        disk: None,
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

    /// Notes what waits for the disk, for consoles that only read.
    pub fn declare(&mut self, disk: Option<DiskNeed>) -> io::Result<()> {
        self.holder.disk = disk;
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        let mut text = serde_json::to_vec(&self.holder)?;
        text.resize(text.len().max(ROOM), b' ');
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
            disk: None,
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
    fn what_waits_for_the_disk_is_told_in_place_and_taken_back() {
        let data = tempfile::tempdir().unwrap();
        let Election::Won(mut elected) = stand(data.path(), 1).unwrap() else { panic!("it is free") };
        elected.begin(7).unwrap();
        let told = || {
            let mut file = File::open(path(data.path())).unwrap();
            read_holder(&mut file).unwrap()
        };
        let length = std::fs::metadata(path(data.path())).unwrap().len();
        assert_eq!((told().epoch, told().disk), (7, None));
        let names: Vec<String> = (1..=9).map(|n| format!("R-{n}")).collect();
        let need = DiskNeed::of(5, &names, Some(&"no room ".repeat(100)));
        elected.declare(need.clone()).unwrap();
        assert_eq!((told().epoch, told().disk), (7, need.clone()));
        assert_eq!(std::fs::metadata(path(data.path())).unwrap().len(), length, "it takes no more room than before");
        assert_eq!(need.map(|n| (n.waiting.len(), n.more)), Some((NAMED, 5)));
        elected.declare(DiskNeed::of(5, &[], None)).unwrap();
        assert_eq!(told().disk, None);
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
