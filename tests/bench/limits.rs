//! What the machine can do at most, measured here and now.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Processor, cores, memory, kernel, file system of the measured directory, load.
pub fn machine() -> String {
    let field = |file: &str, key: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|l| l.starts_with(key)).unwrap_or_default();
        line.split_once(':').map_or_else(String::new, |(_, v)| v.trim().to_owned())
    };
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!(
        "machine: {}, {cores} cores, {}, Linux {}, load {}",
        field("/proc/cpuinfo", "model name"),
        field("/proc/meminfo", "MemTotal"),
        kernel.trim(),
        load()
    )
}

/// Load of the last minute.
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Does something again and again for about a third of a second; gives how often in a second.
pub fn per_second(mut once: impl FnMut()) -> f64 {
    let began = Instant::now();
    let mut done = 0_u32;
    while done < 3 || began.elapsed() < Duration::from_millis(300) {
        once();
        done += 1;
    }
    f64::from(done) / began.elapsed().as_secs_f64()
}

/// Starts a program through `posix_spawn` and waits for it.
pub fn spawn(program: &Path, args: &[&str]) {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null());
    assert!(command.status().unwrap().success());
}

/// Overwrites a page and waits until it is stable.
pub struct RawSync(File);

impl RawSync {
    /// A file of its own in `dir`.
    pub fn new(dir: &Path) -> Self {
        let path = dir.join("raw");
        std::fs::write(&path, vec![0; 1 << 20]).unwrap();
        let file = File::options().write(true).open(path).unwrap();
        file.sync_all().unwrap();
        Self(file)
    }

    /// One overwrite with fdatasync.
    pub fn once(&self) {
        self.0.write_all_at(&[7; 4096], 64 * 4096).unwrap();
        self.0.sync_data().unwrap();
    }
}

/// A start and two syncs, in a second: the least that a durable start costs.
pub fn durable_starts(dir: &Path, program: &Path, args: &[&str]) -> f64 {
    let sync = RawSync::new(dir);
    per_second(|| {
        spawn(program, args);
        sync.once();
        sync.once();
    })
}

/// Starts of `/bin/true` by eight threads at once, in a second.
pub fn starts_by_eight() -> f64 {
    let began = Instant::now();
    let one = || {
        let mut done = 0_u32;
        while began.elapsed() < Duration::from_millis(400) {
            spawn(Path::new("/bin/true"), &[]);
            done += 1;
        }
        done
    };
    let done: u32 = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
        workers.into_iter().map(|w| w.join().unwrap()).sum()
    });
    f64::from(done) / began.elapsed().as_secs_f64()
}

/// MiB in a second of a loop that reads 64 KiB from a program and writes them to a file, and syncs it
/// whenever this much is not synced.
pub fn copy_loop(dir: &Path, program: &Path, args: &[String], bytes: u64, sync: Option<u64>) -> f64 {
    let path = dir.join("copy");
    let began = Instant::now();
    let mut child = Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    // Refused once a user has many large pipes; the usual size works as well.
    let _ = rustix::pipe::fcntl_setpipe_size(&out, 1 << 20);
    let mut file = File::create(&path).unwrap();
    let mut buffer = vec![0; 64 * 1024];
    let (mut total, mut unsynced) = (0, 0);
    loop {
        let n = out.read(&mut buffer).unwrap();
        if n == 0 {
            break;
        }
        file.write_all(&buffer[..n]).unwrap();
        total += n as u64;
        unsynced += n as u64;
        if sync.is_some_and(|most| unsynced >= most) {
            file.sync_data().unwrap();
            unsynced = 0;
        }
    }
    child.wait().unwrap();
    let rate = total as f64 / began.elapsed().as_secs_f64() / f64::from(1 << 20);
    assert_eq!(total, bytes);
    drop(file);
    std::fs::remove_file(path).unwrap();
    rate
}
