//! What reaches the console's loop, and the queue it comes through: keys before answers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use wharf_ui::effect::{Owner, Question};
use wharf_ui::msg::{Answer, RequestOutcome, Tone};

use super::reign::Standing;
use crate::dispatch::election::DiskNeed;
use crate::dispatch::input::Recovery;

/// Events that may wait in the channel; senders then wait, except for the loop itself, which sends none.
const QUEUE: usize = 1024;

/// What can be wrong with the store while it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The disk takes no writes.
    Writing,
    /// Damage was found in it.
    Damage,
}

/// One thing that happened.
#[derive(Debug)]
pub enum Event {
    /// The terminal reported something.
    Input(crossterm::event::Event),
    /// The terminal has another size.
    Resized,
    /// The terminal is gone.
    Hangup,
    /// The operating system asks the console to end.
    Terminate(&'static str),
    /// The answer to a question of the screens.
    Answer(Question, Result<Answer, String>),
    /// Rows were committed.
    StoreChanged,
    /// A log that is shown has grown.
    OutputGrew(Owner),
    /// Who the orchestrator is.
    Standing(Standing),
    /// What a logout does to what runs, where that is to be said.
    Foretold(&'static str),
    /// What a start of the reign here has found.
    Recovered(Arc<Recovery>),
    /// What waits for room on the disk in the reign of this console.
    Need(Option<DiskNeed>),
    /// What is wrong with the store, in words with what to do; none when nothing is any more.
    Trouble(Trouble, Option<String>),
    /// A request was answered.
    Request(u64, RequestOutcome),
    /// The terminal has said whether its background is light.
    Ground {
        /// It is.
        light: bool,
    },
    /// Something to say.
    Toast(Tone, String),
    /// The directory's project is known to the store, or cannot be.
    Project(Result<(), String>),
}

/// Where events are sent.
pub type Sender = SyncSender<Event>;

/// The loop's end of the queue.
pub struct Mailbox {
    receiver: Receiver<Event>,
    inputs: VecDeque<Event>,
    others: VecDeque<Event>,
}

/// A queue.
pub fn mailbox() -> (Sender, Mailbox) {
    let (sender, receiver) = sync_channel(QUEUE);
    (sender, Mailbox { receiver, inputs: VecDeque::new(), others: VecDeque::new() })
}

impl Mailbox {
    /// The next event; none when `wait` has passed (`None`: without end). What the operator did
    /// comes before anything else that waits.
    pub fn next(&mut self, wait: Option<Duration>) -> Option<Event> {
        self.gather();
        if self.inputs.is_empty() && self.others.is_empty() {
            let event = match wait {
                Some(wait) => match self.receiver.recv_timeout(wait) {
                    Ok(event) => event,
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
                },
                None => self.receiver.recv().ok()?,
            };
            self.put(event);
            self.gather();
        }
        self.inputs.pop_front().or_else(|| self.others.pop_front())
    }

    /// Whether something waits.
    pub fn is_empty(&mut self) -> bool {
        self.gather();
        self.inputs.is_empty() && self.others.is_empty()
    }

    /// Drops what the operator typed meanwhile: it was meant for the program that had the terminal.
    pub fn forget_inputs(&mut self) {
        self.gather();
        self.inputs.retain(|e| !matches!(e, Event::Input(_)));
    }

    fn gather(&mut self) {
        // Bounded: a sender that never stops must not keep the loop from its work.
        for _ in 0..QUEUE {
            if self.inputs.len() + self.others.len() >= 2 * QUEUE {
                return;
            }
            let Ok(event) = self.receiver.try_recv() else { return };
            self.put(event);
        }
    }

    fn put(&mut self, event: Event) {
        match event {
            Event::Input(_) | Event::Resized | Event::Hangup | Event::Terminate(_) => self.inputs.push_back(event),
            // One look at the store serves all that were announced.
            Event::StoreChanged if self.others.iter().any(|e| matches!(e, Event::StoreChanged)) => {}
            Event::OutputGrew(owner)
                if self.others.iter().any(|e| matches!(e, Event::OutputGrew(o) if *o == owner)) => {}
            _ => self.others.push_back(event),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_before_answers_and_changes_are_told_once() {
        let (sender, mut mailbox) = mailbox();
        sender.send(Event::StoreChanged).unwrap();
        sender.send(Event::Toast(Tone::Info, "a".into())).unwrap();
        sender.send(Event::StoreChanged).unwrap();
        sender.send(Event::Input(crossterm::event::Event::FocusGained)).unwrap();
        let mut order = Vec::new();
        while let Some(event) = mailbox.next(Some(Duration::ZERO)) {
            order.push(match event {
                Event::Input(_) => "input",
                Event::StoreChanged => "changed",
                Event::Toast(..) => "toast",
                _ => "other",
            });
        }
        assert_eq!(order, ["input", "changed", "toast"]);
        assert!(mailbox.is_empty());
    }
}
