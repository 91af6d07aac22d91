//! The form for a new run; filled from the selection.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Rect;
use serde_json::{Map, Value};

use super::After;
use crate::app::App;
use crate::draw::Canvas;
use crate::effect::{Effect, Question};
use crate::format;
use crate::input::LineEdit;
use crate::layout;
use crate::msg::Answer;
use crate::rows::{FormAgent, FormAgents};
use crate::text;
use crate::theme::{Ground, Ink};

/// Fields in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Agent,
    Issue,
    Environment,
    Prompt,
}

const FIELDS: [Field; 4] = [Field::Agent, Field::Issue, Field::Environment, Field::Prompt];

/// The form.
#[derive(Debug, Clone)]
pub struct NewRun {
    choices: Option<Result<FormAgents, String>>,
    field: Field,
    agent: usize,
    /// 0 is none, else the issue before it.
    issue: usize,
    environment: usize,
    prompt: LineEdit,
    wish: (Option<String>, Option<String>),
    wrong: Option<String>,
    /// Letters typed in a field of choices, to find one.
    letters: String,
}

impl NewRun {
    /// Opens it, with agent and issue of the selected run.
    pub fn open(app: &mut App) -> Self {
        app.outbox.ask(Question::FormAgents);
        let run = app.ledger.run();
        Self {
            choices: None,
            field: Field::Prompt,
            agent: 0,
            issue: 0,
            environment: 0,
            prompt: LineEdit::lines(),
            wish: (run.map(|r| r.agent.clone()), run.and_then(|r| r.issue.as_ref().map(|i| i.identifier.clone()))),
            wrong: None,
            letters: String::new(),
        }
    }

    /// Takes the choices.
    pub fn answer(&mut self, answer: &Result<Answer, String>) {
        match answer {
            Ok(Answer::FormAgents(form)) => {
                // Choices come and go while a prompt is typed: what was chosen is found again by its name.
                let (agent, issue) = match self.form() {
                    None => std::mem::take(&mut self.wish),
                    Some(before) => (
                        before.agents.get(self.agent).map(|a| a.name.clone()),
                        self.issue.checked_sub(1).and_then(|i| before.issues.get(i)).map(|i| i.identifier.clone()),
                    ),
                };
                let environment =
                    self.environment.checked_sub(1).and_then(|i| self.form()?.environments.get(i)).cloned();
                let known = self.form().is_some();
                let find = |wish: Option<String>, names: Vec<&String>| {
                    let at = wish.as_ref().and_then(|wish| names.iter().position(|name| *name == wish));
                    (at, wish.filter(|_| known && at.is_none()))
                };
                let (at_agent, no_agent) = find(agent, form.agents.iter().map(|a| &a.name).collect());
                let (at_issue, no_issue) = find(issue, form.issues.iter().map(|i| &i.identifier).collect());
                let (at_place, no_place) = find(environment, form.environments.iter().collect());
                self.agent = at_agent.unwrap_or(0);
                self.issue = at_issue.map_or(0, |i| i + 1);
                self.environment = at_place.map_or(0, |i| i + 1);
                if let Some(gone) = no_agent.or(no_issue).or(no_place) {
                    self.wrong = Some(format!("{gone} cannot be chosen any more; look at the fields again"));
                }
                self.choices = Some(Ok(form.clone()));
            }
            Ok(_) => {}
            Err(words) => self.choices = Some(Err(words.clone())),
        }
    }

    /// Takes the prompt back from the editor.
    pub fn edited(&mut self, words: &str) {
        self.prompt.set("");
        self.prompt.insert(words.trim_end());
    }

    /// Takes a pasted text.
    pub fn paste(&mut self, words: &str) {
        if self.field == Field::Prompt {
            self.prompt.insert(words);
        }
    }

    fn form(&self) -> Option<&FormAgents> {
        match &self.choices {
            Some(Ok(form)) => Some(form),
            _ => None,
        }
    }

    fn options(&self, field: Field) -> Vec<String> {
        let Some(form) = self.form() else { return Vec::new() };
        match field {
            Field::Agent => form.agents.iter().map(|a| a.name.clone()).collect(),
            Field::Issue => {
                let issues = form.issues.iter().map(|i| format!("{} {}", i.identifier, i.title));
                std::iter::once("none".to_owned()).chain(issues).collect()
            }
            Field::Environment => {
                std::iter::once("by policy".to_owned()).chain(form.environments.iter().cloned()).collect()
            }
            Field::Prompt => Vec::new(),
        }
    }

    fn at(&mut self, field: Field) -> Option<&mut usize> {
        match field {
            Field::Agent => Some(&mut self.agent),
            Field::Issue => Some(&mut self.issue),
            Field::Environment => Some(&mut self.environment),
            Field::Prompt => None,
        }
    }

