//! Faults, drawn from a seed and written down: who was killed, stopped, deleted, cut or flipped, and when.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wharf::process::signal::{self, Signal};
use wharf_model::shim::{IdFile, ProcessRef};

/// Variable that replaces the seed of every test.
const VARIABLE: &str = "WHARF_TEST_SEED";

/// Whoever makes things go wrong. Prints its log when the test fails.
pub struct Nemesis {
    seed: u64,
    state: u64,
    began: Instant,
    log: Vec<String>,
}

impl Nemesis {
    /// With this seed, unless `WHARF_TEST_SEED` says another.
    pub fn new(seed: u64) -> Self {
        let seed = std::env::var(VARIABLE).ok().and_then(|s| s.parse().ok()).unwrap_or(seed);
        Self { seed, state: seed, began: Instant::now(), log: Vec::new() }
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }

    /// Waits a random time below this: any moment will do, and the seed says which.
    pub fn pause(&mut self, below: Duration) {
        let pause = Duration::from_micros(self.below(below.as_micros() as u64));
        std::thread::sleep(pause);
    }

    /// Writes a fault down.
    pub fn note(&mut self, what: impl Into<String>) {
        self.log.push(format!("{:>8.3} s  {}", self.began.elapsed().as_secs_f64(), what.into()));
    }

    /// SIGKILL, SIGSTOP, SIGCONT to exactly this process; says whether it was there.
    pub fn signal(&mut self, whom: &str, process: ProcessRef, signal: Signal) -> bool {
        self.note(format!("{signal:?} to {whom} ({})", process.pid));
        signal::send(process, signal).unwrap()
    }

    pub fn kill(&mut self, whom: &str, process: ProcessRef) -> bool {
        self.signal(whom, process, Signal::KILL)
    }

    /// Deletes a file.
    pub fn delete(&mut self, path: &Path) {
        self.note(format!("deletes {}", path.display()));
        fs::remove_file(path).unwrap();
    }

    /// Cuts a file to a random length below its own.
    pub fn truncate(&mut self, path: &Path) -> u64 {
        let length = fs::metadata(path).unwrap().len();
        let to = self.below(length);
        self.truncate_to(path, to);
        to
    }

    pub fn truncate_to(&mut self, path: &Path, to: u64) {
        self.note(format!("cuts {} to {to} bytes", path.display()));
        fs::File::options().write(true).open(path).unwrap().set_len(to).unwrap();
    }

    /// Flips one random bit in a range of a file; gives the byte's place.
    pub fn flip(&mut self, path: &Path, range: std::ops::Range<u64>) -> u64 {
        use std::os::unix::fs::FileExt as _;
        let (at, bit) = (range.start + self.below(range.end - range.start), self.below(8));
        self.note(format!("flips bit {bit} of byte {at} of {}", path.display()));
        let file = fs::File::options().read(true).write(true).open(path).unwrap();
        let mut byte = [0u8];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ (1 << bit)], at).unwrap();
        at
    }
}

impl Drop for Nemesis {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {} ({VARIABLE}); faults:\n{}", self.seed, self.log.join("\n"));
        }
    }
}

/// The shim that keeps a directory, as the directory names it.
pub fn shim_of(dir: &Path) -> Option<ProcessRef> {
    let id: IdFile = serde_json::from_slice(&fs::read(dir.join("id.json")).ok()?).ok()?;
    Some(id.shim)
}

/// The first segment of a directory's log.
pub fn log_of(dir: &Path) -> PathBuf {
    dir.join("out.000001.wlog")
}
