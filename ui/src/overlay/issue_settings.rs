//! The form for where an issue's runs work: what is in force and whose word it is, and the issue's own word.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Map, Value, json};
use wharf_model::config::{WorkspaceMode, WorkspaceStrategy};
use wharf_model::rules::issue_settings::{IssueSettings, Preference};

use super::After;
use crate::app::App;
use crate::effect::Question;
use crate::input::LineEdit;
use crate::msg::Answer;
use crate::rows::{Expect, IssueForm};

mod view;

/// What a choice says that leaves the setting to others; typed on the command line the same.
const NONE: &str = "none";

/// A setting: its key, its name in the form, and its values where they are few.
struct Setting {
    key: &'static str,
    name: &'static str,
    values: Values,
}

enum Values {
    Of(&'static [&'static str]),
    Environments,
    Typed,
}

const MODES: [&str; 4] = [
    WorkspaceMode::Isolated.as_str(),
    WorkspaceMode::Shared.as_str(),
    WorkspaceMode::OperatorBranch.as_str(),
    WorkspaceMode::AgentDefault.as_str(),
];
const STRATEGIES: [&str; 2] = [WorkspaceStrategy::GitWorktree.as_str(), WorkspaceStrategy::ProjectPrimary.as_str()];
const PREFERENCES: [&str; 2] = [Preference::ReuseExisting.as_str(), Preference::Inherit.as_str()];

/// In their order.
const SETTINGS: [Setting; 9] = [
    Setting { key: "environment", name: "Environment", values: Values::Environments },
    Setting { key: "mode", name: "Mode", values: Values::Of(&MODES) },
    Setting { key: "strategy", name: "Strategy", values: Values::Of(&STRATEGIES) },
    Setting { key: "branch", name: "Branch", values: Values::Typed },
    Setting { key: "base_ref", name: "Base ref", values: Values::Typed },
    Setting { key: "preference", name: "Workspace", values: Values::Of(&PREFERENCES) },
    Setting { key: "provision", name: "Provision", values: Values::Typed },
    Setting { key: "teardown", name: "Teardown", values: Values::Typed },
    Setting { key: "cleanup", name: "Clean-up", values: Values::Typed },
];

/// The form.
#[derive(Debug, Clone)]
pub struct IssueSettingsForm {
    question: Question,
    issue: String,
    known: Option<Result<Box<IssueForm>, String>>,
    field: usize,
    /// What each field holds; empty says nothing.
    values: Vec<LineEdit>,
    /// Letters typed in a field of choices, to find one.
    letters: String,
    /// What is wrong, and with which field.
    wrong: Option<(Option<usize>, String)>,
    /// Tag of the request that is not answered yet.
    sent: Option<u64>,
    /// The issue was changed by somebody else since it was read.
    changed: bool,
}

impl IssueSettingsForm {
    /// Opens it for an issue, as its runs of an agent go.
    pub fn open(app: &mut App, issue: String, agent: Option<String>) -> Self {
        let question = Question::IssueSettings { issue: issue.clone(), agent };
        app.outbox.ask(question.clone());
        Self {
            question,
            issue,
            known: None,
            field: 0,
            values: SETTINGS.iter().map(|_| LineEdit::default()).collect(),
            letters: String::new(),
            wrong: None,
            sent: None,
            changed: false,
        }
    }

    /// What it asks, to be asked again while it is open.
    pub const fn question(&self) -> &Question {
        &self.question
    }

    fn form(&self) -> Option<&IssueForm> {
        self.known.as_ref()?.as_ref().ok().map(AsRef::as_ref)
    }

