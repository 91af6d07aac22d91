//! Directories, children and shims to measure with.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wharf::process::client::ControlClient;
use wharf::process::shim_dir::write_shim_dir;
use wharf::process::spawn::{SpawnedShim, spawn_shim_from};
use wharf_model::shim::{Control, ControlReply, LogSpec, ShimKind, Spec, StartMessage, StdinMode};

/// The program that is measured.
pub const WHARF: &str = env!("CARGO_BIN_EXE_wharf");
/// Longest wait for anything.
pub const LIMIT: Duration = Duration::from_mins(1);

/// A directory on the disk that is measured (that of `TMPDIR`), in no repository; gone when dropped.
pub fn directory() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("wharf-bench-").tempdir().unwrap()
}

/// This program.
pub fn this() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// What this program does as a child that is measured.
pub fn child(args: &[String]) {
    let number = |at: usize| args[at].parse::<usize>().unwrap();
    match args[0].as_str() {
        "flood" => flood(number(1), number(2)),
        "request" => crate::runs::insert(Path::new(&args[1]), number(2)),
        "stamp" => println!("{}", now_ns()),
        other => panic!("no child {other}"),
    }
}

/// Arguments of a child that writes this many bytes in lines of this length.
pub fn flood_args(bytes: u64, line: usize) -> Vec<String> {
    vec!["child".into(), "flood".into(), bytes.to_string(), line.to_string()]
}

fn flood(bytes: usize, line: usize) {
    let mut text = vec![b'y'; line - 1];
    text.push(b'\n');
    let block = text.repeat(64 * 1024 / line);
    let mut out = std::fs::File::from(std::os::fd::AsFd::as_fd(&std::io::stdout()).try_clone_to_owned().unwrap());
    let mut left = bytes;
    while left > 0 {
        let n = left.min(block.len());
        // A reader that is gone ends the flood.
        if out.write_all(&block[..n]).is_err() {
            return;
        }
        left -= n;
    }
}

/// Awake time of the machine.
pub fn now_ns() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// A shim in a directory of its own.
pub struct Shimmed {
    pub dir: PathBuf,
    pub shim: SpawnedShim,
}

/// Starts the real program as a shim of a command.
pub fn shim(root: &Path, argv: &[String], grace_ms: u64) -> Shimmed {
    let id = uuid::Uuid::now_v7().to_string();
    let tag = format!("bench/{id}");
    let env = BTreeMap::from([
        ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ("WHARF_TAG".to_owned(), tag.clone()),
    ]);
    let dir = root.join("runs").join("aa").join(&id).join("a1");
    let spec = Spec {
        v: 1,
        kind: ShimKind::Run,
        id,
        attempt: 1,
        epoch: 1,
        argv: argv.to_vec(),
        cwd: root.to_str().unwrap().to_owned(),
        env_names: env.keys().cloned().collect(),
        shell: false,
        tty: None,
        stdin: StdinMode::None,
        timeout_ms: None,
        grace_ms,
        log: LogSpec::default(),
        limits: BTreeMap::new(),
        tag,
        redact_count: 0,
        stop_signal: None,
        keep: Vec::new(),
        boot_id: None,
    };
    write_shim_dir(&dir, &spec).unwrap();
    let message = StartMessage { env, ..StartMessage::default() };
    let shim = spawn_shim_from(Path::new(WHARF), &dir, &message).unwrap();
    Shimmed { dir, shim }
}

impl Shimmed {
    /// Waits until the child runs.
    pub fn watch(&self) -> ControlClient {
        let end = std::time::Instant::now() + LIMIT;
        let mut client = loop {
            match ControlClient::connect(&self.dir, 1, LIMIT) {
                Ok(client) => break client,
                Err(error) => assert!(std::time::Instant::now() < end, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        assert_eq!(client.ask(&Control::Watch).unwrap(), ControlReply::Ok);
        match client.next_push(LIMIT).unwrap() {
            Some(ControlReply::Started { .. }) => client,
            other => panic!("instead of started: {other:?}"),
        }
    }

    /// Waits for its end; every byte must be in the log.
    pub fn finish(self, bytes: u64) {
        let dir = self.dir.clone();
        let frame = self.finish_with(|| wharf_store::log::last_exit_frame(&dir).unwrap().unwrap());
        assert_eq!(frame.streams["stdout"].bytes, bytes, "bytes in the log");
    }

    /// Waits for its end, looks at the directory and removes it.
    pub fn finish_with<T>(mut self, look: impl FnOnce() -> T) -> T {
        let status = self.shim.wait_for(LIMIT).unwrap().unwrap_or_else(|| panic!("{} did not end", self.dir.display()));
        assert!(status.success(), "{status}");
        let seen = look();
        std::fs::remove_dir_all(&self.dir).unwrap();
        seen
    }
}
