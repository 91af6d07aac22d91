//! Screens. Each owns its rows, cursor and tabs; none knows another.

use crossterm::event::{KeyEvent, MouseEvent};
use ratatui::layout::Rect;

use crate::command::Place;
use crate::draw::Canvas;
use crate::effect::{Owner, Question};
use crate::env::{Env, Outbox};
use crate::msg::{Answer, Tone};
use crate::pane::diff::DiffPane;
use crate::pane::output::OutputPane;

pub mod activity;
pub mod browse;
pub mod diagnostics;
pub mod environments;
pub mod leases;
pub mod ledger;
pub mod listing;
pub mod services;
pub mod streams;
pub mod workspaces;

/// What the selected thing is called and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Handles {
    /// `S-12`; for what has no number, its name.
    pub number: String,
    /// Its UUID.
    pub id: Option<String>,
    /// Kind of its document: `service`; none where it has none.
    pub kind: Option<&'static str>,
    /// The directory or file that it is about.
    pub path: PathOf,
    /// URL.
    pub url: Option<String>,
    /// The command that shows it.
    pub command: String,
    /// It was started with a command line, or may be.
    pub started: bool,
}

/// The path of a thing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PathOf {
    /// It has none.
    #[default]
    None,
    /// It is this.
    Known(String),
    /// The store knows.
    Asked,
}

/// The screens that exist, in the order of their digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScreenId {
    /// Runs.
    Ledger,
    /// Leases.
    Leases,
    /// Services.
    Services,
    /// Environments.
    Environments,
    /// Workspaces.
    Workspaces,
    /// The audit trail.
    Activity,
    /// wharf itself.
    Diagnostics,
}

impl ScreenId {
    /// Every screen that exists.
    pub const ALL: &'static [Self] = &[
        Self::Ledger,
        Self::Leases,
        Self::Services,
        Self::Environments,
        Self::Workspaces,
        Self::Activity,
        Self::Diagnostics,
    ];

    /// The key that shows it.
    pub const fn digit(self) -> char {
        match self {
            Self::Ledger => '1',
            Self::Leases => '2',
            Self::Services => '3',
            Self::Environments => '4',
            Self::Workspaces => '5',
            Self::Activity => '7',
            Self::Diagnostics => '8',
        }
    }

    /// Its name.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Ledger => "Ledger",
            Self::Leases => "Leases",
            Self::Services => "Services",
            Self::Environments => "Environments",
            Self::Workspaces => "Workspaces",
            Self::Activity => "Activity",
            Self::Diagnostics => "Diagnostics",
        }
    }

    /// The field that filters its list by number; empty where rows cannot be named.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Ledger => "run",
            Self::Leases => "lease",
            Self::Services => "service",
            Self::Environments => "env",
            Self::Workspaces => "workspace",
            Self::Activity | Self::Diagnostics => "",
        }
    }
}

/// Where a screen is, to come back to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spot {
    /// Its filter.
    pub filter: String,
    /// Number of the selected row.
    pub number: Option<i64>,
    /// The detail has the focus.
    pub detail: bool,
}

/// A movement in whatever has the focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Motion {
    /// Rows, down when positive.
    Rows(i64),
    /// Half pages.
    HalfPages(i64),
    /// Pages.
    Pages(i64),
    /// First row.
    First,
    /// Last row; a stream follows again.
    Last,
    /// Cells to the side, in text that is not wrapped.
    Sideways(i64),
}

/// A movement of the focus between panes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FocusMove {
    /// Next in reading order.
    Next,
    /// Previous.
    Previous,
    /// To the list.
    List,
    /// Into the detail.
    Detail,
}

/// What a click or drag came to, beyond what the screen did itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mouse {
    /// Nothing more.
    Done,
    /// A text was selected and is to be copied.
    Copied(String),
}

/// A screen. All methods but `view` and `settle` answer one input; `settle` runs after each.
pub trait Screen {
    /// Where its keys are looked up, the nearest place first; `Everywhere` is added by the caller.
    fn places(&self, env: &Env) -> Vec<Place>;

    /// Asks again for everything visible: it is shown now, or rows changed.
    fn refresh(&mut self, env: &Env, out: &mut Outbox);

    /// Takes an answer; one to another question than is open now must be left aside.
    fn answer(&mut self, question: &Question, answer: &Result<Answer, String>, env: &Env, out: &mut Outbox);

    /// Clamps cursors and scrolls to the size of the terminal and asks for what became visible.
    fn settle(&mut self, env: &Env, out: &mut Outbox);

