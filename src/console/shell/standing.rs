//! What is said of the orchestrator, the store and the project: header and banners.

use wharf_ui::Msg;
use wharf_ui::msg::Tone;
use wharf_ui::rows::Header;

use super::{Ending, Shell};
use crate::console::events::Trouble;
use crate::console::reign::Standing;
use crate::console::{logging, reigning};
use crate::dispatch::election::Holder;

impl Shell {
    /// What the store cannot know of the header.
    pub(super) fn header(&mut self, header: Header) -> Header {
        if self.stopping.is_some() && header.running + header.queued + header.services == 0 {
            self.end(Ending::Stopped);
        }
        let project = if header.project.is_empty() { self.app.header.project.clone() } else { header.project };
        let orchestrator = match &self.standing {
            None | Some(Standing::Ours) => None,
            Some(Standing::Another(seat, _)) => Some(seat.holder.as_ref().map_or_else(
                || "another process".to_owned(),
                |h| {
                    let tty = h.tty.as_ref().map(|t| format!(" on {}", t.trim_start_matches("/dev/")));
                    format!("pid {}{}", h.pid, tty.unwrap_or_default())
                },
            )),
            Some(Standing::Nobody(_) | Standing::Deposed(_)) => Some("none".to_owned()),
        };
        Header { project, orchestrator, ..header }
    }

    pub(super) fn banner(&mut self, key: &'static str, tone: Tone, text: String, advice: String) {
        self.tell(Msg::Banner { key, tone, text, advice });
    }

    pub(super) fn stands(&mut self, standing: Standing) {
        if !self.logging && self.options.data.is_dir() {
            self.logging = true;
            if let Err(words) = logging::start(&self.options.data) {
                self.banner("log", Tone::Warn, "There is no log of this program".to_owned(), words);
            }
        }
        match &standing {
            Standing::Ours => tracing::info!("this console is the orchestrator"),
            other => tracing::info!(standing = ?other, "who the orchestrator is"),
        }
        let (lines, token) = match &standing {
            Standing::Another(seat, silent) => (
                reigning::holder_lines(seat, *silent, self.app.env.zone),
                seat.holder.as_ref().map(Holder::token).unwrap_or_default(),
            ),
            _ => Default::default(),
        };
        self.tell(Msg::Holder { lines, token });
        match &standing {
            Standing::Nobody(why) => {
                let why = why.clone();
                let text = "Nothing new starts: this console cannot be the orchestrator".to_owned();
                self.banner("orchestrator", Tone::Bad, text, why);
            }
            Standing::Deposed(why) => {
                let why = format!("{why}\nWhat you ask for from here on is carried out by the one that took over");
                let text = "This console orchestrates no more and only reads: another one took over".to_owned();
                self.banner("deposed", Tone::Warn, text, why);
            }
            Standing::Another(seat, silent) if reigning::is_trouble(seat, *silent) => {
                let (text, advice) = reigning::trouble(seat, *silent, self.app.env.zone);
                self.banner("orchestrator", Tone::Bad, text, advice);
            }
            Standing::Ours => {
                self.tell(Msg::BannerOver("orchestrator"));
                self.tell(Msg::BannerOver("deposed"));
            }
            Standing::Another(..) => self.tell(Msg::BannerOver("orchestrator")),
        }
        // What the one that reigns has declared; of its own reign this console is told as it happens.
        let declared = match &standing {
            Standing::Another(seat, _) => Some(seat.holder.as_ref().and_then(|h| h.disk.clone())),
            _ if matches!(self.standing, Some(Standing::Another(..))) => Some(None),
            Standing::Ours | Standing::Nobody(_) | Standing::Deposed(_) => None,
        };
        if let Some(need) = declared {
            self.trouble(Trouble::Writing, need.as_ref().and_then(|need| need.store.clone()));
            self.needs_room(need.as_ref());
        }
        if standing == Standing::Ours && matches!(self.standing, Some(Standing::Another(..))) {
            self.tell(Msg::Toast(Tone::Info, "This console is the orchestrator now".to_owned()));
        }
        self.standing = Some(standing);
        self.refresh_due = true;
    }

    /// Something is wrong with the store, or no longer.
    pub(super) fn trouble(&mut self, trouble: Trouble, words: Option<String>) {
        let (key, text) = match trouble {
            Trouble::Writing => ("disk", "Disk full: nothing can be written, and nothing new starts"),
            Trouble::Damage => ("damage", "The store is damaged"),
        };
        match words {
            Some(words) => {
                let text = if words.contains("no room") || trouble == Trouble::Damage {
                    text.to_owned()
                } else {
                    "The store takes no writes, and nothing new starts".to_owned()
                };
                self.banner(key, Tone::Bad, text, words);
            }
            None => self.tell(Msg::BannerOver(key)),
        }
    }

    pub(super) fn project_told(&mut self, known: Result<(), String>) {
        match known {
            Ok(()) => {
                self.tell(Msg::BannerOver("project"));
                self.refresh_due = true;
            }
            Err(words) => {
                let first = words.lines().next().unwrap_or("it cannot be read").to_owned();
                let text = format!("This project's config is not in force: {first}");
                self.banner("project", Tone::Bad, text, words);
            }
        }
    }
}
