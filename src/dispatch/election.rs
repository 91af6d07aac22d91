//! Who is the orchestrator: whoever holds the lock on `orchestrator.lock` (contracts 3).

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::process::{identity, kill_point, lock};

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

/// Tries to become orchestrator; never waits.
pub fn stand(data: &Path, now_ms: i64) -> io::Result<Election> {
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path(data))?;
    if !lock::try_lock(&file)? {
        return Ok(Election::Held(read_holder(&mut file)));
    }
    kill_point::kill_point("elect.locked");
    let me = identity::this_process()?;
    let tty = std::fs::read_link("/proc/self/fd/0").ok().filter(|p| p.starts_with("/dev/"));
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
