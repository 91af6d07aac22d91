//! The terminal in the hands of another program: a shell, a pager, an editor, a run that was given one.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use wharf_ui::Msg;
use wharf_ui::effect::{LinePlace, Owner};
use wharf_ui::msg::Tone;

use super::{Ending, Shell};
use crate::console::events::Event;
use crate::console::handover::{self, Feed, Stand};
use crate::console::terminal;

/// How often a program that has the terminal is looked after.
const CHILD_LOOK: Duration = Duration::from_millis(50);

impl Shell {
    pub(super) fn shell(&mut self, owner: Owner) {
        let data = self.options.data.clone();
        let place =
            wharf_store::Reader::open(&data).map_err(|e| e.to_string()).and_then(|reader| match handover::place_shell(
                &data, &reader, owner,
            )? {
                Some(command) => Ok(Err(command)),
                None => handover::shell_place(&reader, owner).map(Ok),
            });
        match place {
            Ok(Err(command)) => {
                // Why it could not be opened stands on the screen of the program that tried.
                if !self.hand_over(command, "") && self.ending.is_none() {
                    let words = "The shell ended badly, or could not be opened; `wharf shell` says why";
                    self.tell(Msg::Toast(Tone::Warn, words.to_owned()));
                }
            }
            Ok(Ok((dir, vars))) => {
                let words = format!("{}: `exit` comes back to wharf", dir.display());
                let command = handover::shell(&self.tmp(), &dir, vars);
                self.hand_over(command, &words);
            }
            Err(words) => self.tell(Msg::Toast(Tone::Bad, format!("No shell: {words}"))),
        }
    }

    pub(super) fn attach(&mut self, run: wharf_model::RunId) {
        let data = self.options.data.clone();
        let made = wharf_store::Reader::open(&data)
            .map_err(|e| e.to_string())
            .and_then(|reader| handover::attach(&data, &reader, run));
        match made {
            Ok((command, name)) => {
                if !self.hand_over(command, "") && self.ending.is_none() {
                    let words = format!("{name} was left before its end was seen; a tries again");
                    self.tell(Msg::Toast(Tone::Warn, words));
                }
            }
            Err(words) => self.tell(Msg::Toast(Tone::Bad, format!("Not attached: {words}"))),
        }
    }

    pub(super) fn pager(&mut self, owner: Owner, at: Option<LinePlace>) {
        let data = self.options.data.clone();
        let made = wharf_store::Reader::open(&data)
            .map_err(|e| e.to_string())
            .and_then(|reader| handover::pager(&data, &reader, owner, at));
        match made {
            Ok((command, feed)) => {
                self.hand_over_fed(command, "", Some(feed));
            }
            Err(words) => self.tell(Msg::Toast(Tone::Bad, format!("No pager: {words}"))),
        }
    }

    pub(super) fn edit_file(&mut self, path: &str, line: u64) {
        if !self.hand_over(handover::edit_at(path, line), "") && self.ending.is_none() {
            self.tell(Msg::Toast(Tone::Warn, format!("The editor ended badly; {path} is as it left it")));
        }
    }

    pub(super) fn editor(&mut self, text: &str) {
        match handover::editor(&self.tmp(), text) {
            Ok((command, file)) => {
                let well = self.hand_over(command, "");
                let words = if well { handover::edited(&file) } else { None };
                remove(&file);
                self.tell(Msg::Edited(words));
            }
            Err(words) => {
                self.tell(Msg::Toast(Tone::Bad, format!("No editor: {words}")));
                self.tell(Msg::Edited(None));
            }
        }
    }

    /// Gives the terminal to a program until it ends; says whether it ended well. Everything but the
    /// screen goes on meanwhile.
    pub(super) fn hand_over(&mut self, command: Command, words: &str) -> bool {
        self.hand_over_fed(command, words, None)
    }

    /// The same, with what feeds the program beside everything else.
    fn hand_over_fed(&mut self, mut command: Command, words: &str, feed: Option<Feed>) -> bool {
        self.keys.pause();
        terminal::give_back();
        if !words.is_empty() {
            // A directory may be named so that it would steer the terminal.
            let words: String = words.chars().filter(|c| !c.is_control()).collect();
            let _ = writeln!(io::stdout(), "{words}");
        }
        let well = match command.spawn() {
            Ok(mut child) => {
                let fed = feed
                    .zip(child.stdin.take())
                    .map(|(feed, stdin)| std::thread::Builder::new().name("feed".into()).spawn(move || feed(stdin)));
                if let Some(Err(error)) = fed {
                    tracing::warn!(%error, "what has the terminal is not given its text");
                }
                self.look_after(&mut child)
            }
            Err(error) => {
                let name = command.get_program().to_string_lossy().into_owned();
                self.tell(Msg::Toast(Tone::Bad, format!("{name} cannot be started: {error}")));
                false
            }
        };
        if self.ending.is_some() {
            return well;
        }
        // A shell that was killed leaves the terminal to a group that is gone.
        if let Err(error) = crate::process::foreground::take(io::stdin()) {
            tracing::warn!(%error, "the terminal's group cannot be taken back");
        }
        if let Err(error) = self.terminal.resume() {
            tracing::error!(%error, "the terminal cannot be taken back");
            self.end(Ending::Signal);
        }
        self.keys.resume();
        self.mailbox.forget_inputs();
        self.resized();
        self.refresh_due = true;
        self.dirty = true;
        well
    }

    pub(super) fn look_after(&mut self, child: &mut Child) -> bool {
        loop {
            match handover::look(child) {
                Stand::Ended(well) => return well,
                Stand::Runs => {}
            }
            match self.mailbox.next(Some(CHILD_LOOK)) {
                // What is typed is the program's.
                Some(Event::Input(_) | Event::Resized) | None => {}
                Some(event) => self.take(event),
            }
            if self.ending.is_some() {
                return false;
            }
        }
    }
}

fn remove(file: &PathBuf) {
    if let Err(error) = std::fs::remove_file(file) {
        tracing::warn!(%error, file = %file.display(), "a file of our own stays behind");
    }
}
