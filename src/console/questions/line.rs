//! A line of questions for one thread.

use std::collections::VecDeque;
use std::mem::discriminant;
use std::sync::{Condvar, Mutex, PoisonError};

use wharf_ui::effect::Question;

/// A line of questions for one thread.
#[derive(Default)]
pub struct Line {
    waiting: Mutex<VecDeque<Question>>,
    come: Condvar,
}

impl Line {
    /// Puts a question in the line. One of the same kind that waits for rows that nobody wants any
    /// more gives way, and is given back, since every question is answered.
    pub fn put(&self, question: Question) -> Option<Question> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let stale = replaceable(&question)
            .then(|| waiting.iter().position(|q| replaceable(q) && discriminant(q) == discriminant(&question)))
            .flatten()
            .and_then(|at| waiting.remove(at));
        waiting.push_back(question);
        self.come.notify_one();
        stale
    }

    pub fn take(&self) -> Question {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(question) = waiting.pop_front() {
                return question;
            }
            waiting = self.come.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Whether a newer question of this kind makes an older one that waits useless. Screens know which
/// answer they wait for; those to lists and details of before are left aside.
const fn replaceable(question: &Question) -> bool {
    matches!(
        question,
        Question::RunDetail(_)
            | Question::Search { .. }
            | Question::Diff(_)
            | Question::Runs { after: None, .. }
            | Question::Leases { after: None, .. }
            | Question::Services { after: None, .. }
            | Question::Workspaces { after: None, .. }
            | Question::Activity { after: None, .. }
            | Question::WorkspaceDetail(_)
            | Question::ReapPreview
    )
}
