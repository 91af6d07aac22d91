//! What every screen may know, and where it leaves what it wants.

use std::collections::BTreeMap;
use std::collections::HashSet;

use serde_json::Value;
use wharf_model::UnixMillis;

use crate::effect::{Effect, Question, Request};
use crate::format::Zone;
use crate::rows::Expect;
use crate::theme::Theme;

/// Facts about the terminal and the moment, the same for every screen.
#[derive(Debug, Clone)]
pub struct Env {
    /// The present, as last told.
    pub now: UnixMillis,
    /// Where moments are shown.
    pub zone: Zone,
    /// Colours.
    pub theme: Theme,
    /// Use the ASCII set.
    pub ascii: bool,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// Whether a banner takes a row.
    pub banner: bool,
}

/// What is wanted of the shell. Each question is open at most once.
#[derive(Debug, Default)]
pub struct Outbox {
    effects: Vec<Effect>,
    open: HashSet<Question>,
    again: HashSet<Question>,
    next_tag: u64,
    titles: BTreeMap<u64, String>,
}

impl Outbox {
    /// Anything but questions and requests.
    pub fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Asks; when the same question is open already, it is asked again after its answer.
    pub fn ask(&mut self, question: Question) {
        if self.open.insert(question.clone()) {
            self.effects.push(Effect::Ask(question));
        } else {
            self.again.insert(question);
        }
    }

    /// Asks unless the same question is open.
    pub fn ask_once(&mut self, question: Question) {
        if self.open.insert(question.clone()) {
            self.effects.push(Effect::Ask(question));
        }
    }

    /// Notes that a question has been answered, and repeats it when it was asked meanwhile.
    pub fn answered(&mut self, question: &Question) {
        self.open.remove(question);
        if self.again.remove(question) {
            self.ask(question.clone());
        }
    }

    /// Notes that a question will not be answered; whoever still wants to know asks anew.
    pub fn dropped(&mut self, question: &Question) {
        self.open.remove(question);
        self.again.remove(question);
    }

    /// Writes a request; returns its tag.
    pub fn request(
        &mut self,
        title: impl Into<String>,
        kind: &str,
        target: Option<(&'static str, String)>,
        args: Value,
        expect: Vec<Expect>,
    ) -> u64 {
        self.next_tag += 1;
        let title = title.into();
        self.titles.insert(self.next_tag, title.clone());
        self.effects.push(Effect::Request(Request {
            tag: self.next_tag,
            kind: kind.to_owned(),
            target,
            args,
            expect,
            title,
        }));
        self.next_tag
    }

    /// Title of an open request, which is closed by this.
    pub fn close(&mut self, tag: u64) -> Option<String> {
        self.titles.remove(&tag)
    }

    /// Everything wanted since the last call.
    pub fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }
}
