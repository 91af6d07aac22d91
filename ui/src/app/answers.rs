//! What the shell answers: rows, the fate of requests, a text from the editor.

use super::App;
use crate::effect::Question;
use crate::msg::{Answer, RequestOutcome, Tone};
use crate::overlay::Overlay;
use crate::overlay::confirm::Confirm;
use crate::screen::{Screen, ScreenId};

impl App {
    pub(super) fn answer(&mut self, question: &Question, answer: &Result<Answer, String>) {
        self.outbox.answered(question);
        if let (Question::Header, Ok(Answer::Header(header))) = (question, answer) {
            self.header = header.clone();
            self.pending_config();
        }
        if let Question::Written { .. } = question {
            match answer {
                Ok(Answer::Written(Ok(words))) => self.copy(words.clone()),
                Ok(Answer::Written(Err(words))) | Err(words) => {
                    self.say(Tone::Warn, format!("Nothing was copied: {words}"));
                }
                Ok(_) => {}
            }
            return;
        }
        if let Some(mut overlay) = self.overlay.take() {
            overlay.answer(question, answer, self);
            self.overlay.get_or_insert(overlay);
        }
        let env = self.env.clone();
        let out = &mut self.outbox;
        // Every screen takes its own answers, shown or not.
        self.ledger.answer(question, answer, &env, out);
        self.leases.answer(question, answer, &env, out);
        self.services.answer(question, answer, &env, out);
        self.environments.answer(question, answer, &env, out);
        self.workspaces.answer(question, answer, &env, out);
        self.activity.answer(question, answer, &env, out);
        self.diagnostics.answer(question, answer, &env, out);
    }

    /// Says that a change of the config waits, as long as one does.
    fn pending_config(&mut self) {
        const KEY: &str = "config";
        let Some(pending) = &self.header.pending else {
            self.banners.retain(|b| b.key != KEY);
            self.env.banner = !self.banners.is_empty();
            return;
        };
        let count = if pending.changes.is_empty() { String::new() } else { format!(": {}", pending.count()) };
        let text = format!("wharf.toml changed{count}; accepted one stays in force");
        let mut advice: Vec<String> = pending
            .changes
            .iter()
            .map(|change| {
                let (old, new) = change.values();
                format!("{}: {old} → {new}", change.place)
            })
            .collect();
        advice.push("`: config.accept` puts the file in force after showing what would change".to_owned());
        self.banner(KEY, Tone::Warn, text, advice.join("\n"));
    }

    pub(super) fn request_answered(&mut self, tag: u64, outcome: RequestOutcome) {
        let Some(title) = self.outbox.close(tag) else { return };
        let confirmed = self.confirmed.remove(&tag);
        if let Some(Overlay::IssueSettings(form)) = &mut self.overlay
            && form.waits_for(tag)
        {
            match &outcome {
                RequestOutcome::Done { .. } => self.overlay = None,
                RequestOutcome::Refused { code, words } => {
                    // What is wrong is said where it was typed.
                    form.refused(code, words);
                    return self.refresh();
                }
            }
        }
        match outcome {
            RequestOutcome::Refused { code, .. }
                // What is being typed is not meant for a dialog.
                if code == "changed_since_preview"
                    && self.overlay.is_none()
                    && !self.current().is_typing()
                    && confirmed.is_some() =>
            {
                self.say(Tone::Warn, format!("{title}: things have changed meanwhile; read again what would happen"));
                if let Some(mut confirm) = confirmed {
                    confirm.again(self.env.now, &mut self.outbox);
                    self.overlay = Some(Overlay::Confirm(Box::new(confirm)));
                }
            }
            RequestOutcome::Done { words, run } => {
                let archived = confirmed.as_ref().filter(|c| c.kind == crate::commands::workspaces::ARCHIVE);
                let words = if archived.is_some() { format!("{words}; u undoes") } else { words };
                for item in archived.into_iter().flat_map(|c| &c.items) {
                    self.workspaces.was_archived(&item.target.1);
                }
                let restored = confirmed.iter().filter(|c| c.kind == crate::commands::workspaces::RESTORE);
                for item in restored.flat_map(|c| &c.items) {
                    self.workspaces.forget_archived(&item.target.1);
                }
                self.say(Tone::Good, format!("{title}: {words}"));
                // Whoever starts a run and waits for it wants to see what it does.
                if let (Some(run), true) = (run, self.started == Some(tag) && self.screen == ScreenId::Ledger) {
                    self.ledger.expect(run);
                }
            }
            RequestOutcome::Refused { words, .. } => self.say(Tone::Bad, format!("{title}: {words}")),
        }
        self.refresh();
    }

    pub(super) fn edited(&mut self, words: Option<String>) {
        match (words, &mut self.overlay) {
            (Some(words), Some(Overlay::NewRun(form))) => form.edited(&words),
            (Some(_), _) => {}
            (None, _) => self.say(Tone::Bad, "The editor gave nothing back; the text is as it was".to_owned()),
        }
    }

    /// Whether a request of this kind about this thing is not answered yet.
    pub fn waits_for(&self, kind: &str, id: &str) -> bool {
        self.confirmed.values().any(|c| c.kind == kind && c.items.iter().any(|i| i.target.1 == id))
    }

    /// Remembers what a request was confirmed with.
    pub fn confirmed(&mut self, tag: u64, confirm: Confirm) {
        self.confirmed.insert(tag, confirm);
    }
}
