//! The console's state and the one function that changes it.

use std::collections::BTreeMap;

use crossterm::event::KeyEventKind;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use wharf_model::UnixMillis;

use crate::command::{Command, Place};
use crate::draw::Canvas;
use crate::effect::{Effect, Question, QuitChoice};
use crate::env::{Env, Outbox};
use crate::format::Zone;
use crate::frame;
use crate::history::History;
use crate::keymap::{Key, Keymap, Override};
use crate::layout;
use crate::msg::{Msg, Tone};
use crate::overlay::Overlay;
use crate::overlay::confirm::Confirm;
use crate::overlay::notice::Notice;
use crate::overlay::quit::Quit;
use crate::overlay::toast::{self, Toast};
use crate::rows::Header;
use crate::screen::activity::Activity;
use crate::screen::diagnostics::Diagnostics;
use crate::screen::environments::Environments;
use crate::screen::leases::Leases;
use crate::screen::ledger::Ledger;
use crate::screen::services::Services;
use crate::screen::workspaces::Workspaces;
use crate::screen::{FocusMove, Motion, Screen, ScreenId};
use crate::text;
use crate::theme::{Theme, Variant};

mod answers;
mod input;
mod visits;

/// What the shell decides before the first frame.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The present.
    pub now: UnixMillis,
    /// Columns and rows.
    pub size: (u16, u16),
    /// Where moments are shown.
    pub zone: Zone,
    /// Colours.
    pub theme: Theme,
    /// Use the ASCII set.
    pub ascii: bool,
    /// Lines of the keymap file.
    pub keys: Vec<Override>,
    /// Name of the project, until the header's rows come.
    pub project: String,
}

/// A condition that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Banner {
    /// Tells conditions apart.
    pub key: &'static str,
    /// How bad it is.
    pub tone: Tone,
    /// One line.
    pub text: String,
    /// What to do.
    pub advice: String,
}

/// The console.
#[derive(Debug)]
pub struct App {
    /// The same for every screen.
    pub env: Env,
    /// What is wanted of the shell.
    pub outbox: Outbox,
    /// Counters.
    pub header: Header,
    /// Keys in force.
    pub keymap: Keymap,
    /// The screen shown.
    pub screen: ScreenId,
    /// Screen 1.
    pub ledger: Ledger,
    /// Screen 2.
    pub leases: Leases,
    /// Screen 3.
    pub services: Services,
    /// Screen 4.
    pub environments: Environments,
    /// Screen 5.
    pub workspaces: Workspaces,
    /// Screen 7.
    pub activity: Activity,
    /// Screen 8.
    pub diagnostics: Diagnostics,
    /// Places visited.
    pub history: History,
    /// What lies over the screen.
    pub overlay: Option<Overlay>,
    /// What was said, the oldest first.
    pub toasts: Vec<Toast>,
    /// Conditions that hold, the worst first.
    pub banners: Vec<Banner>,
    /// The process that orchestrates in the place of this console, in lines; empty when none does.
    pub holder: Vec<String>,
    /// Tells that process from every other; a word of the shell's.
    pub holder_token: String,
    /// What a logout, or the end of this process, does to what runs; empty when nothing is to be said.
    pub foretold: &'static str,
    /// What the last start of the orchestrator in this console has found.
    pub recovery: Option<Notice>,
    chord: Vec<Key>,
    chord_at: UnixMillis,
    deferred: Option<&'static Command>,
    /// The run that was asked for last, by its tag, as long as the operator has done nothing since.
    pub started: Option<u64>,
    /// Confirmed requests that are not answered yet, to be shown again when things changed meanwhile.
    confirmed: BTreeMap<u64, Confirm>,
}

impl App {
    /// A console that has asked nothing yet; the first [`App::update`] asks.
    pub fn new(settings: Settings) -> Self {
        let (keymap, problems) = Keymap::build(&settings.keys);
        let env = Env {
            now: settings.now,
            zone: settings.zone,
            theme: settings.theme,
            ascii: settings.ascii,
            size: settings.size,
            banner: false,
        };
        let header = Header { project: settings.project, ..Header::default() };
        let mut app = Self {
            env,
            outbox: Outbox::default(),
            header,
            keymap,
            screen: ScreenId::Ledger,
            ledger: Ledger::default(),
            leases: Leases::default(),
            services: Services::default(),
            environments: Environments::default(),
            workspaces: Workspaces::default(),
            activity: Activity::default(),
            diagnostics: Diagnostics::default(),
            history: History::default(),
            overlay: None,
            toasts: Vec::new(),
            banners: Vec::new(),
            holder: Vec::new(),
            holder_token: String::new(),
            foretold: "",
            recovery: None,
            chord: Vec::new(),
            chord_at: settings.now,
            deferred: None,
            started: None,
            confirmed: BTreeMap::new(),
        };
        if !problems.is_empty() {
            let text = format!("{} in the keymap", crate::format::plural(problems.len() as u64, "wrong line"));
            app.banner("keymap", Tone::Warn, text, problems.join("; "));
        }
        app.outbox.ask(Question::Header);
        app
    }

