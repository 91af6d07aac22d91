//! Runs a command in a place as a shim does: wrapped, with a directory, variables, and a first line on its input.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use uuid::Uuid;
use wharf::environment::driver::{Held, Realised};
use wharf::environment::target::{Inside, Wrapped};

use super::bench::Bench;

/// Longest time a command may take.
const LIMIT: Duration = Duration::from_secs(30);

pub struct Command {
    argv: Vec<String>,
    own: BTreeMap<String, String>,
    input: Vec<u8>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub out: Vec<u8>,
    pub err: Vec<u8>,
}

impl Ran {
    /// Standard output as words for people.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).trim_end().to_owned()
    }
}

/// A script of sh; `$1` and so on are what [`Command::arg`] adds.
pub fn sh(script: &str) -> Command {
    Command::new(&["sh", "-c", script, "sh"])
}

impl Command {
    pub fn new(argv: &[&str]) -> Self {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        let own = BTreeMap::from([("WHARF_TAG".to_owned(), format!("run/{}/1", Uuid::now_v7()))]);
        Self { argv, own, input: Vec::new() }
    }

    pub fn arg(mut self, word: &str) -> Self {
        self.argv.push(word.to_owned());
        self
    }

    /// A variable that a config or wharf sets.
    pub fn var(mut self, name: &str, value: &str) -> Self {
        self.own.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn input(mut self, bytes: &[u8]) -> Self {
        self.input = bytes.to_vec();
        self
    }

    pub fn tag(&self) -> &str {
        &self.own["WHARF_TAG"]
    }

    /// The command of this machine.
    pub fn wrap(&self, b: &Bench, held: &Held, realised: Option<&Realised>) -> Wrapped {
        let target = b.target(held, realised);
        let here = b.root.path().display().to_string();
        let cwd = realised.map_or_else(|| here.clone(), |realised| realised.cwd.clone());
        target.wrap(&Inside {
            argv: &self.argv,
            cwd: &cwd,
            allowed: &b.made.operator,
            own: &self.own,
            tty: false,
            here: &here,
        })
    }

    /// Runs it to its end.
    pub fn run(&self, b: &Bench, held: &Held, realised: Option<&Realised>) -> Ran {
        self.start(b, held, realised).end(b)
    }

    /// Starts it; its input ends behind what it is given, as that of every run does.
    pub fn start(&self, b: &Bench, held: &Held, realised: Option<&Realised>) -> Running {
        let wrapped = self.wrap(b, held, realised);
        let spawned = std::process::Command::new(&wrapped.argv[0])
            .args(&wrapped.argv[1..])
            .env_clear()
            .envs(&wrapped.env)
            .current_dir(&wrapped.cwd)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.unwrap_or_else(|e| panic!("driver {}: {:?}: {e}", b.name, wrapped.argv));
        let (mut stdin, mut input) = (child.stdin.take().unwrap(), wrapped.first_line.unwrap_or_default().into_bytes());
        input.extend_from_slice(&self.input);
        // One that does not read closes it early.
        std::thread::spawn(move || stdin.write_all(&input));
        let out = reads(child.stdout.take().unwrap());
        let err = reads(child.stderr.take().unwrap());
        Running { child, tag: self.tag().to_owned(), out, err, seen: Vec::new() }
    }
}

fn reads(mut from: impl std::io::Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            if tell.send(buffer[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    told
}

/// A command that goes on. Killed when dropped, with what of it is on this machine.
pub struct Running {
    child: Child,
    tag: String,
    out: Receiver<Vec<u8>>,
    err: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl Running {
    /// Waits until it has printed a text.
    pub fn says(&mut self, b: &Bench, text: &str) {
        let end = Instant::now() + LIMIT;
        while !String::from_utf8_lossy(&self.seen).contains(text) {
            match self.out.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.seen.extend(bytes),
                Err(why) => {
                    let err: Vec<u8> = self.err.try_iter().flatten().collect();
                    let (out, err) = (String::from_utf8_lossy(&self.seen), String::from_utf8_lossy(&err));
                    panic!("driver {}: a command does not say {text:?} ({why}): {out:?} {err:?}", b.name)
                }
            }
        }
    }

    /// SIGTERM to what waits here and to all that descends from it on this machine.
    pub fn ask_to_end(&self) {
        let pid = self.child.id() as i32;
        let tree = wharf::process::descendants::of(pid).unwrap();
        for pid in tree.iter().map(|process| process.id.pid).chain([pid]) {
            // One that has ended meanwhile needs no signal.
            let _ = rustix::process::kill_process(Pid::from_raw(pid).unwrap(), rustix::process::Signal::TERM);
        }
    }

    /// Kills what waits here, as a keeper that dies; what runs there may go on.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end, and for that of everybody who holds its output.
    pub fn end(mut self, b: &Bench) -> Ran {
        let end = Instant::now() + LIMIT;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            // Drained meanwhile: what reads is another thread, and its channel has no limit.
            assert!(Instant::now() < end, "driver {}: a command did not end within {LIMIT:?}", b.name);
            std::thread::sleep(Duration::from_millis(2));
        };
        let rest = |from: &Receiver<Vec<u8>>| {
            let mut all = Vec::new();
            while let Ok(bytes) = from.recv_timeout(end.saturating_duration_since(Instant::now())) {
                all.extend(bytes);
            }
            all
        };
        let mut out = std::mem::take(&mut self.seen);
        out.extend(rest(&self.out));
        Ran { code: status.code(), signal: status.signal(), out, err: rest(&self.err) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // What a check that failed has left.
        let _ = wharf::process::terminate::tagged(&self.tag, Duration::ZERO, &[]);
    }
}