    /// Takes what is in force. What was typed stays; what was not touched follows.
    pub fn answer(&mut self, question: &Question, answer: &Result<Answer, String>) {
        if *question != self.question {
            return;
        }
        let form = match answer {
            Ok(Answer::IssueSettings(Some(form))) => form,
            Ok(Answer::IssueSettings(None)) => {
                self.known = Some(Err(format!("{} is not there any more", self.issue)));
                return;
            }
            Ok(_) => return,
            // What is shown stays true for as long as nothing else is known.
            Err(words) => {
                return self.known = Some(self.known.take().filter(Result::is_ok).unwrap_or(Err(words.clone())));
            }
        };
        let before = self.form().map(|f| f.own.clone());
        for (setting, value) in SETTINGS.iter().zip(&mut self.values) {
            let was = before.as_ref().and_then(|own| said(own, setting.key)).unwrap_or_default();
            if value.text() == was {
                value.set(said(&form.own, setting.key).unwrap_or_default());
            }
        }
        // Another version of which nothing is seen here is no news.
        let differs = |f: &IssueForm| f.own != form.own || f.in_force != form.in_force;
        self.changed |= self.form().is_some_and(differs) && self.sent.is_none();
        self.known = Some(Ok(form.clone()));
    }

    /// Whether this request is its own.
    pub fn waits_for(&self, tag: u64) -> bool {
        self.sent == Some(tag)
    }

    /// Its request was refused: what is wrong is said at its field, and nothing that was typed is lost.
    pub fn refused(&mut self, code: &str, words: &str) {
        self.sent = None;
        if code == "changed_since_preview" {
            self.changed = true;
            return;
        }
        let environment = matches!(code, "environment_not_found" | "environment_inactive");
        let at = SETTINGS.iter().position(|s| environment && s.key == "environment");
        if let Some(at) = at {
            self.field = at;
        }
        self.wrong = Some((at, words.to_owned()));
    }

    /// Takes a pasted text.
    pub fn paste(&mut self, words: &str) {
        if self.is_typed() && self.sent.is_none() {
            self.values[self.field].insert(words);
            self.wrong = None;
        }
    }

    fn is_typed(&self) -> bool {
        matches!(SETTINGS[self.field].values, Values::Typed)
    }

    /// Values to choose from, the first one leaves it to others.
    fn options(&self, field: usize) -> Vec<String> {
        let mut options = vec![String::new()];
        match SETTINGS[field].values {
            Values::Of(values) => options.extend(values.iter().map(|v| (*v).to_owned())),
            Values::Environments => options.extend(self.form().into_iter().flat_map(|f| f.environments.clone())),
            Values::Typed => {}
        }
        let held = self.values[field].text();
        if !matches!(SETTINGS[field].values, Values::Typed) && !options.iter().any(|o| o == held) {
            // One that was chosen and is archived since then.
            options.push(held.to_owned());
        }
        options
    }

    fn choose(&mut self, back: bool) {
        let options = self.options(self.field);
        let at = options.iter().position(|o| o == self.values[self.field].text()).unwrap_or(0);
        let n = options.len();
        let to = if back { (at + n - 1) % n } else { (at + 1) % n };
        self.values[self.field].set(options[to].clone());
    }

    fn find(&mut self, c: char) {
        self.letters.extend(c.to_lowercase());
        let options = self.options(self.field);
        let shown = |o: &String| if o.is_empty() { NONE.to_owned() } else { o.to_lowercase() };
        match options.iter().find(|o| shown(o).contains(&self.letters)) {
            Some(found) => self.values[self.field].set(found.clone()),
            None => drop(self.letters.pop()),
        }
    }

    /// Goes to another field; one that is left is looked at.
    fn step(&mut self, back: bool) {
        self.letters.clear();
        self.wrong = self.check(self.field).err().map(|words| (Some(self.field), words));
        let n = SETTINGS.len();
        self.field = if back { (self.field + n - 1) % n } else { (self.field + 1) % n };
    }

    /// What differs from the issue's own word, as the request has it: null takes away.
    fn patch(&self) -> Map<String, Value> {
        let Some(form) = self.form() else { return Map::new() };
        let fields = SETTINGS.iter().zip(&self.values);
        let changed = fields.filter_map(|(setting, value)| {
            let text = value.text().trim();
            if said(&form.own, setting.key).unwrap_or_default() == text {
                return None;
            }
            Some((setting.key.to_owned(), if text.is_empty() { Value::Null } else { json!(text) }))
        });
        changed.collect()
    }

