//! The control socket: what an orchestrator may ask of a shim (contracts 6.4).

use serde_json::json;
use wharf_model::base64;
use wharf_model::shim::{Control, ControlReply, EndedBy, PROTOCOL, TtySize};

use super::clock;
use super::lines::Line;
use super::terminal::{INPUT_MAX_BYTES, NotTaken, Terminal};
use super::{Life, Shim};
use crate::process::signal;

/// Most lines answered before the pump gets its turn.
const LINES_AT_ONCE: usize = 64;

/// What is known about one peer.
#[derive(Debug, Default)]
pub struct Peer {
    /// Epoch it said hello with.
    epoch: Option<i64>,
    watches: bool,
    caught_up: bool,
    /// It may type.
    attached: bool,
}

impl Shim {
    /// Answers the lines that have come.
    pub(super) fn answer_control(&mut self) {
        for _ in 0..LINES_AT_ONCE {
            let Some((index, line)) = self.control.next_line() else { return };
            let (answer, go_on) = match line {
                Line::TooLong => (bad_request("the line is longer than 64 KiB"), false),
                Line::Whole(bytes) => match serde_json::from_slice::<Control>(&bytes) {
                    Ok(message) => self.obey(index, message),
                    Err(error) => (bad_request(&format!("not understood: {error}")), true),
                },
            };
            if let Some(peer) = self.control.connection(index) {
                peer.say(&answer);
                if !go_on {
                    peer.close();
                }
            }
            self.catch_up(index);
        }
    }

    /// Tells every watcher.
    pub(super) fn push(&mut self, message: &ControlReply) {
        for peer in self.control.connections().filter(|c| c.state.watches) {
            peer.say(message);
        }
    }

    fn obey(&mut self, index: usize, message: Control) -> (ControlReply, bool) {
        let Some(epoch) = self.control.connection(index).map(|c| c.state.epoch) else {
            return (bad_request("the connection has ended"), false);
        };
        match epoch {
            _ if matches!(message, Control::Hello { .. }) => {}
            None => return (bad_request("hello must come first"), false),
            Some(epoch) if epoch < self.epoch => return (self.stale(epoch), false),
            Some(_) => {}
        }
        let answer = match message {
            Control::Hello { v, epoch, version } => return self.hello(index, v, epoch, &version),
            Control::Status => self.status(),
            Control::Stop { reason, grace_ms } => {
                self.ask_stop(&reason, grace_ms, EndedBy::Stop);
                ControlReply::Ok
            }
            Control::Signal { name } => self.send_named(&name),
            Control::Deadline { at_ms } => {
                self.deadline = at_ms.map(|at| {
                    let left = at.saturating_sub(clock::wall_ms()).max(0);
                    clock::awake_ns().saturating_add(clock::ms(left as u64))
                });
                ControlReply::Ok
            }
            Control::CloseStdin => {
                self.feed = None;
                ControlReply::Ok
            }
            Control::Attach => self.attach(index),
            Control::Input { base64 } => self.type_in(index, &base64),
            Control::Resize { rows, cols } => self.resize(index, TtySize { rows, cols }),
            Control::Watch => {
                if let Some(peer) = self.control.connection(index) {
                    peer.state.watches = true;
                }
                ControlReply::Ok
            }
            Control::Reply { message, body } => self.reply_to_agent(&message, &body),
        };
        (answer, true)
    }

    fn hello(&mut self, index: usize, v: u32, epoch: i64, version: &str) -> (ControlReply, bool) {
        if v == 0 {
            return (bad_request("protocol version 0 does not exist"), false);
        }
        if epoch < self.epoch {
            return (self.stale(epoch), false);
        }
        if epoch > self.epoch {
            self.epoch = epoch;
            self.journal.control(&json!({"t": "adopted", "epoch": epoch, "version": version}));
        }
        if let Some(peer) = self.control.connection(index) {
            peer.state.epoch = Some(epoch);
        }
        let welcome = ControlReply::Welcome {
            v: v.min(PROTOCOL),
            versions: (1..=PROTOCOL).collect(),
            id: self.spec.id.clone(),
            state: self.state().to_owned(),
            seq: self.journal.seq(),
            offsets: self.journal.offsets(self.pump.outputs()),
        };
        (welcome, true)
    }

    /// A new watcher is told what has happened already, so that it misses nothing.
    fn catch_up(&mut self, index: usize) {
        let mut news = Vec::new();
        if let Some((child, at_ms)) = self.tree.child().zip(self.started_ms) {
            news.push(ControlReply::Started { child, at_ms, limits: self.tree.groups().report().map(Box::new) });
        }
        if self.told_disk_full {
            news.push(ControlReply::DiskFull);
        }
        if self.leaky {
            news.push(ControlReply::Leaky);
        }
        if let Some(peer) = self.control.connection(index).filter(|c| c.state.watches && !c.state.caught_up) {
            peer.state.caught_up = true;
            for one in &news {
                peer.say(one);
            }
        }
    }

