//! The loop: takes what happened, tells the screens, does what they want, draws what changed.

mod effects;
mod ending;
mod handing;
mod pace;
mod standing;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crossterm::event::Event as Input;
use wharf_ui::effect::{Owner, Question};
use wharf_ui::msg::{Answer, RequestOutcome, Tone};
use wharf_ui::rows::OutputState;
use wharf_ui::{App, Msg};

use self::ending::{Ending, Stopping};
use super::checkouts::Checkouts;
use super::events::{Event, Mailbox, Sender, mailbox};
use super::input::Input as Keys;
use super::live::{Growth, LiveRuns};
use super::output::Outputs;
use super::questions::{Questions, Scope};
use super::reign::{Standing, Throne};
use super::requests::Requests;
use super::retry::Retry;
use super::service_looks::ServiceLooks;
use super::{Options, changes, ground, logging, reigning, settings, signals, terminal};
use crate::clock;
use crate::config::find;
use crate::dispatch::election::DiskNeed;
use crate::dispatch::orchestrator::MachineLimits;

/// Events taken before a frame, at most.
const BATCH: usize = 256;
/// Tags of requests that the console makes by itself begin here; the screens' own begin at 1.
const OWN_TAGS: u64 = 1 << 62;

/// The console in being.
pub struct Shell {
    options: Options,
    app: App,
    terminal: terminal::Terminal,
    mailbox: Mailbox,
    events: Sender,
    keys: Keys,
    questions: Questions,
    requests: Requests,
    throne: Throne,
    live: LiveRuns,
    checkouts: Checkouts,
    service_looks: ServiceLooks,
    growth: Growth,
    standing: Option<Standing>,
    project: PathBuf,
    logging: bool,
    lively: bool,
    dirty: bool,
    /// The operator has done something since the last frame.
    pressed: bool,
    drawn_at: Option<Instant>,
    ticked_at: Instant,
    refreshed_at: Option<Instant>,
    refresh_due: bool,
    retry: Retry,
    open_questions: usize,
    asked_at: Option<Instant>,
    /// The output on the screen that will not change any more.
    settled_output: Option<Owner>,
    stopping: Option<Stopping>,
    ending: Option<Ending>,
}

impl Shell {
    /// Takes the terminal, draws the first frame, and begins everything that goes on beside it.
    pub fn start(options: Options) -> io::Result<Self> {
        let (events, mailbox) = mailbox();
        // Before anything that takes time: a size that changes meanwhile is heard of.
        signals::start(events.clone())?;
        let size = terminal::size();
        let name = options.directory.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let chosen = settings::choose(options.look, clock::now(), size, name);
        let zone = chosen.settings.zone;
        let mut app = App::new(chosen.settings);
        let mut terminal = terminal::Terminal::take(chosen.mouse)?;
        terminal.draw(size, |buffer| app.draw(buffer))?;

        let asked = chosen.ask_ground && terminal::say(ground::QUESTION).is_ok();
        let keys = Keys::start(events.clone(), ground::Listener::new(asked))?;
        let found = find::find(&options.directory).map_err(io::Error::other)?;
        let live = LiveRuns::start(&options.data, events.clone())?;
        let growth = Growth::start(events.clone())?;
        let checkouts = Checkouts::start(events.clone())?;
        let service_looks = ServiceLooks::start(&options.data, events.clone())?;
        let outputs = Outputs { data: options.data.clone(), growth: growth.clone() };
        let scope = Scope::new(&options.data, &found.root, zone, &live, (&checkouts, &service_looks));
        let questions = Questions::start(&scope, &outputs, events.clone())?;
        let requests = Requests::start(&options.data, &found.root, events.clone())?;
        let (limits, limits_wrong) = MachineLimits::read();
        let mut logging = false;
        if options.data.is_dir() {
            logging = logging::start(&options.data).is_ok();
        }
        let throne = Throne::start(options.data.clone(), limits, events.clone())?;
        changes::start(&options.data, events.clone())?;
        foretell(events.clone())?;
        if let Some(words) = chosen.wrong.or(limits_wrong) {
            app.update(Msg::Banner {
                key: "user-config",
                tone: Tone::Warn,
                text: "Your config has a mistake; its defaults are used".to_owned(),
                advice: words,
            });
        }
        let mut shell = Self {
            app,
            terminal,
            mailbox,
            events,
            keys,
            questions,
            requests,
            throne,
            live,
            checkouts,
            service_looks,
            growth,
            standing: None,
            project: found.root,
            logging,
            lively: chosen.lively,
            dirty: true,
            pressed: false,
            drawn_at: Some(Instant::now()),
            ticked_at: Instant::now(),
            refreshed_at: None,
            refresh_due: false,
            retry: Retry::default(),
            open_questions: 0,
            asked_at: None,
            settled_output: None,
            stopping: None,
            ending: None,
            options,
        };
        if found.has_config {
            shell.requests.add_project();
        } else {
            shell.banner(
                "init",
                Tone::Info,
                format!("No wharf.toml in {}", shell.project.display()),
                "`wharf init` writes one; until then there is no agent to start here".to_owned(),
            );
        }
        shell.tell(Msg::Tick(clock::now()));
        Ok(shell)
    }