    /// Takes one input and says what is to be done. Never waits, never fails.
    pub fn update(&mut self, msg: Msg) -> Vec<Effect> {
        match msg {
            Msg::Key(key) if key.kind != KeyEventKind::Release => self.key(key),
            Msg::Key(_) => {}
            Msg::Mouse(event) => self.mouse(event),
            Msg::Resize(columns, rows) => self.env.size = (columns, rows),
            Msg::Tick(now) => self.env.now = now,
            Msg::Paste(words) => self.paste(&words),
            Msg::Rows { question, answer } => self.answer(&question, &answer),
            Msg::StoreChanged | Msg::FocusGained => self.refresh(),
            Msg::OutputGrew(owner) => {
                let (screen, out) = self.parts();
                screen.output_grew(owner, out);
            }
            Msg::RequestAnswered { tag, outcome } => self.request_answered(tag, outcome),
            Msg::Ground { light } => {
                self.env.theme.variant = if light { Variant::Light } else { Variant::Dark };
            }
            Msg::Edited(words) => self.edited(words),
            Msg::Toast(tone, words) => self.say(tone, words),
            Msg::Holder { lines, token } => (self.holder, self.holder_token) = (lines, token),
            Msg::Foretold(words) => self.foretold = words,
            Msg::Recovered(notice) => self.recovered(*notice),
            Msg::Banner { key, tone, text, advice } => self.banner(key, tone, text, advice),
            Msg::BannerOver(key) => {
                self.banners.retain(|b| b.key != key);
                self.env.banner = !self.banners.is_empty();
            }
        }
        if let Some(command) = self.deferred.take() {
            self.execute(command);
        }
        let env = self.env.clone();
        let (screen, out) = self.parts();
        screen.settle(&env, out);
        self.outbox.take()
    }

    /// Draws the whole frame.
    pub fn view(&self, frame: &mut Frame<'_>) {
        self.draw(frame.buffer_mut());
    }

    /// Draws into a buffer, whose size counts.
    pub fn draw(&self, buffer: &mut Buffer) {
        let mut canvas = Canvas::new(buffer, self.env.theme, self.env.ascii);
        frame::view(self, &mut canvas);
    }

    /// The screen shown.
    pub fn current(&self) -> &dyn Screen {
        match self.screen {
            ScreenId::Ledger => &self.ledger,
            ScreenId::Leases => &self.leases,
            ScreenId::Services => &self.services,
            ScreenId::Environments => &self.environments,
            ScreenId::Workspaces => &self.workspaces,
            ScreenId::Activity => &self.activity,
            ScreenId::Diagnostics => &self.diagnostics,
        }
    }

    /// The screen shown, to act on, and the outbox.
    pub fn parts(&mut self) -> (&mut dyn Screen, &mut Outbox) {
        let screen: &mut dyn Screen = match self.screen {
            ScreenId::Ledger => &mut self.ledger,
            ScreenId::Leases => &mut self.leases,
            ScreenId::Services => &mut self.services,
            ScreenId::Environments => &mut self.environments,
            ScreenId::Workspaces => &mut self.workspaces,
            ScreenId::Activity => &mut self.activity,
            ScreenId::Diagnostics => &mut self.diagnostics,
        };
        (screen, &mut self.outbox)
    }

    /// Places of the screen shown.
    pub fn screen_places(&self) -> Vec<Place> {
        self.current().places(&self.env)
    }

    /// Where keys are looked up now, the nearest place first.
    pub fn places(&self) -> Vec<Place> {
        let mut places = self.screen_places();
        places.push(Place::Everywhere);
        places
    }

    /// Whether a command belongs to what is active.
    pub fn is_here(&self, command: &Command) -> bool {
        let places = self.places();
        command.places.iter().any(|p| places.contains(p))
    }

    /// Keys of a chord pressed so far, and whether its popup is due.
    pub fn chord(&self) -> Option<(&[Key], bool)> {
        let due = self.chord_at.until(self.env.now) >= crate::overlay::whichkey::DELAY_MS;
        (!self.chord.is_empty()).then_some((self.chord.as_slice(), due))
    }