    /// Moves the cursor or the text.
    fn motion(&mut self, motion: Motion, env: &Env, out: &mut Outbox);

    /// Moves the focus.
    fn focus(&mut self, to: FocusMove, env: &Env);

    /// Whether a line is being typed; then all keys go to [`Screen::key`].
    fn is_typing(&self) -> bool {
        false
    }

    /// Keys while typing, as the hint row tells them.
    fn typing_hints(&self) -> &'static [(&'static str, &'static str)] {
        &[("Enter", "take"), ("Esc", "drop")]
    }

    /// A key while typing; gives words to say.
    fn key(&mut self, key: KeyEvent, env: &Env, out: &mut Outbox) -> Option<(Tone, String)> {
        let _ = (key, env, out);
        None
    }

    /// A pasted text while typing.
    fn paste(&mut self, words: &str, env: &Env, out: &mut Outbox) {
        let _ = (words, env, out);
    }

    /// Drops the innermost thing (search, selection, marks, zoom, then pane to list); `false` when there was none.
    fn back(&mut self) -> bool;

    /// Neighbouring tab of the detail pane.
    fn tab(&mut self, back: bool) {
        let _ = back;
    }

    /// Whether its detail has tabs.
    fn has_tabs(&self) -> bool {
        false
    }

    /// Focused pane over the whole body, and back.
    fn zoom(&mut self) {}

    /// Moves the split by percent.
    fn split(&mut self, by: i16) {
        let _ = by;
    }

    /// Mouse inside the body.
    fn mouse(&mut self, event: MouseEvent, env: &Env, out: &mut Outbox) -> Mouse {
        let _ = (event, env, out);
        Mouse::Done
    }

    /// The selection, else the number of the selected thing.
    fn copy(&self) -> Option<String>;

    /// What the selected thing is called and where it is, for copying.
    fn handles(&self) -> Option<Handles> {
        None
    }

    /// All that the focused pane says, where that is more than what is drawn of it.
    fn pane_text(&self, env: &Env) -> Option<String> {
        let _ = env;
        None
    }

    /// Where the content of the focused pane is drawn; empty where the whole body is one.
    fn pane_area(&self, env: &Env) -> Rect {
        let _ = env;
        Rect::ZERO
    }

    /// What is selected, for titles: `R-1042`.
    fn subject(&self) -> Option<String>;

    /// Whose place a shell opens in.
    fn owner(&self) -> Option<Owner> {
        None
    }

    /// Whether its things have a place for a shell at all.
    fn has_places(&self) -> bool {
        true
    }

    /// Opens the filter line of the list.
    fn edit_filter(&mut self) {}

    /// Marks the row under the cursor.
    fn mark(&mut self) {}

    /// Inverts the marks.
    fn invert_marks(&mut self) {}

    /// The stream shown, when one is.
    fn stream(&self) -> Option<&OutputPane> {
        None
    }

    /// The stream shown, to act on, with its area.
    fn stream_mut(&mut self, env: &Env) -> Option<(&mut OutputPane, Rect)> {
        let _ = env;
        None
    }

    /// What was changed, when it is shown.
    fn diff(&self) -> Option<&DiffPane> {
        None
    }

    /// The same, to act on.
    fn diff_mut(&mut self) -> Option<&mut DiffPane> {
        None
    }

    /// A log has grown.
    fn output_grew(&mut self, owner: Owner, out: &mut Outbox) {
        let _ = (owner, out);
    }

    /// The row of the screen on which the list's cursor stands, and the column behind the list.
    fn cursor_row(&self, env: &Env) -> Option<(u16, u16)> {
        let _ = env;
        None
    }

    /// Names of things of another screen that belong to what is selected: `L-88`.
    fn links(&self, to: ScreenId) -> Vec<String> {
        let _ = to;
        Vec::new()
    }

    /// It is shown from now on, after another one was: what has happened meanwhile is asked for.
    fn comes_to_front(&mut self) {}
    /// Brings things of these names to the cursor; several narrow the list to them.
    fn find(&mut self, names: &[String], out: &mut Outbox) {
        let _ = (names, out);
    }

    /// Where it is, to come back to.
    fn spot(&self) -> Spot {
        Spot::default()
    }

    /// Comes back to where it was.
    fn restore(&mut self, spot: &Spot, out: &mut Outbox) {
        let _ = (spot, out);
    }

    /// Draws into the body.
    fn view(&self, env: &Env, canvas: &mut Canvas<'_>, body: Rect);

    /// Whether there is nothing yet, so that the hint row teaches.
    fn is_empty(&self) -> bool {
        false
    }
}
