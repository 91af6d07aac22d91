//! The program that runs execute in the tests of faults: it writes numbered lines with checksums, waits
//! where it is told to, ends as it is told to, and keeps its own totals where wharf never writes.
//!
//! It is this test binary, started again by a script of sh (see [`Plan::script`]); what it writes follows
//! from a seed alone, so that the checker knows every byte without having kept one.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Variable that carries the plan, as JSON.
const VARIABLE: &str = "WHARF_FAULT_CHILD";
/// Shortest line: `out 0000000000 <8> <8>` with its newline.
pub const LINE_MIN: usize = 33;

/// The two streams of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Out,
    Err,
}

impl Side {
    pub const BOTH: [Self; 2] = [Self::Out, Self::Err];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Err => "err",
        }
    }

    /// The name that the store gives it.
    pub const fn stream(self) -> wharf_store::log::Stream {
        match self {
            Self::Out => wharf_store::log::Stream::Stdout,
            Self::Err => wharf_store::log::Stream::Stderr,
        }
    }
}

/// How a child ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// Exits with a code.
    Exit(i32),
    /// Kills itself with this signal.
    Signal(i32),
    /// Stops itself (SIGSTOP) after its last line; exits with 0 once it is let go.
    StopSelf,
    /// Never.
    Never,
}

/// What else the script does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Also {
    /// Everyone in the tree ignores SIGTERM.
    Deaf,
    /// A process that left group, session and every descriptor, has two dead parents and another name.
    Daemon,
    /// A process in a session of its own, with the streams of the child.
    Setsid,
    /// A process that holds the child's output open after it has ended, until it is stopped.
    Holder,
}

/// What a child does, all of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Decides every byte.
    pub seed: u64,
    /// Lines on standard output and standard error.
    pub lines: [u64; 2],
    /// Length of a line with its newline; at least [`LINE_MIN`].
    pub line_bytes: usize,
    /// Lines handed to one `write`.
    pub batch: u64,
    /// Pause after each write.
    pub pause_us: u64,
    /// Files to wait for, each before the line of standard output with this number.
    pub gates: Vec<(u64, String)>,
    /// How it ends.
    pub end: End,
    /// What its script does beside it.
    pub also: Vec<Also>,
    /// Variable whose value every third line begins its nonce with: a secret.
    pub secret: Option<String>,
    /// Directory for the totals.
    pub totals: String,
}

impl Plan {
    /// A child that writes some lines on both streams and ends with 0. `$ROOT` in paths is the site's.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            lines: [200, 50],
            line_bytes: 100,
            batch: 1,
            pause_us: 0,
            gates: Vec::new(),
            end: End::Exit(0),
            also: Vec::new(),
            secret: None,
            totals: "$ROOT/totals".to_owned(),
        }
    }

    pub fn lines(mut self, out: u64, err: u64) -> Self {
        self.lines = [out, err];
        self
    }

    pub fn line_bytes(mut self, bytes: usize) -> Self {
        assert!(bytes >= LINE_MIN, "a line has at least {LINE_MIN} bytes");
        self.line_bytes = bytes;
        self
    }

    pub fn batch(mut self, lines: u64) -> Self {
        self.batch = lines.max(1);
        self
    }

    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause_us = pause.as_micros() as u64;
        self
    }

    pub fn gate(mut self, before_line: u64, name: &str) -> Self {
        self.gates.push((before_line, format!("$ROOT/{name}")));
        self
    }

    pub fn end(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    pub fn exit(self, code: i32) -> Self {
        self.end(End::Exit(code))
    }

    pub fn also(mut self, also: Also) -> Self {
        self.also.push(also);
        self
    }

    /// Every third line tells the secret that this variable holds.
    pub fn tell(mut self, variable: &str) -> Self {
        self.secret = Some(variable.to_owned());
        self
    }

    /// A flood: as fast as it can, until it is ended.
    pub fn flood(mut self) -> Self {
        self.lines = [u64::MAX, 0];
        self.batch = 40;
        self
    }

    /// The script of sh that becomes this child.
    pub fn script(&self) -> String {
        let mut script = String::new();
        if self.also.contains(&Also::Deaf) {
            script.push_str("trap '' TERM; ");
        }
        if self.also.contains(&Also::Daemon) {
            script.push_str(
                "perl -e 'use POSIX; exit if fork; POSIX::setsid(); exit if fork; $SIG{TERM} = \"IGNORE\"; \
                 open(my $f, \">>\", \"$ROOT/daemon\"); print $f \"$$\\n\"; close $f; POSIX::close($_) for 0..9; $0 = \"innocent\"; sleep 600'; ",
            );
        }
        if self.also.contains(&Also::Setsid) {
            script.push_str("setsid sh -c 'while :; do sleep 600; done' & ");
        }
        if self.also.contains(&Also::Holder) {
            script.push_str("sh -c 'while :; do sleep 600; done' & ");
        }
        let binary = std::env::current_exe().unwrap();
        let plan = serde_json::to_string(self).unwrap();
        // The harness of the binary prints a line of its own; the child's streams are kept from it.
        script.push_str(&format!(
            "{VARIABLE}='{plan}' exec '{}' --ignored --exact child::the_child --nocapture --test-threads=1 \
             3>&1 4>&2 >/dev/null 2>&1",
            binary.display()
        ));
        script
    }
}

