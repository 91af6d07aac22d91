//! What an instance's tasks share with whoever asks it: the calls that wait, the outputs, the notes.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use super::message::{self, Incoming, RpcError};
use super::notes::Notes;
use super::now_ms;

/// Calls that wait for an answer at one time.
pub(super) const CALLS_MAX: usize = 256;
/// Outputs that wait to be taken.
const OUTPUTS: usize = 16;
/// Calls given up that are remembered, so that a late answer is told from one that was never asked for.
const GIVEN_UP: usize = 256;

/// Output of an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Whether it is the error output.
    pub is_stderr: bool,
    /// Place of the first byte in its stream.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

type Answer = oneshot::Sender<Result<Value, RpcError>>;

#[derive(Debug, Default)]
struct Calls {
    last: u64,
    waiting: HashMap<u64, Answer>,
    given_up: VecDeque<u64>,
    /// Up to this one it is known that the plugin did not hang because of them.
    excused: u64,
    over: bool,
}

/// What the tasks around an instance share with whoever asks it.
#[derive(Debug)]
pub(super) struct Shared {
    calls: Mutex<Calls>,
    outputs: Mutex<HashMap<String, mpsc::Sender<Output>>>,
    pub(super) notes: Mutex<Notes>,
    pub(super) heard: AtomicU64,
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

    pub(super) fn owes_answers(&self) -> bool {
        let calls = lock(&self.calls);
        calls.given_up.iter().any(|id| *id > calls.excused)
    }

    /// It has shown that it is well, by the answer to this call: what it was asked before is held against it no more.
    pub(super) fn excuse(&self, id: u64) {
        let mut calls = lock(&self.calls);
        calls.excused = calls.excused.max(id);
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
    pub(super) async fn take(&self, line: &[u8], outgoing: &mpsc::WeakSender<Vec<u8>>) -> bool {
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
                // Kept with its error output, from which secrets are starred out wherever it is told.
                let said = params["message"].as_str().unwrap_or_default();
                lock(&self.notes).stderr(format!("{said}\n").as_bytes());
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

    /// Tells everybody who waits that it has ended, and why.
    pub(super) fn close(&self, why: String) {
        {
            let mut calls = lock(&self.calls);
            calls.over = true;
            calls.waiting.clear();
        }
        lock(&self.outputs).clear();
        self.end.send_replace(Some(why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_up_is_held_against_it_until_it_shows_that_it_is_well() {
        let shared = Shared::new(Notes::default());
        let ask = || shared.expect_answer(oneshot::channel().0).unwrap();
        let (first, health, later) = (ask(), ask(), ask());
        assert!(shared.give_up(first, true) && shared.owes_answers());
        shared.excuse(health);
        assert!(!shared.owes_answers());
        // What was asked after that is another matter.
        assert!(shared.give_up(later, true) && shared.owes_answers());
    }

    #[tokio::test]
    async fn an_answer_that_was_excused_is_late_all_the_same() {
        let shared = Shared::new(Notes::default());
        let id = shared.expect_answer(oneshot::channel().0).unwrap();
        shared.give_up(id, true);
        shared.excuse(id);
        let (sender, _lines) = mpsc::channel(1);
        let line = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}");
        assert!(!shared.take(line.as_bytes(), &sender.downgrade()).await);
        let notes = shared.notes();
        assert_eq!((notes.late, notes.unknown_ids), (1, 0));
    }
}