    /// Does a command, or says why it cannot be done.
    pub fn execute(&mut self, command: &'static Command) {
        match (command.legal)(self) {
            Ok(()) => (command.run)(self),
            Err(why) => {
                let subject = self.current().subject().unwrap_or_default();
                let title = command.title.replace("{}", &subject);
                // The answer to a key, not a condition: it goes again by itself.
                self.say(Tone::Info, format!("{title}: {why}"));
            }
        }
    }

    /// Does a command after the overlay that chose it has gone.
    pub fn defer(&mut self, command: &'static Command) {
        self.deferred = Some(command);
    }

    fn refresh(&mut self) {
        self.outbox.ask(Question::Header);
        if matches!(self.overlay, Some(Overlay::NewRun(_))) {
            // Agents and slots come and go while the form is open.
            self.outbox.ask(Question::FormAgents);
        }
        if let Some(Overlay::IssueSettings(form)) = &self.overlay {
            let question = form.question().clone();
            self.outbox.ask(question);
        }
        let env = self.env.clone();
        let (screen, out) = self.parts();
        screen.refresh(&env, out);
    }

    /// Moves the cursor or the text of the focused pane.
    pub fn motion(&mut self, motion: Motion) {
        let env = self.env.clone();
        let (screen, out) = self.parts();
        screen.motion(motion, &env, out);
    }

    /// Moves the focus.
    pub fn focus(&mut self, to: FocusMove) {
        let env = self.env.clone();
        self.parts().0.focus(to, &env);
    }

    /// Opens something over the screen.
    pub fn open(&mut self, overlay: Overlay) {
        if matches!(overlay, Overlay::Messages(_)) {
            for toast in &mut self.toasts {
                toast.read = true;
            }
        }
        self.overlay = Some(overlay);
    }

    /// Says something in the corner and keeps it for the messages.
    pub fn say(&mut self, tone: Tone, words: String) {
        let now = self.env.now;
        if let Some(last) = self.toasts.last_mut().filter(|t| t.words == words && t.tone == tone && t.is_shown(now)) {
            // The same once more is no news.
            last.at = now;
            return;
        }
        self.toasts.push(Toast { tone, words, at: self.env.now, read: false });
        let over = self.toasts.len().saturating_sub(toast::KEPT_MAX);
        self.toasts.drain(..over);
    }

    /// Puts a text on the clipboard and says how much.
    pub fn copy(&mut self, words: String) {
        let lines = words.lines().count().max(1) as u64;
        let said = if lines == 1 && words.len() <= 40 {
            format!("Copied {words}")
        } else {
            format!("Copied {}, {}", crate::format::plural(lines, "line"), crate::format::size(words.len() as u64))
        };
        self.outbox.push(Effect::Copy(words));
        self.say(Tone::Info, said);
    }

    /// What the focused pane says, as text: all of it where the pane knows it, else what is drawn.
    pub fn pane_text(&self) -> String {
        if let Some(words) = self.current().pane_text(&self.env) {
            return words.trim_end().to_owned();
        }
        let (columns, rows) = self.env.size;
        let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
        self.draw(&mut buffer);
        let area = Some(self.current().pane_area(&self.env)).filter(|area| !area.is_empty());
        let body = || layout::bands(columns, rows, self.env.banner).map_or(Rect::ZERO, |bands| bands.body);
        text::drawn(&buffer, area.unwrap_or_else(body))
    }

    fn banner(&mut self, key: &'static str, tone: Tone, text: String, advice: String) {
        self.banners.retain(|b| b.key != key);
        self.banners.push(Banner { key, tone, text, advice });
        self.banners.sort_by_key(|b| std::cmp::Reverse(b.tone));
        self.env.banner = true;
    }

    /// Tells what a start has found; where something else lies over the screen, it waits for its command.
    fn recovered(&mut self, notice: Notice) {
        if self.overlay.is_none() && !self.current().is_typing() {
            self.open(Overlay::Notice(Box::new(notice.clone().again(self.env.now))));
        } else {
            self.say(Tone::Info, format!("{}; `: recovery.show` tells", notice.title));
        }
        self.recovery = Some(notice);
    }

    /// Leaves, or asks when something is alive.
    pub fn quit(&mut self) {
        let h = &self.header;
        if h.running + h.services + h.needs_person > 0 {
            self.open(Overlay::Quit(Quit::default()));
        } else {
            self.outbox.push(Effect::Quit(QuitChoice::Leave));
        }
    }
}