    fn status(&self) -> ControlReply {
        let descendants = match self.tree.living() {
            Ok(living) => living.len() as u32,
            Err(error) => {
                return ControlReply::Error {
                    code: "internal".to_owned(),
                    message: format!("cannot count the processes of this run: {error}"),
                };
            }
        };
        ControlReply::Status {
            state: self.state().to_owned(),
            seq: self.journal.seq(),
            offsets: self.journal.offsets(self.pump.outputs()),
            disk: self.journal.disk().as_str().to_owned(),
            child: self.tree.child(),
            descendants,
            limits: self.tree.groups().report().map(Box::new),
        }
    }

    fn send_named(&mut self, name: &str) -> ControlReply {
        let Some(signal) = signal::parse(name) else {
            return bad_request(&format!("there is no signal {name}"));
        };
        if !matches!(self.life, Life::Running) {
            return not_allowed("the child has ended");
        }
        match self.tree.signal_group(signal) {
            Ok(sent) => {
                let name = signal::name(signal.as_raw());
                self.journal.control(&json!({"t": "signal_sent", "signal": name, "why": "request", "reached": sent}));
                if sent { ControlReply::Ok } else { not_allowed("no process is left in the child's group") }
            }
            Err(error) => not_allowed(&format!("the signal was refused: {error}")),
        }
    }

    /// The child's terminal, for a peer that may use it now.
    fn terminal_of(&mut self, index: usize) -> Result<&mut Terminal, ControlReply> {
        if self.spec.tty.is_none() {
            return Err(refuse("no_terminal", "the child has no terminal: its agent was started without tty = true"));
        }
        if !self.control.connection(index).is_some_and(|c| c.state.attached) {
            return Err(bad_request("attach must come first"));
        }
        match (&self.life, &mut self.terminal) {
            (Life::Running, Some(terminal)) => Ok(terminal),
            _ => Err(not_allowed("the child has ended")),
        }
    }

    fn attach(&mut self, index: usize) -> ControlReply {
        if let Some(peer) = self.control.connection(index) {
            peer.state.attached = true;
        }
        if let Err(refusal) = self.terminal_of(index) {
            return refusal;
        }
        self.journal.control(&json!({"t": "attached", "epoch": self.epoch}));
        ControlReply::Ok
    }

    fn type_in(&mut self, index: usize, text: &str) -> ControlReply {
        let terminal = match self.terminal_of(index) {
            Ok(terminal) => terminal,
            Err(refusal) => return refusal,
        };
        let Some(bytes) = base64::decode(text) else { return bad_request("the input is not base64") };
        let hidden = terminal.is_hidden();
        match terminal.input(&bytes) {
            Ok(()) => {
                self.pump.record_input(&bytes, hidden, &mut self.journal, clock::awake_ns());
                ControlReply::Ok
            }
            Err(NotTaken::Waiting(waiting)) => refuse(
                "busy",
                &format!("the child has not read {waiting} bytes that were typed before; {INPUT_MAX_BYTES} may wait"),
            ),
        }
    }

    fn resize(&mut self, index: usize, size: TtySize) -> ControlReply {
        let resized = match self.terminal_of(index) {
            Ok(terminal) => terminal.resize(size),
            Err(refusal) => return refusal,
        };
        match resized {
            Ok(changed) => {
                if changed {
                    self.journal.control(&json!({"t": "resized", "rows": size.rows, "cols": size.cols}));
                }
                ControlReply::Ok
            }
            Err(words) => bad_request(&words),
        }
    }

    fn stale(&self, epoch: i64) -> ControlReply {
        ControlReply::Error {
            code: "stale_epoch".to_owned(),
            message: format!("epoch {epoch} is over; this run follows epoch {}", self.epoch),
        }
    }

    fn state(&self) -> &'static str {
        match self.life {
            Life::Starting => "starting",
            Life::Running if self.stop.is_some() => "stopping",
            Life::Running => "running",
            Life::Clearing(_) | Life::Recording(_) => "draining",
            Life::Over(_) => "ended",
        }
    }
}

fn bad_request(message: &str) -> ControlReply {
    refuse("bad_request", message)
}

fn not_allowed(message: &str) -> ControlReply {
    refuse("not_allowed", message)
}

fn refuse(code: &str, message: &str) -> ControlReply {
    ControlReply::Error { code: code.to_owned(), message: message.to_owned() }
}
