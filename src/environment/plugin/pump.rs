//! What goes on around an instance: its streams are read and written, its messages sorted, its end noticed.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::connection::{CALLS_MAX, Output};
use super::message::{self, Incoming, Lines, RpcError};
use super::notes::{Budget, Notes};
use super::now_ms;
use super::process::{Process, Streams};

/// Outputs that wait to be taken.
const OUTPUTS: usize = 16;
/// Calls given up that are remembered, so that a late answer is told from one that was never asked for.
const GIVEN_UP: usize = 256;
/// Lines that are no message: so many at once, and so many more in a minute, before it is ended.
const GARBAGE: (u32, u32) = (100, 10);
/// The same for messages that nobody asked for.
const NEEDLESS: (u32, u32) = (2_000, 6_000);
/// Time that a plugin whose input ended has before SIGTERM, and then before SIGKILL.
const LEAVE_LIMIT: Duration = Duration::from_millis(500);
const TERM_LIMIT: Duration = Duration::from_secs(5);
/// Time in which the last of its output comes after its end.
const LAST_LIMIT: Duration = Duration::from_millis(500);

/// How an instance is to end.
#[derive(Debug)]
pub(super) enum Order {
    /// At once, for this reason.
    Kill(String),
    /// By the end of its input, then by signals.
    End,
}

type Answer = oneshot::Sender<Result<Value, RpcError>>;

#[derive(Debug, Default)]
struct Calls {
    last: u64,
    waiting: HashMap<u64, Answer>,
    given_up: VecDeque<u64>,
    over: bool,
}

/// What the tasks around an instance share with whoever asks it.
#[derive(Debug)]
pub(super) struct Shared {
    calls: Mutex<Calls>,
    outputs: Mutex<HashMap<String, mpsc::Sender<Output>>>,
    notes: Mutex<Notes>,
    heard: AtomicU64,
    delivering: AtomicBool,
    /// Set once: why it ended.
    pub(super) end: watch::Sender<Option<String>>,
}

/// What a mutex guards stays whole whatever panicked beside it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(notes: Notes) -> Self {
        Self {
            calls: Mutex::default(),
            outputs: Mutex::default(),
            notes: Mutex::new(notes),
            heard: AtomicU64::new(now_ms()),
            delivering: AtomicBool::new(false),
            end: watch::Sender::new(None),
        }
    }

    /// Expects an answer; the id to ask with. None when it has ended or too many wait.
    pub(super) fn expect_answer(&self, answer: Answer) -> Option<u64> {
        let mut calls = lock(&self.calls);
        if calls.over || calls.waiting.len() >= CALLS_MAX {
            return None;
        }
        calls.last += 1;
        let id = calls.last;
        calls.waiting.insert(id, answer);
        Some(id)
    }

    /// Expects it no longer; whether it was expected.
    pub(super) fn give_up(&self, id: u64, is_sent: bool) -> bool {
        let mut calls = lock(&self.calls);
        let was = calls.waiting.remove(&id).is_some();
        if was && is_sent {
            calls.given_up.push_back(id);
            if calls.given_up.len() > GIVEN_UP {
                calls.given_up.pop_front();
            }
        }
        was
    }

    pub(super) fn outputs(&self, execution: &str) -> mpsc::Receiver<Output> {
        let (sender, receiver) = mpsc::channel(OUTPUTS);
        lock(&self.outputs).insert(execution.to_owned(), sender);
        receiver
    }

    pub(super) fn notes(&self) -> Notes {
        lock(&self.notes).clone()
    }

    pub(super) fn silent_for(&self) -> Duration {
        if self.delivering.load(Ordering::Acquire) {
            return Duration::ZERO;
        }
        Duration::from_millis(now_ms().saturating_sub(self.heard.load(Ordering::Acquire)))
    }

    /// Takes one line; false when it was of no use.
    async fn take(&self, line: &[u8], outgoing: &mpsc::WeakSender<Vec<u8>>) -> bool {
        match message::read(line) {
            Incoming::Answer(id, answer) => {
                let (waiting, is_late) = {
                    let mut calls = lock(&self.calls);
                    let waiting = calls.waiting.remove(&id);
                    let at = calls.given_up.iter().position(|late| *late == id);
                    (waiting, at.and_then(|at| calls.given_up.remove(at)).is_some())
                };
                if let Some(waiting) = waiting {
                    let _nobody = waiting.send(answer);
                    return true;
                }
                let mut notes = lock(&self.notes);
                *(if is_late { &mut notes.late } else { &mut notes.unknown_ids }) += 1;
                false
            }
            Incoming::Stray => {
                lock(&self.notes).unknown_ids += 1;
                false
            }
            Incoming::Request(id) => {
                if let Some(outgoing) = outgoing.upgrade() {
                    let _full = outgoing.try_send(message::no_method(&id));
                }
                lock(&self.notes).unknown += 1;
                false
            }
            Incoming::Notification(method, params) if method == "execute.output" => self.deliver(&params).await,
            Incoming::Notification(method, params) if method == "log" => {
                tracing::info!(target: "plugin", "{}", params["message"].as_str().unwrap_or_default());
                false
            }
            Incoming::Notification(..) => {
                lock(&self.notes).unknown += 1;
                false
            }
            Incoming::Garbage => {
                lock(&self.notes).garbage(line);
                false
            }
        }
    }

    async fn deliver(&self, params: &Value) -> bool {
        let bytes = params["dataBase64"].as_str().and_then(message::decode);
        let to = params["executionId"].as_str().and_then(|id| lock(&self.outputs).get(id).cloned());
        if let (Some(bytes), Some(to), Some(offset)) = (bytes, to, params["offset"].as_u64()) {
            let output = Output { is_stderr: params["stream"] == "stderr", offset, bytes };
            self.delivering.store(true, Ordering::Release);
            let taken = to.send(output).await.is_ok();
            self.delivering.store(false, Ordering::Release);
            self.heard.store(now_ms(), Ordering::Release);
            if taken {
                return true;
            }
        }
        lock(&self.notes).unknown += 1;
        false
    }

    fn close(&self, why: String) {
        {
            let mut calls = lock(&self.calls);
            calls.over = true;
            calls.waiting.clear();
        }
        lock(&self.outputs).clear();
        self.end.send_replace(Some(why));
    }
}

