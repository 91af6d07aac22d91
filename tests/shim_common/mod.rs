//! A real shim in a temporary directory, and what it left there.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wharf::process::adopt::{self, Verdict};
use wharf::process::client::ControlClient;
use wharf::process::shim_dir::write_shim_dir;
use wharf::process::spawn::{SpawnedShim, spawn_shim_from};
use wharf::process::{descendants, terminate};
use wharf_model::shim::*;
use wharf_store::log::{Item, LogReader, Stream, StreamSet, Tail};

/// Longest wait for anything that should come at once.
pub const LIMIT: Duration = Duration::from_secs(20);
pub const WHARF: &str = env!("CARGO_BIN_EXE_wharf");

/// One directory and whoever keeps it. Ends all its processes when dropped.
pub struct Place {
    pub root: tempfile::TempDir,
    pub dir: PathBuf,
    pub spec: Spec,
    pub message: StartMessage,
    pub shim: Option<SpawnedShim>,
}

impl Place {
    /// A place for a command given as arguments.
    pub fn new(argv: &[&str]) -> Self {
        Self::in_root(tempfile::tempdir().unwrap(), argv)
    }

    /// A place for a script of sh.
    pub fn sh(script: &str) -> Self {
        Self::new(&["sh", "-c", script])
    }

    pub fn in_root(root: tempfile::TempDir, argv: &[&str]) -> Self {
        let id = uuid::Uuid::now_v7().to_string();
        let tag = format!("t-{id}");
        let env = BTreeMap::from([
            ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("WHARF_TAG".to_owned(), tag.clone()),
        ]);
        let dir = root.path().join("runs").join("aa").join("a1");
        let spec = Spec {
            v: 1,
            kind: ShimKind::Run,
            id,
            attempt: 1,
            epoch: 5,
            argv: argv.iter().map(|a| (*a).to_owned()).collect(),
            cwd: root.path().to_str().unwrap().to_owned(),
            env_names: env.keys().cloned().collect(),
            shell: false,
            tty: None,
            stdin: StdinMode::None,
            timeout_ms: None,
            grace_ms: 2_000,
            log: LogSpec::default(),
            limits: BTreeMap::new(),
            tag,
            redact_count: 0,
            stop_signal: None,
            keep: Vec::new(),
            boot_id: None,
        };
        let message = StartMessage { env, ..StartMessage::default() };
        Self { root, dir, spec, message, shim: None }
    }

    pub fn write(&self) {
        write_shim_dir(&self.dir, &self.spec).unwrap();
    }

    /// Makes the directory and starts the shim.
    pub fn start(&mut self) -> &mut Self {
        self.write();
        self.spawn()
    }

    pub fn spawn(&mut self) -> &mut Self {
        self.shim = Some(spawn_shim_from(Path::new(WHARF), &self.dir, &self.message).unwrap());
        self
    }

    /// Waits for the shim's end and gives its exit status.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.wait_for(LIMIT)
    }

    pub fn wait_for(&mut self, limit: Duration) -> std::process::ExitStatus {
        let status = self.shim.as_mut().unwrap().wait_for(limit).unwrap();
        status.unwrap_or_else(|| panic!("the shim still runs after {limit:?}; it says: {}", self.errors()))
    }

    /// Runs to the end and gives the exit frame.
    pub fn run(&mut self) -> ExitFrame {
        self.start();
        self.finish()
    }

    pub fn finish(&mut self) -> ExitFrame {
        let status = self.wait();
        assert!(status.success(), "{status}; it says: {}", self.errors());
        self.exit()
    }

    pub fn exit(&self) -> ExitFrame {
        match adopt::judge(&self.dir).unwrap() {
            Verdict::Ended(frame) => *frame,
            other => panic!("no exit frame: {other:?}; it says: {}", self.errors()),
        }
    }

    pub fn errors(&self) -> String {
        std::fs::read_to_string(self.dir.join("shim.err")).unwrap_or_default()
    }

    /// Payload of one stream, gaps left out.
    pub fn bytes(&self, stream: Stream) -> Vec<u8> {
        self.frames(stream).into_iter().filter(|f| f.1 & wharf_store::log::FLAG_GAP == 0).flat_map(|f| f.2).collect()
    }

    pub fn text(&self, stream: Stream) -> String {
        String::from_utf8(self.bytes(stream)).unwrap()
    }

    /// All frames of one stream: seq, flags, payload. The log must be sound, its numbers whole.
    pub fn frames(&self, stream: Stream) -> Vec<(u64, u8, Vec<u8>)> {
        let mut reader = LogReader::open(&self.dir).unwrap();
        let mut position = reader.start();
        let mut frames = Vec::new();
        let mut seq = 0;
        loop {
            match reader.next(&mut position).unwrap() {
                Item::Frame(frame) => {
                    seq += 1;
                    assert_eq!(frame.head.seq, seq, "numbers without holes");
                    if frame.stream == stream {
                        frames.push((frame.head.seq, frame.head.flags, frame.payload.to_vec()));
                    }
                }
                Item::End(tail) => {
                    assert!(matches!(tail, Tail::Clean), "{tail:?}");
                    return frames;
                }
                Item::Damage(damage) => panic!("damage in the log: {damage:?}"),
            }
        }
    }

    /// Control records of one kind.
    pub fn records(&self, t: &str) -> Vec<serde_json::Value> {
        let all = self.frames(Stream::Control).into_iter();
        all.map(|f| serde_json::from_slice::<serde_json::Value>(&f.2).unwrap()).filter(|v| v["t"] == t).collect()
    }

    /// Connects to the shim, once it listens.
    pub fn connect(&self, epoch: i64) -> ControlClient {
        eventually("the control socket", || ControlClient::connect(&self.dir, epoch, LIMIT).ok())
    }

    /// Connects and waits until the child runs.
    pub fn watch(&self) -> ControlClient {
        let mut client = self.connect(self.spec.epoch);
        assert_eq!(client.ask(&Control::Watch).unwrap(), ControlReply::Ok);
        match client.next_push(LIMIT).unwrap() {
            Some(ControlReply::Started { .. }) => client,
            other => panic!("instead of started: {other:?}"),
        }
    }

    /// Waits until the child has printed `text`.
    pub fn wait_for_text(&self, text: &str) {
        eventually(&format!("the output {text:?}"), || {
            if !self.dir.join("out.000001.wlog").exists() {
                return None;
            }
            let reader = &mut LogReader::open(&self.dir).ok()?;
            let mut out = Vec::new();
            let mut position = reader.start();
            while let Ok(Item::Frame(frame)) = reader.next_of(&mut position, StreamSet::of(&[Stream::Stdout])) {
                out.extend_from_slice(frame.payload);
            }
            String::from_utf8_lossy(&out).contains(text).then_some(())
        });
    }

    /// Living processes that carry the tag.
    pub fn tagged(&self) -> Vec<String> {
        descendants::by_tag(&self.spec.tag).unwrap().found.into_iter().map(|p| p.comm).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = terminate::tagged(&self.spec.tag, Duration::ZERO, &[]);
        if let Some(shim) = &mut self.shim
            && !matches!(shim.wait_for(Duration::from_secs(5)), Ok(Some(_)))
        {
            let me = wharf::process::identity::process(shim.pid());
            if let Ok(Some(me)) = me {
                let _ = wharf::process::signal::send(me, wharf::process::signal::Signal::KILL);
            }
            let _ = shim.wait_for(Duration::from_secs(5));
        }
    }
}

/// Asks until there is an answer, for at most [`LIMIT`].
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited {LIMIT:?} for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