    fn chosen(&self, field: Field) -> usize {
        match field {
            Field::Agent => self.agent,
            Field::Issue => self.issue,
            Field::Environment => self.environment,
            Field::Prompt => 0,
        }
    }

    fn agent(&self) -> Option<&FormAgent> {
        self.form()?.agents.get(self.agent)
    }

    fn step_field(&mut self, back: bool) {
        let at = FIELDS.iter().position(|f| *f == self.field).unwrap_or(0);
        let n = FIELDS.len();
        self.field = FIELDS[if back { (at + n - 1) % n } else { (at + 1) % n }];
        self.letters.clear();
    }

    fn choose(&mut self, back: bool) {
        let n = self.options(self.field).len();
        if let Some(at) = self.at(self.field)
            && n > 0
        {
            *at = if back { (*at + n - 1) % n } else { (*at + 1) % n };
        }
    }

    fn find(&mut self, c: char) {
        self.letters.extend(c.to_lowercase());
        let options = self.options(self.field);
        let found = options.iter().position(|o| o.to_lowercase().contains(&self.letters));
        match (found, self.at(self.field)) {
            (Some(found), Some(at)) => *at = found,
            _ => {
                self.letters.pop();
            }
        }
    }

    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent, app: &mut App) -> After {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        let typing = self.field == Field::Prompt;
        match key.code {
            KeyCode::Esc => return After::Closes,
            KeyCode::Enter if ctrl => return self.start(app),
            KeyCode::Enter if key.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SHIFT) && typing => {
                self.prompt.insert("\n");
            }
            KeyCode::Enter if typing => return self.start(app),
            KeyCode::Char('j') if ctrl && typing => self.prompt.insert("\n"),
            KeyCode::Enter | KeyCode::Tab => self.step_field(false),
            KeyCode::Down if !typing => self.step_field(false),
            KeyCode::BackTab => self.step_field(true),
            KeyCode::Up if !typing => self.step_field(true),
            KeyCode::Char('o') if ctrl => app.outbox.push(Effect::Editor { text: self.prompt.text().to_owned() }),
            KeyCode::Left if !typing => self.choose(true),
            KeyCode::Right if !typing => self.choose(false),
            KeyCode::Backspace if !typing => {
                self.letters.clear();
            }
            KeyCode::Char(c) if !typing && !ctrl => self.find(c),
            _ if typing => {
                self.prompt.key(key);
            }
            _ => {}
        }
        self.wrong = None;
        After::Stays
    }

    fn start(&mut self, app: &mut App) -> After {
        let Some(form) = self.form() else {
            self.wrong = Some("The choices are still being read".to_owned());
            return After::Stays;
        };
        let Some(agent) = self.agent() else {
            self.wrong = Some("This project has no agent; add one to wharf.toml".to_owned());
            return After::Stays;
        };
        if let Some(why) = &agent.blocked {
            self.wrong = Some(format!("{} cannot start: {why}", agent.name));
            return After::Stays;
        }
        let prompt = self.prompt.text().trim();
        if !prompt.is_empty() && agent.no_prompt.is_some() {
            self.wrong = Some(format!("{} takes no prompt: empty it (ctrl-u), or choose another agent", agent.name));
            return After::Stays;
        }
        let issue = self.issue.checked_sub(1).and_then(|i| form.issues.get(i));
        let mut args = Map::new();
        args.insert("agent".into(), agent.name.clone().into());
        if !prompt.is_empty() {
            args.insert("prompt".into(), prompt.into());
        }
        if let Some(issue) = issue {
            args.insert("issue".into(), issue.identifier.clone().into());
        }
        if let Some(name) = self.environment.checked_sub(1).and_then(|i| form.environments.get(i)) {
            args.insert("environment".into(), name.clone().into());
        }
        let title = format!("Start {}", agent.name);
        app.started = Some(app.outbox.request(title, "run.start", None, Value::Object(args), Vec::new()));
        After::Closes
    }

    fn remark(&self, field: Field) -> String {
        if self.form().is_none() {
            return String::new();
        }
        match field {
            Field::Agent => self
                .agent()
                .map_or_else(String::new, |a| format!("{}, {} of {} slots used", a.adapter, a.slots.0, a.slots.1)),
            Field::Environment => match (self.environment, self.agent().and_then(|a| a.environment.clone())) {
                (0, Some(name)) => format!("{name}, as the agent says"),
                _ => String::new(),
            },
            Field::Issue | Field::Prompt => String::new(),
        }
    }

    /// The command that does the same.
    fn same(&self) -> String {
        let Some(agent) = self.agent() else { return String::new() };
        let mut words = format!("same: wharf run {}", agent.name);
        if let Some(issue) = self.issue.checked_sub(1).and_then(|i| self.form()?.issues.get(i)) {
            words.push_str(&format!(" --issue {}", issue.identifier));
        }
        if let Some(name) = self.environment.checked_sub(1).and_then(|i| self.form()?.environments.get(i)) {
            words.push_str(&format!(" --env {name}"));
        }
        if !self.prompt.text().trim().is_empty() {
            words.push_str(" --prompt …");
        }
        words
    }

    /// Draws.
    pub fn view(&self, app: &App, canvas: &mut Canvas<'_>) {
        let (columns, rows) = app.env.size;
        let area = layout::dialog(columns, rows, 80, 18);
        let inner = canvas.dialog(area, "New run", &self.same());
        if inner.height < 3 {
            return;
        }
        let (ground, key, dim) = canvas.dialog_inks();
        let (x, width) = (inner.x + 1, inner.width.saturating_sub(2));
        let keys_y = inner.bottom() - 1;
        let hints = match self.field {
            Field::Prompt => "Enter start   ctrl-j new line   ctrl-o editor   Tab next field   Esc drop",
            _ => "←→ choose   letters find   Enter, Tab next field   Esc drop",
        };
        let hints = text::cut_end(hints, usize::from(width)).into_owned();
        canvas.put(x, keys_y, width, &hints, dim);
        if let Some(Err(words)) = &self.choices {
            let bad = ground.patch(canvas.ink(Ink::Bad));
            let words = text::cut_end(words, usize::from(width.saturating_sub(2))).into_owned();
            canvas.put(x, inner.y, width, &format!("✗ {words}"), bad);
            return;
        }
        let mut y = inner.y + u16::from(inner.height >= 14);
        for (field, name) in [(Field::Agent, "Agent"), (Field::Issue, "Issue"), (Field::Environment, "Environment")] {
            if y >= keys_y {
                return;
            }
            let on = self.field == field;
            canvas.put(x, y, 12, name, if on { key } else { dim });
            let options = self.options(field);
            let value = if self.choices.is_none() {
                "reading…".to_owned()
            } else {
                options.get(self.chosen(field)).cloned().unwrap_or_else(|| "none".to_owned())
            };
            let fold = if options.len() > 1 { " ▾" } else { "" };
            let remark = self.remark(field);
            // What has no remark may be as long as the row.
            let room = if remark.is_empty() { width.saturating_sub(13) } else { 27.min(width.saturating_sub(13)) };
            let value = format!("{}{fold}", text::cut_end(&value, usize::from(room.saturating_sub(2))));
            canvas.put(x + 13, y, room, &value, ground);
            if on {
                canvas.select(Rect::new(x + 13, y, room, 1), Ground::Selection);
            }
            let room = width.saturating_sub(41);
            let remark = text::cut_end(&remark, usize::from(room)).into_owned();
            canvas.put(x + 41, y, room, &remark, dim);
            y += 1;
        }
        y += u16::from(inner.height >= 14);
        canvas.put(x, y, 12, "Prompt", if self.field == Field::Prompt { key } else { dim });
        let box_height = keys_y.saturating_sub(y + 3).clamp(1, 6);
        let room = usize::from(width.saturating_sub(14)).max(4);
        let typed = if self.field == Field::Prompt {
            let (head, tail) = self.prompt.text().split_at(self.prompt.cursor());
            format!("{head}▏{tail}")
        } else {
            self.prompt.text().to_owned()
        };
        let rows: Vec<String> = typed
            .split('\n')
            .flat_map(|l| text::wrap(l, room).into_iter().map(|(a, b)| l[a..b].to_owned()).collect::<Vec<_>>())
            .collect();
        let cursor_row = rows.iter().position(|r| r.contains('▏')).unwrap_or(0);
        let first = (cursor_row + 1).saturating_sub(usize::from(box_height));
        for (i, row) in rows.iter().skip(first).take(usize::from(box_height)).enumerate() {
            if y + (i as u16) < keys_y {
                canvas.put(x + 13, y + i as u16, room as u16 + 1, row, ground);
            }
        }
        y += box_height + 1;
        let warn = ground.patch(canvas.ink(Ink::Warn));
        let mut warnings: Vec<String> = self.wrong.iter().cloned().collect();
        if let Some(agent) = self.agent() {
            if let Some(why) = &agent.no_prompt {
                warnings.push(format!("{} takes no prompt: {why}.", agent.name));
            }
            if let Some(why) = &agent.blocked {
                warnings.push(format!("{} cannot start: {why}.", agent.name));
            } else if agent.slots.1 > 0 && agent.slots.0 >= agent.slots.1 {
                let slots = format::plural(u64::from(agent.slots.1), "slot");
                warnings.push(format!("It will wait: {} has {} of {slots} in use.", agent.name, agent.slots.0));
            }
        }
        for words in warnings.iter().take(2) {
            if y < keys_y {
                let line = text::cut_end(words, usize::from(width.saturating_sub(2))).into_owned();
                canvas.put(x, y, width, &format!("▲ {line}"), warn);
            }
            y += 1;
        }
    }
}