    /// Whether what a field holds has a meaning by itself.
    fn check(&self, field: usize) -> Result<(), String> {
        let key = SETTINGS[field].key;
        let patch: Map<String, Value> = self.patch().into_iter().filter(|(k, _)| k == key).collect();
        IssueSettings::default().change(&patch).map(drop)
    }

    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent, app: &mut App) -> After {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        if key.code == KeyCode::Esc {
            return After::Closes;
        }
        if self.sent.is_some() {
            return After::Stays;
        }
        let typed = self.is_typed();
        match key.code {
            KeyCode::Enter if ctrl || self.field + 1 == SETTINGS.len() => {
                self.send(app);
                return After::Stays;
            }
            KeyCode::Char('s') if ctrl => {
                self.send(app);
                return After::Stays;
            }
            KeyCode::Enter | KeyCode::Tab | KeyCode::Down => {
                self.step(false);
                return After::Stays;
            }
            KeyCode::BackTab | KeyCode::Up => {
                self.step(true);
                return After::Stays;
            }
            KeyCode::Left if !typed => self.choose(true),
            KeyCode::Right if !typed => self.choose(false),
            KeyCode::Backspace | KeyCode::Delete if !typed => {
                self.letters.clear();
                self.values[self.field].set("");
            }
            KeyCode::Char('u') if ctrl && !typed => self.values[self.field].set(""),
            KeyCode::Char(c) if !typed && !ctrl => self.find(c),
            _ if typed => drop(self.values[self.field].key(key)),
            _ => {}
        }
        self.wrong = None;
        After::Stays
    }

    /// Sends what was changed, judged by the version that is shown.
    fn send(&mut self, app: &mut App) {
        let Some(form) = self.form() else {
            self.wrong = Some((None, "What is in force is still being read".to_owned()));
            return;
        };
        let patch = self.patch();
        if patch.is_empty() {
            self.wrong = Some((None, "Nothing is changed; Esc closes the form".to_owned()));
            return;
        }
        if let Some((field, words)) = (0..SETTINGS.len()).find_map(|at| Some((at, self.check(at).err()?))) {
            self.field = field;
            self.wrong = Some((Some(field), words));
            return;
        }
        // Two that are right by themselves may say opposite things.
        if let Err(words) = form.own.change(&patch) {
            let at = SETTINGS.iter().position(|s| s.key == "strategy");
            self.wrong = Some((at, words));
            return;
        }
        let title = format!("Settings of {}", form.identifier);
        let target = Some(("issue", form.id.text()));
        let expect = vec![Expect { id: form.id.text(), version: form.version }];
        let args = json!({ "settings": patch });
        self.sent = Some(app.outbox.request(title, "issue.update", target, args, expect));
        (self.wrong, self.changed) = (None, false);
    }

    /// The command that does the same.
    fn same(&self) -> String {
        let words: Vec<String> = self
            .patch()
            .into_iter()
            .map(|(key, value)| {
                let value = value.as_str().unwrap_or(NONE).to_owned();
                let plain = value.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
                let value = if plain { value } else { format!("'{}'", value.replace('\'', r"'\''")) };
                format!(" --{} {value}", key.replace('_', "-"))
            })
            .collect();
        if words.is_empty() { String::new() } else { format!("same: wharf issue set {}{}", self.issue, words.concat()) }
    }
}

/// What the issue says of a setting.
fn said(own: &IssueSettings, key: &str) -> Option<String> {
    match key {
        "environment" => own.environment.clone(),
        "mode" => own.mode.map(|m| m.as_str().to_owned()),
        "strategy" => own.strategy.map(|s| s.as_str().to_owned()),
        "branch" => own.branch.clone(),
        "base_ref" => own.base_ref.clone(),
        "preference" => own.preference.map(|p| p.as_str().to_owned()),
        "provision" => own.provision.clone(),
        "teardown" => own.teardown.clone(),
        "cleanup" => own.cleanup.clone(),
        _ => None,
    }
}