    /// Stays until the end; gives the exit code of the program.
    pub fn run(mut self) -> u8 {
        while self.ending.is_none() {
            let wait = self.patience();
            let mut event = self.mailbox.next(wait);
            let mut taken = 0;
            while let Some(next) = event {
                self.take(next);
                taken += 1;
                if taken >= BATCH || self.ending.is_some() || self.mailbox.is_empty() {
                    break;
                }
                event = self.mailbox.next(Some(Duration::ZERO));
            }
            self.pass_time();
            if let Err(error) = self.draw() {
                tracing::warn!(%error, "the terminal takes nothing any more");
                self.ending.get_or_insert(Ending::Signal);
            }
        }
        self.leave()
    }

    fn output_shown(&self) -> Option<Owner> {
        self.app.current().stream().map(wharf_ui::pane::output::OutputPane::owner)
    }

    fn draw(&mut self) -> io::Result<()> {
        if !self.dirty || self.drawn_at.is_some_and(|at| at.elapsed() < self.frame()) {
            return Ok(());
        }
        self.dirty = false;
        self.pressed = false;
        self.drawn_at = Some(Instant::now());
        let (app, size) = (&self.app, self.app.env.size);
        self.terminal.draw(size, |buffer| app.draw(buffer)).map(|_| ())
    }

    /// Takes one event.
    fn take(&mut self, event: Event) {
        match event {
            Event::Input(input) => self.input(input),
            Event::Resized => self.resized(),
            Event::Hangup => self.end(Ending::Signal),
            Event::Terminate(name) => {
                tracing::info!(name, "the console is asked to end");
                self.end(Ending::Signal);
            }
            Event::Answer(question, answer) => {
                match &answer {
                    Ok(_) => self.retry.answered(),
                    Err(words) => {
                        tracing::warn!(?question, %words, "a question of the screen is not answered; it is asked again");
                        self.retry.failed(Instant::now());
                    }
                }
                self.answered(question, answer);
            }
            Event::StoreChanged => {
                self.requests.look();
                self.refresh_due = true;
            }
            Event::OutputGrew(owner) => {
                if self.output_shown() == Some(owner) {
                    self.tell(Msg::OutputGrew(owner));
                } else {
                    self.growth.watch(None);
                }
            }
            Event::Standing(standing) => self.stands(standing),
            Event::Foretold(words) => self.tell(Msg::Foretold(words)),
            Event::Recovered(recovery) => {
                let notice = reigning::recovery(&recovery, clock::now());
                if std::mem::take(&mut self.options.prepared) {
                    self.app.recovery = Some(notice);
                } else {
                    self.tell(Msg::Recovered(Box::new(notice)));
                }
            }
            Event::Trouble(trouble, words) => self.trouble(trouble, words),
            Event::Need(need) => self.needs_room(need.as_ref()),
            Event::Request(tag, outcome) => {
                if tag < OWN_TAGS {
                    self.tell(Msg::RequestAnswered { tag, outcome });
                } else if let RequestOutcome::Refused { words, .. } = outcome {
                    // What ended by itself meanwhile need not be stopped.
                    tracing::info!(%words, "not stopped");
                }
            }
            Event::Ground { light } => self.tell(Msg::Ground { light }),
            Event::Toast(tone, words) => self.tell(Msg::Toast(tone, words)),
            Event::Project(known) => self.project_told(known),
        }
    }

