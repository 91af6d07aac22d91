//! What the screens want done: a question asked, a request written, a text copied, a file saved.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use wharf_ui::Msg;
use wharf_ui::effect::{Effect, Owner, QuitChoice};
use wharf_ui::msg::Tone;

use super::{Ending, Shell};
use crate::clock;
use crate::console::events::Event;
use crate::console::{handover, terminal};

/// Texts from this size on are copied to a file as well.
const COPY_FILE_FROM_BYTES: usize = 100_000;

impl Shell {
    /// Does one thing the screens want; none of them is waited for, but those that hand the terminal over.
    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Ask(question) => {
                self.open_questions += 1;
                self.asked_at.get_or_insert_with(Instant::now);
                if let Some(stale) = self.questions.ask(question) {
                    self.open_questions = self.open_questions.saturating_sub(1);
                    self.app.outbox.dropped(&stale);
                }
            }
            Effect::Request(request) => self.requests.write(request),
            Effect::Copy(words) => self.copy(&words),
            Effect::Shell(owner) => self.shell(owner),
            Effect::Attach(run) => self.attach(run),
            Effect::TakeOver { shown } => self.throne.take_over(shown),
            Effect::Suspend => {
                let here = std::env::current_dir().unwrap_or_else(|_| self.project.clone());
                let command = handover::shell(&self.tmp(), &here, Vec::new());
                self.hand_over(command, "wharf goes on behind this shell; `exit` or `fg` comes back");
            }
            Effect::Pager { owner, at } => self.pager(owner, at),
            Effect::Editor { text } => self.editor(&text),
            Effect::EditFile { path, line } => self.edit_file(&path, line),
            Effect::Save { owner, streams } => self.save(owner, streams),
            Effect::OpenUrl(url) => self.open_url(&url),
            Effect::Quit(QuitChoice::Leave) => self.end(Ending::Left),
            Effect::Quit(QuitChoice::Background) => self.end(Ending::Background),
            Effect::Quit(QuitChoice::StopAll) => self.stop_all(),
            Effect::Redraw => {
                self.terminal.forget();
                self.dirty = true;
            }
            Effect::Bell(words) => {
                let words: String = words.chars().filter(|c| !c.is_control()).take(200).collect();
                let bytes = format!("\x07\x1b]9;{words}\x1b\\");
                if let Err(error) = terminal::say(bytes.as_bytes()) {
                    tracing::warn!(%error, "the terminal cannot ring");
                }
            }
        }
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.options.data.join("tmp")
    }

    pub(super) fn copy(&mut self, words: &str) {
        let mut bytes = Vec::new();
        let copied = crossterm::queue!(bytes, crossterm::clipboard::CopyToClipboard::to_clipboard_from(words))
            .and_then(|()| terminal::say(&bytes));
        if let Err(error) = copied {
            self.tell(Msg::Toast(Tone::Bad, format!("The clipboard cannot be reached: {error}")));
        }
        if words.len() >= COPY_FILE_FROM_BYTES {
            let name = format!("copy-{}.txt", clock::now().0);
            let toast = match handover::write_private(&self.tmp(), &name, words.as_bytes()) {
                Ok(path) => (Tone::Info, format!("Also in {}", path.display())),
                Err(error) => (Tone::Bad, format!("Copied, but not into a file: {error}")),
            };
            self.tell(Msg::Toast(toast.0, toast.1));
        }
    }

    /// Where there is a desktop, its own tool opens the URL; else it is on the clipboard.
    pub(super) fn open_url(&mut self, url: &str) {
        let desktop = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|n| std::env::var_os(n).is_some());
        let opened = desktop
            && Command::new("xdg-open")
                .arg(url)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .and_then(|mut child| {
                    // Waited for beside the screen, so that it does not stay behind as a zombie.
                    std::thread::Builder::new().name("open-url".into()).spawn(move || child.wait()).map(drop)
                })
                .is_ok();
        if opened {
            self.tell(Msg::Toast(Tone::Info, format!("Opened {url}")));
        } else {
            self.copy(url);
            self.tell(Msg::Toast(Tone::Info, format!("Copied {url}; there is no desktop to open it")));
        }
    }

    pub(super) fn save(&mut self, owner: Owner, streams: wharf_ui::effect::Streams) {
        let (data, events) = (self.options.data.clone(), self.events.clone());
        let began = std::thread::Builder::new().name("save".into()).spawn(move || {
            let toast = match handover::save(&data, owner, streams) {
                Ok((path, bytes)) => {
                    let size = wharf_ui::format::size(bytes);
                    Event::Toast(Tone::Good, format!("Saved {size} to {}", path.display()))
                }
                Err(words) => Event::Toast(Tone::Bad, format!("Not saved: {words}")),
            };
            // The console has ended: the file is there all the same.
            let _ = events.send(toast);
        });
        if let Err(error) = began {
            self.tell(Msg::Toast(Tone::Bad, format!("Not saved: {error}")));
        }
    }
}