/// One line of a stream; every third one tells the secret, as far as it has room.
pub fn line(seed: u64, side: Side, seq: u64, bytes: usize, secret: Option<&str>, into: &mut Vec<u8>) {
    let begin = into.len();
    into.extend_from_slice(format!("{} {seq:010} ", side.word()).as_bytes());
    let mut random = seed ^ seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ ((side as u64) << 63);
    let nonce_end = begin + bytes - 10;
    if let Some(secret) = secret.filter(|s| seq.is_multiple_of(3) && into.len() + s.len() <= nonce_end) {
        into.extend_from_slice(secret.as_bytes());
    }
    while into.len() < nonce_end {
        random = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        random = (random ^ (random >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) ^ (into.len() - begin) as u64;
        let word = format!("{random:016x}");
        let take = word.len().min(nonce_end - into.len());
        into.extend_from_slice(&word.as_bytes()[..take]);
    }
    let crc = crc32(&into[begin..]);
    into.extend_from_slice(format!(" {crc:08x}\n").as_bytes());
}

const CRC: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut value = i as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[i] = value;
        i += 1;
    }
    table
};

/// CRC-32 (IEEE).
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| CRC[((crc ^ u32::from(*byte)) & 255) as usize] ^ (crc >> 8))
}

/// What a child counted about itself, up to the moment of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    pub seed: u64,
    pub line_bytes: u64,
    pub pid: u64,
    /// Bytes handed to `write`, by stream.
    pub handed: [u64; 2],
    /// Bytes that `write` took.
    pub taken: [u64; 2],
    /// Bytes that `write` refused with an error.
    pub refused: [u64; 2],
    /// 1 once it has written everything.
    pub done: u64,
    /// Code it is about to exit with, plus one; 0 when it will not exit by itself.
    pub code_plus_one: u64,
}

impl Totals {
    fn words(&self) -> [u64; 11] {
        let [h, t, r] = [self.handed, self.taken, self.refused];
        [self.seed, self.line_bytes, self.pid, h[0], h[1], t[0], t[1], r[0], r[1], self.done, self.code_plus_one]
    }

    /// Writes it in one call, so that a death leaves the former or the latter.
    fn store(&self, file: &File) {
        let bytes: Vec<u8> = self.words().iter().flat_map(|w| w.to_le_bytes()).collect();
        file.write_all_at(&bytes, 0).unwrap();
    }

    fn load(path: &Path) -> Option<Self> {
        let bytes = std::fs::read(path).ok()?;
        let words: Vec<u64> = bytes.chunks_exact(8).map(|w| u64::from_le_bytes(w.try_into().unwrap())).collect();
        let [seed, line_bytes, pid, h0, h1, t0, t1, r0, r1, done, code_plus_one] = words[..] else { return None };
        let (handed, taken, refused) = ([h0, h1], [t0, t1], [r0, r1]);
        Some(Self { seed, line_bytes, pid, handed, taken, refused, done, code_plus_one })
    }

    /// All totals in a directory, each with the run and the attempt that its child was told.
    pub fn read_all(dir: &Path) -> Vec<(String, u32, Self)> {
        let mut all: Vec<_> = std::fs::read_dir(dir)
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let name = path.file_name()?.to_str()?.to_owned();
                let mut parts = name.rsplitn(3, '.');
                let (_pid, attempt, run) = (parts.next()?, parts.next()?, parts.next()?);
                Some((run.to_owned(), attempt.parse().ok()?, Self::load(&path)?))
            })
            .collect();
        all.sort_by_key(|(run, attempt, totals)| (run.clone(), *attempt, totals.pid));
        all
    }
}

/// The program itself.
struct Child {
    plan: Plan,
    totals: Totals,
    file: File,
}

