//! The agent socket: messages of a `wharf` inside the run become frames (contracts 6.6).

use serde_json::{Value, json};
use wharf_model::shim::{AgentMessage, ControlReply};
use wharf_store::log::{FLAG_REDACTED, Stream};

use super::Shim;
use super::journal::Taken;
use super::lines::{Line, Server};

/// Most messages taken before the pump gets its turn.
const LINES_AT_ONCE: usize = 16;
/// Most bytes of messages that a run's log keeps. They count against no quota of its output: what an agent says
/// of its work must get through where that is full.
const AGENT_KEPT_MAX: u64 = 16 << 20;
/// Longest id of a message, in bytes.
const MESSAGE_ID_MAX: usize = 128;

/// The socket and what opens it.
#[derive(Debug)]
pub struct AgentDesk {
    /// Connections; each knows the messages that may still be answered.
    pub server: Server<Vec<String>>,
    token: String,
}

impl AgentDesk {
    /// A desk that takes messages with this token.
    pub fn new(server: Server<Vec<String>>, token: String) -> Self {
        Self { server, token }
    }
}

impl Shim {
    /// Stores the messages that have come and answers each.
    pub(super) fn answer_agents(&mut self) {
        for _ in 0..LINES_AT_ONCE {
            let Some((index, line)) = self.agents.as_mut().and_then(|desk| desk.server.next_line()) else { return };
            let taken = match line {
                Line::TooLong => Err(("bad_request", "the message is longer than 64 KiB".to_owned())),
                Line::Whole(bytes) => self.store_message(&bytes),
            };
            let Some(peer) = self.agents.as_mut().and_then(|desk| desk.server.connection(index)) else { continue };
            match taken {
                Ok(id) => {
                    peer.say(&json!({"t": "stored", "message_id": id}));
                    if !peer.state.contains(&id) && peer.state.len() < 64 {
                        peer.state.push(id);
                    }
                }
                Err((code, message)) => {
                    peer.say(&json!({"t": "error", "code": code, "message": message}));
                    if code != "disk_full" {
                        peer.close();
                    }
                }
            }
        }
    }

    fn store_message(&mut self, bytes: &[u8]) -> Result<String, (&'static str, String)> {
        let message: AgentMessage =
            serde_json::from_slice(bytes).map_err(|e| ("bad_request", format!("not understood: {e}")))?;
        let right = self.agents.as_ref().is_some_and(|desk| is_equal(desk.token.as_bytes(), message.token.as_bytes()));
        if !right {
            return Err(("not_allowed", "the token is not that of this run; read WHARF_TOKEN again".to_owned()));
        }
        if message.v != 1 {
            return Err(("bad_request", format!("message version {} is not known; send 1", message.v)));
        }
        if message.message_id.is_empty() || message.message_id.len() > MESSAGE_ID_MAX {
            return Err(("bad_request", format!("a message id has 1 to {MESSAGE_ID_MAX} bytes")));
        }
        // The token opens this socket and has no place in a log.
        let mut body = message.body;
        let hit = self.pump.secrets().redact_json(&mut body);
        let frame = json!({"v": 1, "message_id": message.message_id, "kind": message.kind, "body": body}).to_string();
        if self.journal.kept(Stream::Agent) + frame.len() as u64 > AGENT_KEPT_MAX {
            let said = self.journal.kept(Stream::Agent);
            return Err((
                "log_quota",
                format!("this run has sent {said} bytes of messages, and {AGENT_KEPT_MAX} are kept; say no more in it"),
            ));
        }
        match self.journal.data(Stream::Agent, if hit { FLAG_REDACTED } else { 0 }, frame.as_bytes()) {
            Taken::Yes => {
                // Whoever watches reads it from the log.
                let seq = self.journal.seq();
                self.push(&ControlReply::Message { seq });
                Ok(message.message_id)
            }
            Taken::NotNow => Err(("disk_full", "the log cannot be written now; send it again".to_owned())),
        }
    }

    /// Hands an answer to whoever sent the message, if that connection is still there.
    pub(super) fn reply_to_agent(&mut self, message: &str, body: &Value) -> ControlReply {
        let peer = self
            .agents
            .as_mut()
            .and_then(|desk| desk.server.connections().find(|c| c.state.iter().any(|id| id == message)));
        match peer {
            Some(peer) => {
                peer.say(&json!({"t": "reply", "message_id": message, "body": body}));
                peer.state.retain(|id| id != message);
                ControlReply::Ok
            }
            None => ControlReply::Error {
                code: "not_waiting".to_owned(),
                message: format!("nobody waits for an answer to message {message}"),
            },
        }
    }
}

/// Compares without telling by its duration where the first difference is.
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (x, y)| sum | (x ^ y)) == 0
}