/// Lets the tasks around an instance begin; they end with it.
pub(super) fn begin(
    process: Process,
    streams: Streams,
    lines: mpsc::Receiver<Vec<u8>>,
    orders: mpsc::Receiver<Order>,
    shared: Arc<Shared>,
    outgoing: mpsc::WeakSender<Vec<u8>>,
    complaints: mpsc::Sender<Order>,
) {
    let reading = tokio::spawn(read(streams.stdout, Arc::clone(&shared), outgoing, complaints));
    let errors = tokio::spawn(read_errors(streams.stderr, Arc::clone(&shared)));
    let writing = tokio::spawn(write(streams.stdin, lines));
    tokio::spawn(keep(process, orders, reading, errors, writing, shared));
}

/// Ends with the stream, or with what cannot be read on.
async fn read(
    mut stdout: pipe::Receiver,
    shared: Arc<Shared>,
    outgoing: mpsc::WeakSender<Vec<u8>>,
    complaints: mpsc::Sender<Order>,
) {
    let (mut lines, mut buffer) = (Lines::default(), vec![0; 64 << 10]);
    let mut garbage = Budget::new(GARBAGE.0, GARBAGE.1);
    let mut needless = Budget::new(NEEDLESS.0, NEEDLESS.1);
    let why = 'reading: loop {
        let n = match stdout.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(n) => n,
        };
        shared.heard.store(now_ms(), Ordering::Release);
        let Ok(complete) = lines.take(&buffer[..n]) else {
            break format!("it wrote a line of more than {} bytes", message::LINE_MAX);
        };
        for line in complete {
            let before = lock(&shared.notes).garbage;
            if shared.take(&line, &outgoing).await {
                continue;
            }
            let is_garbage = lock(&shared.notes).garbage > before;
            if !(if is_garbage { &mut garbage } else { &mut needless }).take(now_ms()) {
                let what = if is_garbage { "lines that are no JSON-RPC" } else { "messages that nobody asked for" };
                break 'reading format!("it wrote too many {what}");
            }
        }
    };
    let _ending = complaints.try_send(Order::Kill(why));
}

async fn read_errors(mut stderr: pipe::Receiver, shared: Arc<Shared>) {
    let mut buffer = vec![0; 8 << 10];
    while let Ok(n @ 1..) = stderr.read(&mut buffer).await {
        lock(&shared.notes).stderr(&buffer[..n]);
    }
}

async fn write(mut stdin: pipe::Sender, mut lines: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = lines.recv().await {
        if stdin.write_all(&line).await.is_err() {
            return;
        }
    }
}

/// Waits for the end of an instance, or brings it about; then everybody who waits is told.
async fn keep(
    process: Process,
    mut orders: mpsc::Receiver<Order>,
    mut reading: JoinHandle<()>,
    mut errors: JoinHandle<()>,
    writing: JoinHandle<()>,
    shared: Arc<Shared>,
) {
    let mut asked = None;
    tokio::select! {
        () = process.ended() => {}
        // What has closed its output cannot answer any more.
        _ = &mut reading => {
            // A complaint of the reader is an order; it was sent before the reader ended.
            match orders.try_recv() {
                Ok(Order::Kill(why)) => asked = Some(why),
                _ if process.ended_within(LAST_LIMIT).await => {}
                _ => asked = Some("it closed its stdout".to_owned()),
            }
        }
        order = orders.recv() => match order {
            Some(Order::Kill(why)) => asked = Some(why),
            None => asked = Some("nobody needs it any more".to_owned()),
            Some(Order::End) => {
                writing.abort();
                if !process.ended_within(LEAVE_LIMIT).await {
                    process.signal(Signal::TERM);
                    process.ended_within(TERM_LIMIT).await;
                }
            }
        }
    }
    writing.abort();
    if asked.is_none() {
        // What it wrote last is still in the pipe, and may wait for whoever takes it.
        while !reading.is_finished() && shared.silent_for() < LAST_LIMIT {
            let _more = tokio::time::timeout(Duration::from_millis(20), &mut reading).await;
        }
    }
    let end = process.finish().await;
    let _held = tokio::time::timeout(LAST_LIMIT, &mut errors).await;
    reading.abort();
    errors.abort();
    shared.close(match asked {
        Some(why) => why,
        None => end,
    });
}