    fn end(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
    }

    fn input(&mut self, input: Input) {
        let msg = match input {
            Input::Key(key) => Msg::Key(key),
            Input::Mouse(mouse) => Msg::Mouse(mouse),
            Input::Paste(words) => Msg::Paste(words),
            Input::FocusGained => Msg::FocusGained,
            Input::FocusLost => return,
            Input::Resize(..) => return self.resized(),
        };
        #[cfg(debug_assertions)]
        if std::env::var_os("WHARF_DEBUG_PANIC").is_some()
            && matches!(&msg, Msg::Key(key) if key.code == crossterm::event::KeyCode::F(12))
        {
            panic!("asked for by WHARF_DEBUG_PANIC");
        }
        // Keys are judged by the moment they come at: a dialog drops what is typed before it was read.
        self.tell(Msg::Tick(clock::now()));
        // What asks for rows (a cursor that moves) is asked at once as well.
        self.pressed |= !matches!(msg, Msg::FocusGained);
        self.tell(msg);
    }

    fn resized(&mut self) {
        let (columns, rows) = terminal::size();
        if (columns, rows) != self.app.env.size {
            self.tell(Msg::Resize(columns, rows));
        }
    }

    /// Tells the screens, and does what they want.
    fn tell(&mut self, msg: Msg) {
        // These only ask; a frame drawn for them would hold up the one that shows the answer.
        self.dirty |= !matches!(msg, Msg::StoreChanged | Msg::OutputGrew(_));
        for effect in self.app.update(msg) {
            self.perform(effect);
        }
    }

    fn answered(&mut self, question: Question, answer: Result<Answer, String>) {
        self.open_questions = self.open_questions.saturating_sub(1);
        if self.open_questions == 0 {
            self.asked_at = None;
        }
        let answer = match answer {
            Ok(Answer::Header(header)) => Ok(Answer::Header(self.header(header))),
            other => other,
        };
        if let (Question::Output { owner, .. }, Ok(Answer::Output(lines))) = (&question, &answer)
            && self.output_shown() == Some(*owner)
        {
            // A service that has ended may be started again; a run is over for good.
            let over = matches!(owner, Owner::Run(_))
                && matches!(lines.state, OutputState::Ended { .. } | OutputState::Lost | OutputState::Removed { .. });
            self.settled_output = over.then_some(*owner);
        }
        self.tell(Msg::Tick(clock::now()));
        self.tell(Msg::Rows { question, answer });
    }

    /// Something waits for room on the disk, or no longer.
    fn needs_room(&mut self, need: Option<&DiskNeed>) {
        match reigning::waits_for_room(need, self.app.env.zone) {
            Some((text, advice)) => self.banner("room", Tone::Bad, text, advice),
            None => self.tell(Msg::BannerOver("room")),
        }
    }
}

/// Asks the login manager beside the screen what a logout does.
fn foretell(events: Sender) -> io::Result<()> {
    std::thread::Builder::new().name("session".into()).spawn(move || {
        let logout = crate::session::look();
        if logout.is_warning() {
            // The console may be gone by now.
            let _ = events.send(Event::Foretold(logout.words()));
        }
    })?;
    Ok(())
}