impl Child {
    fn new(plan: Plan) -> Self {
        let var = |name: &str| std::env::var(name).unwrap_or_else(|_| "none".to_owned());
        let dir = PathBuf::from(&plan.totals);
        std::fs::create_dir_all(&dir).unwrap();
        let pid = std::process::id();
        let name = format!("{}.{}.{pid}", var("WHARF_RUN_ID"), var("WHARF_ATTEMPT"));
        let file = File::options().write(true).create_new(true).open(dir.join(name)).unwrap();
        let code_plus_one = match plan.end {
            End::Exit(code) => code as u64 + 1,
            End::StopSelf => 1,
            End::Signal(_) | End::Never => 0,
        };
        let (seed, line_bytes) = (plan.seed, plan.line_bytes as u64);
        let totals = Totals { seed, line_bytes, pid: u64::from(pid), code_plus_one, ..Totals::default() };
        totals.store(&file);
        Self { plan, totals, file }
    }

    fn hand(&mut self, side: Side, bytes: &[u8]) {
        let at = side as usize;
        self.totals.handed[at] += bytes.len() as u64;
        self.totals.store(&self.file);
        let mut left = bytes;
        while !left.is_empty() {
            let wrote = match side {
                Side::Out => rustix::io::write(rustix::stdio::stdout(), left),
                Side::Err => rustix::io::write(rustix::stdio::stderr(), left),
            };
            match wrote {
                Ok(n) => {
                    self.totals.taken[at] += n as u64;
                    left = &left[n..];
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => {
                    self.totals.refused[at] += left.len() as u64;
                    break;
                }
            }
        }
        self.totals.store(&self.file);
        if self.totals.refused[0] > 0 && self.totals.refused[1] > 0 {
            std::process::exit(77);
        }
    }

    fn write_everything(&mut self) {
        let secret = self.plan.secret.as_ref().map(|name| std::env::var(name).unwrap());
        let mut next = [0u64; 2];
        let mut buffer = Vec::new();
        let gates = std::mem::take(&mut self.plan.gates);
        let mut gates = gates.iter().peekable();
        loop {
            let mut wrote = false;
            for side in Side::BOTH {
                let at = side as usize;
                let mut until = self.plan.lines[at].min(next[at] + self.plan.batch);
                if side == Side::Out
                    && let Some((before, gate)) = gates.peek()
                {
                    if next[at] == *before {
                        while !Path::new(gate).exists() {
                            std::thread::sleep(Duration::from_millis(2));
                        }
                        gates.next();
                    } else {
                        until = until.min(*before);
                    }
                }
                buffer.clear();
                while next[at] < until {
                    line(self.plan.seed, side, next[at], self.plan.line_bytes, secret.as_deref(), &mut buffer);
                    next[at] += 1;
                }
                if !buffer.is_empty() {
                    wrote = true;
                    self.hand(side, &buffer);
                    if self.plan.pause_us > 0 {
                        std::thread::sleep(Duration::from_micros(self.plan.pause_us));
                    }
                }
            }
            if !wrote && gates.peek().is_none() {
                break;
            }
        }
        self.totals.done = 1;
        self.totals.store(&self.file);
    }

    fn end(&self) -> ! {
        let raise = |number: i32| {
            let signal = rustix::process::Signal::from_named_raw(number).unwrap();
            rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();
        };
        match self.plan.end {
            End::Exit(code) => std::process::exit(code),
            End::Signal(number) => raise(number),
            End::StopSelf => {
                raise(19);
                // Any thread may take the signal: this one goes on for a moment.
                std::thread::sleep(Duration::from_millis(300));
                std::process::exit(0);
            }
            End::Never => {}
        }
        loop {
            std::thread::sleep(Duration::from_mins(10));
        }
    }
}

#[test]
#[ignore = "the program that the runs of these tests execute"]
fn the_child() {
    let plan = std::env::var(VARIABLE).expect("it is started by a plan's script");
    // What the script kept aside becomes the streams.
    let [out, err] = [3, 4].map(|n| File::options().write(true).open(format!("/proc/self/fd/{n}")).unwrap());
    rustix::stdio::dup2_stdout(&out).unwrap();
    rustix::stdio::dup2_stderr(&err).unwrap();
    drop((out, err));
    let mut child = Child::new(serde_json::from_str(&plan).unwrap());
    child.write_everything();
    child.end();
}

#[test]
fn lines_carry_their_checksum_and_differ() {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    line(7, Side::Out, 3, LINE_MIN, None, &mut a);
    line(7, Side::Err, 3, 200, Some("correct-horse"), &mut b);
    assert!(b.starts_with(b"err 0000000003 correct-horse"));
    assert_eq!((a.len(), b.len(), a.last(), b.last()), (LINE_MIN, 200, Some(&b'\n'), Some(&b'\n')));
    for one in [&a, &b] {
        let (body, crc) = one.split_at(one.len() - 10);
        assert_eq!(format!(" {:08x}\n", crc32(body)).as_bytes(), crc);
    }
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926, "the check value of CRC-32");
}
