//! One instance of a plugin: its process, the calls that wait for it, and what it sends unasked.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};

use super::message::{self, LINE_MAX, RpcError};
use super::notes::Notes;
use super::process::{self, Launch, Unstarted};
use super::pump::{self, Order};
pub use super::shared::Output;
use super::shared::{CALLS_MAX, Shared};

/// Lines that wait to be taken by the plugin.
const QUEUE: usize = 16;
/// Time that a plugin has to answer `shutdown`.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// Time in which a plugin must answer `health` once it has left another call unanswered.
pub const HEALTH_LIMIT: Duration = Duration::from_secs(10);

/// Why a call has no result.
#[derive(Debug, Clone, PartialEq)]
pub enum CallError {
    /// The plugin said no.
    Rpc(RpcError),
    /// It did not answer within its time.
    Late(Duration),
    /// It is not there (any more); why.
    Gone(String),
    /// It cannot be asked: too much waits, or it is too long.
    Unsent(String),
}

/// A running instance; when the last handle is dropped it is killed.
#[derive(Debug)]
pub struct Connection {
    outgoing: mpsc::Sender<Vec<u8>>,
    orders: mpsc::Sender<Order>,
    shared: Arc<Shared>,
    pid: i32,
}

impl Connection {
    /// Starts an instance; it is not asked anything yet.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn start(launch: &Launch, notes: Notes) -> Result<Self, Unstarted> {
        let (process, streams) = process::start(launch).await?;
        let (outgoing, lines) = mpsc::channel(QUEUE);
        // An order is given by whoever holds the instance, at most a few times; one that does not fit says nothing new.
        let (orders, taken) = mpsc::channel(4);
        let shared = Arc::new(Shared::new(notes));
        let pid = process.pid();
        pump::begin(process, streams, lines, taken, Arc::clone(&shared), outgoing.downgrade(), orders.clone());
        Ok(Self { outgoing, orders, shared, pid })
    }

    /// Number of its process.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Asks it something. Without a limit the answer is waited for as long as it lives.
    ///
    /// # Errors
    /// Why there is no result.
    pub async fn call(&self, method: &str, params: &Value, limit: Option<Duration>) -> Result<Value, CallError> {
        let limit = limit.unwrap_or(Duration::MAX / 2);
        let asked = async { self.send(method, params).await?.answer().await };
        tokio::time::timeout(limit, asked).await.unwrap_or(Err(CallError::Late(limit)))
    }

    /// Asks it something, and returns once the question stands before whatever is sent later.
    ///
    /// # Errors
    /// Why it was not sent.
    pub async fn send(&self, method: &str, params: &Value) -> Result<Waiting<'_>, CallError> {
        let (sender, answer) = oneshot::channel();
        let Some(id) = self.shared.expect_answer(sender) else {
            let busy = || CallError::Unsent(format!("{CALLS_MAX} calls wait for it already"));
            return Err(self.gone().unwrap_or_else(busy));
        };
        let mut waiting = Waiting { connection: self, id, answer: Some(answer), is_sent: false };
        let line = message::request(id, method, params);
        if line.len() > LINE_MAX {
            let words = format!("{method} would be a line of {} bytes, of {LINE_MAX} at most", line.len());
            return Err(CallError::Unsent(words));
        }
        if self.outgoing.send(line).await.is_err() {
            return Err(self.end().await);
        }
        waiting.is_sent = true;
        Ok(waiting)
    }

    /// Tells it something; not waited for, and lost where its queue is full.
    pub fn tell(&self, method: &str, params: &Value) {
        let _full = self.outgoing.try_send(message::notification(method, params));
    }

    /// Writes bytes to it as they are, as only a test of a plugin does.
    pub async fn write(&self, bytes: &[u8]) {
        let _gone = self.outgoing.send(bytes.to_vec()).await;
    }

    /// What it prints for this execution from now on. Read without pause: an instance whose output is not taken
    /// is not read from.
    pub fn outputs(&self, execution: &str) -> mpsc::Receiver<Output> {
        self.shared.outputs(execution)
    }

    /// Why it has ended, in words; none while it runs.
    pub fn ended(&self) -> Option<String> {
        self.shared.end.borrow().clone()
    }

    /// Tells its end to whoever does not hold it.
    pub fn watch_end(&self) -> watch::Receiver<Option<String>> {
        self.shared.end.subscribe()
    }

    fn gone(&self) -> Option<CallError> {
        self.ended().map(CallError::Gone)
    }

    /// Waits for its end, which is near.
    async fn end(&self) -> CallError {
        CallError::Gone(self.wait().await)
    }

    /// Waits for its end; why, in words.
    pub async fn wait(&self) -> String {
        let mut end = self.shared.end.subscribe();
        match end.wait_for(Option::is_some).await {
            Ok(words) => words.clone().unwrap_or_default(),
            Err(_) => "it is gone".to_owned(),
        }
    }

    /// What was noted of it, a copy.
    pub fn notes(&self) -> Notes {
        self.shared.notes()
    }

    /// For how long nothing was heard of it; zero while it is us who do not take its output.
    pub fn silent_for(&self) -> Duration {
        self.shared.silent_for()
    }

    /// Whether calls were given up that it has not answered since.
    pub fn owes_answers(&self) -> bool {
        self.shared.owes_answers()
    }

    /// Kills it.
    pub fn kill(&self, why: &str) {
        let _ending = self.orders.try_send(Order::Kill(why.to_owned()));
    }

    /// Asks after one that left a call unanswered: when it does not answer `health` either, it is killed. One whose
    /// output we do not take is not judged.
    pub async fn answer_or_die(&self) {
        for _ in 0..3 {
            let asked = async {
                let waiting = self.send("health", &json!({})).await?;
                let id = waiting.id;
                waiting.answer().await.map(|_well| id)
            };
            match tokio::time::timeout(HEALTH_LIMIT, asked).await {
                Ok(Ok(id)) => return self.shared.excuse(id),
                Ok(Err(_)) => return,
                Err(_late) => {}
            }
            if self.silent_for() >= HEALTH_LIMIT / 2 {
                self.kill(&format!("it hangs: health was not answered within {} s", HEALTH_LIMIT.as_secs()));
                self.wait().await;
                return;
            }
        }
        if !self.silent_for().is_zero() {
            self.kill("it hangs: it writes, and does not answer health");
        }
    }

    /// Ends it in order: `shutdown`, the end of its input, SIGTERM, SIGKILL. Returns when it is gone.
    pub async fn shutdown(&self) -> String {
        let _none = self.call("shutdown", &json!({}), Some(DRAIN_LIMIT)).await;
        let _ending = self.orders.try_send(Order::End);
        self.wait().await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.kill("nobody needs it any more");
    }
}

/// A call that waits; given up, its answer is expected no longer and the plugin is told.
#[derive(Debug)]
pub struct Waiting<'a> {
    connection: &'a Connection,
    id: u64,
    answer: Option<oneshot::Receiver<Result<Value, RpcError>>>,
    is_sent: bool,
}

impl Waiting<'_> {
    /// Waits for the answer as long as the plugin lives.
    ///
    /// # Errors
    /// Why there is no result.
    pub async fn answer(mut self) -> Result<Value, CallError> {
        let Some(answer) = self.answer.take() else { return Err(self.connection.end().await) };
        match answer.await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(CallError::Rpc(error)),
            Err(_) => Err(self.connection.end().await),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.connection.shared.give_up(self.id, self.is_sent) && self.is_sent {
            self.connection.tell("cancelRequest", &json!({ "id": self.id }));
        }
    }
}
