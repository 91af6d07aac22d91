//! What lies over the screen and owns all keys while it does.

use crossterm::event::KeyEvent;

use crate::app::App;
use crate::draw::Canvas;
use crate::effect::Question;
use crate::msg::Answer;

pub mod confirm;
pub mod help;
pub mod issue_settings;
pub mod messages;
pub mod new_run;
pub mod notice;
pub mod palette;
pub mod quit;
pub mod toast;
pub mod whichkey;

/// Whether an overlay stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It stays open.
    Stays,
    /// It is closed.
    Closes,
    /// It is closed, and the key means what it means without it.
    Passes,
}

/// One thing over the screen.
#[derive(Debug, Clone)]
pub enum Overlay {
    /// All legal commands.
    Palette(palette::Palette),
    /// Keys in force.
    Help(help::Help),
    /// Toasts of this session, and conditions.
    Messages(messages::Messages),
    /// What would happen, before it does.
    Confirm(Box<confirm::Confirm>),
    /// A form for a new run.
    NewRun(Box<new_run::NewRun>),
    /// A form for where an issue's runs work.
    IssueSettings(Box<issue_settings::IssueSettingsForm>),
    /// What becomes of live runs.
    Quit(quit::Quit),
    /// Something told in lines.
    Notice(Box<notice::Notice>),
}

impl Overlay {
    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent, app: &mut App) -> After {
        match self {
            Self::Palette(o) => o.key(key, app),
            Self::Help(o) => o.key(key, app),
            Self::Messages(o) => o.key(key, app),
            Self::Confirm(o) => o.key(key, app),
            Self::NewRun(o) => o.key(key, app),
            Self::IssueSettings(o) => o.key(key, app),
            Self::Quit(o) => o.key(key, app),
            Self::Notice(o) => o.key(key, app),
        }
    }

    /// Takes a pasted text.
    pub fn paste(&mut self, words: &str) {
        match self {
            Self::Palette(o) => o.paste(words),
            Self::NewRun(o) => o.paste(words),
            Self::IssueSettings(o) => o.paste(words),
            Self::Help(_) | Self::Messages(_) | Self::Confirm(_) | Self::Quit(_) | Self::Notice(_) => {}
        }
    }

    /// Takes an answer.
    pub fn answer(&mut self, question: &Question, answer: &Result<Answer, String>, app: &App) {
        match self {
            Self::Confirm(o) => o.answer(question, answer, app.env.now),
            Self::NewRun(o) if *question == Question::FormAgents => o.answer(answer),
            Self::IssueSettings(o) => o.answer(question, answer),
            _ => {}
        }
    }

    /// Draws.
    pub fn view(&self, app: &App, canvas: &mut Canvas<'_>) {
        match self {
            Self::Palette(o) => o.view(app, canvas),
            Self::Help(o) => o.view(app, canvas),
            Self::Messages(o) => o.view(app, canvas),
            Self::Confirm(o) => o.view(app, canvas),
            Self::NewRun(o) => o.view(app, canvas),
            Self::IssueSettings(o) => o.view(app, canvas),
            Self::Quit(o) => o.view(app, canvas),
            Self::Notice(o) => o.view(app, canvas),
        }
    }
}
