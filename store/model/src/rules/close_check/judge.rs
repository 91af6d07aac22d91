//! What was found, judged: what stands in the way, what is worth knowing, and what archiving would do.

use serde::{Deserialize, Serialize};

use super::{Around, Found, Listed, Place};
use crate::UnixMillis;

/// How much something stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It does not.
    Fine,
    /// It is kept, stopped or left alone; whoever asks should know.
    Warning,
    /// Nothing is archived while it is so.
    Blocked,
}

/// The close check in a word: that of its worst item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseVerdict {
    /// Nothing stands in the way.
    Clean,
    /// Something should be known first.
    Warnings,
    /// It is not archived.
    Blocked,
}

impl CloseVerdict {
    /// As it is shown and stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Warnings => "warnings",
            Self::Blocked => "blocked",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseItem {
    /// How much it stands in the way.
    pub level: Level,
    /// What it is, in a word that does not change: `changed`, `live_runs`, `not_ours`.
    pub code: String,
    /// For people: `3 changed files`.
    pub words: String,
    /// How many of them there are; 0 where nothing is counted.
    pub count: u64,
    /// The first of them by name.
    pub names: Vec<String>,
}

/// What archiving does with something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseVerb {
    /// It is stopped.
    Stops,
    /// It stays, or is kept in another form.
    Keeps,
    /// It is run.
    Runs,
    /// It goes.
    Removes,
}

impl CloseVerb {
    /// As it is shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stops => "stops",
            Self::Keeps => "keeps",
            Self::Runs => "runs",
            Self::Removes => "removes",
        }
    }
}

/// One thing that archiving does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseEffect {
    /// What is done.
    pub verb: CloseVerb,
    /// To what, in words.
    pub words: String,
    /// Its size, where it has one that is known.
    pub bytes: Option<u64>,
    /// Until when it can be had back, where that ends.
    pub until: Option<UnixMillis>,
    /// Time that it may take, in milliseconds.
    pub limit_ms: Option<u64>,
}

/// Who wants a workspace archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedBy {
    /// Somebody who read the check and said yes to it.
    Operator,
    /// Nobody in particular: its issue is closed and its time is over.
    Reaper,
}

/// What archiving is going to do, as far as config and rows say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClosePlan {
    /// Name of the snapshot that will be made: `W-7.3`.
    pub snapshot: String,
    /// Until when that is kept; none keeps it for ever.
    pub snapshot_until: Option<UnixMillis>,
    /// Until when the directory is kept in the trash; none keeps it for ever.
    pub trash_until: Option<UnixMillis>,
    /// Commands that are run once the snapshot is made, in their order, each with its limit.
    pub commands: Vec<(String, u64)>,
    /// Why there are commands that are not run.
    pub not_run: Option<String>,
    /// Whether the directory is a worktree of a repository that stays.
    pub is_worktree: bool,
    /// Its branch, where it has one.
    pub branch: Option<String>,
    /// Whether wharf made that branch.
    pub branch_is_ours: bool,
    /// What the branch began at: `main`.
    pub base: Option<String>,
}

/// What can be had back of a workspace that is archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayBack {
    /// All of it is in the trash, as it was.
    Everything,
    /// Its commands run first: what git keeps is in the snapshot, of the rest what they leave.
    BeforeCommands,
    /// Its commands run first, and nothing keeps what they remove.
    AfterCommands,
    /// There is no directory: only what an earlier snapshot has.
    OlderSnapshot,
}

impl WayBack {
    /// In words; `how` is what brings it back: a command, a key.
    pub fn words(self, how: &str) -> String {
        match self {
            Self::Everything => format!("{how} brings everything back."),
            Self::BeforeCommands => format!(
                "{how} brings back what its commands leave, and the snapshot what they change or remove; nothing keeps ignored files that they remove."
            ),
            Self::AfterCommands => {
                format!("{how} brings back what its commands leave; nothing keeps what they remove.")
            }
            Self::OlderSnapshot => {
                format!(
                    "Nothing of its files is kept now; {how} brings back what an earlier snapshot has, if there is one."
                )
            }
        }
    }
}

/// The close check of one workspace at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseCheck {
    /// In a word.
    pub verdict: CloseVerdict,
    /// Everything that was looked at.
    pub items: Vec<CloseItem>,
    /// What archiving would do, in its order.
    pub effects: Vec<CloseEffect>,
    /// Changes whenever something that was found on the disk does.
    pub fingerprint: String,
}

impl CloseCheck {
    /// What blocks, in one line; empty when nothing does.
    pub fn blocked_by(&self) -> String {
        self.of(Level::Blocked)
    }

    /// What is warned of, in one line; empty when there is nothing.
    pub fn warnings(&self) -> String {
        self.of(Level::Warning)
    }

    /// What can be had back once it is archived.
    pub fn way_back(&self) -> WayBack {
        let does = |verb| self.effects.iter().any(|e| e.verb == verb);
        let snapshot = self.effects.iter().any(|e| e.verb == CloseVerb::Keeps && e.words.contains(" as snapshot "));
        if self.items.iter().any(|i| i.code == "gone") {
            WayBack::OlderSnapshot
        } else if !does(CloseVerb::Runs) {
            WayBack::Everything
        } else if snapshot {
            WayBack::BeforeCommands
        } else {
            WayBack::AfterCommands
        }
    }

    fn of(&self, level: Level) -> String {
        let words: Vec<String> = self.items.iter().filter(|i| i.level == level).map(CloseItem::line).collect();
        words.join("; ")
    }
}

impl CloseItem {
    /// Its words with its first names: `3 changed files (src/a.rs and 2 more)`.
    pub fn line(&self) -> String {
        match self.names.as_slice() {
            [] => self.words.clone(),
            [one] if self.count <= 1 => format!("{} ({one})", self.words),
            [first, ..] => format!("{} ({first} and {} more)", self.words, self.count.saturating_sub(1)),
        }
    }
}

/// Judges what was found in a workspace, and around it.
///
/// An operator who asks for one idle workspace has read what stands here, so that an issue which is still open and
/// what could not be looked at are warnings: everything is kept and can be brought back. The reaper has nobody who
/// reads, and so both block it.
///
/// Commits that are on no remote are no warning once the base has them: nothing would be lost with the branch.
pub fn judge(found: &Found, around: &Around, plan: &ClosePlan, asked: AskedBy) -> CloseCheck {
    let mut items = Items { all: Vec::new(), asked };
    items.around(found, around);
    match &found.place {
        Place::Ours => items.directory(found, plan),
        Place::Gone => items.say(Level::Warning, "gone", "its directory is not there: no file of it can be kept"),
        Place::NotOurs(why) => items.say(Level::Blocked, "not_ours", why.clone()),
        Place::Unknown(why) => {
            items.say(Level::Blocked, "place_unknown", format!("its directory could not be looked at: {why}"));
        }
    }
    let worst = items.all.iter().map(|i| i.level).max().unwrap_or(Level::Fine);
    CloseCheck {
        verdict: match worst {
            Level::Fine => CloseVerdict::Clean,
            Level::Warning => CloseVerdict::Warnings,
            Level::Blocked => CloseVerdict::Blocked,
        },
        items: items.all,
        effects: effects(found, around, plan),
        fingerprint: found.fingerprint.clone(),
    }
}

struct Items {
    all: Vec<CloseItem>,
    asked: AskedBy,
}

impl Items {
    fn say(&mut self, level: Level, code: &str, words: impl Into<String>) {
        self.all.push(CloseItem { level, code: code.to_owned(), words: words.into(), count: 0, names: Vec::new() });
    }

    fn list(&mut self, level: Level, code: &str, words: impl Into<String>, listed: &Listed) {
        self.all.push(CloseItem {
            level,
            code: code.to_owned(),
            words: words.into(),
            count: listed.count,
            names: listed.names.clone(),
        });
    }

    /// What only somebody who reads it may pass over.
    const fn for_the_operator(&self) -> Level {
        match self.asked {
            AskedBy::Operator => Level::Warning,
            AskedBy::Reaper => Level::Blocked,
        }
    }

    /// No snapshot has what git ignores, and nobody reads what the reaper is going to do: what may be somebody's only
    /// copy is left to an operator.
    const fn ignored(&self, found: &Found) -> Level {
        match self.asked {
            AskedBy::Reaper if !found.ignored_own.is_empty() => Level::Warning,
            _ => Level::Fine,
        }
    }

    /// What is named of it: what stands in the reaper's way.
    const fn ignored_shown<'f>(&self, found: &'f Found) -> &'f Listed {
        match self.asked {
            AskedBy::Reaper if !found.ignored_own.is_empty() => &found.ignored_own,
            _ => &found.ignored,
        }
    }

    /// Runs, services, operations, leases, issues and open files.
    fn around(&mut self, found: &Found, around: &Around) {
        let quiet = around.live_runs.is_empty()
            && around.operations.is_empty()
            && around.services.is_empty()
            && found.open.is_empty();
        if quiet {
            self.say(Level::Fine, "quiet", "no live run, no service, no open file");
        }
        let several = |names: &[String], one: &str, many: &str| {
            let listed = Listed::of(names.iter().cloned());
            let words = if listed.count == 1 { one.to_owned() } else { format!("{} {many}", listed.count) };
            (words, listed)
        };
        if !around.live_runs.is_empty() {
            let (words, listed) = several(&around.live_runs, "a run works in it", "runs work in it");
            self.list(Level::Blocked, "live_runs", words, &listed);
        }
        if !around.operations.is_empty() {
            let (words, listed) = several(&around.operations, "an operation is under way", "operations are under way");
            self.list(Level::Blocked, "operations", words, &listed);
        }
        if !around.services.is_empty() {
            let (words, listed) = several(&around.services, "a service runs for it", "services run for it");
            self.list(Level::Warning, "services", words, &listed);
        }
        if !found.open.is_empty() {
            let words = counted(found.open.count, "process works in it", "processes work in it");
            self.list(Level::Warning, "open_files", words, &found.open);
        }
        if !around.leases.is_empty() {
            let (words, listed) = several(
                &around.leases,
                "a lease holds work that was not brought back",
                "leases hold work that was not brought back",
            );
            self.list(Level::Warning, "leases", words, &listed);
        }
        for issue in around.open_issues.iter().filter(|_| !around.shared) {
            let words = match issue.split_once(", ") {
                Some((number, status)) => format!("issue {number} is still {}", status.replace('_', " ")),
                None => format!("issue {issue} is still open"),
            };
            self.say(self.for_the_operator(), "open_issue", words);
        }
    }

    /// What is in a directory of ours.
    fn directory(&mut self, found: &Found, plan: &ClosePlan) {
        use Level::{Fine, Warning};
        if let Some(what) = &found.under_way {
            self.say(Warning, "under_way", format!("git is in the middle of a {what}"));
        }
        let kinds = [
            (Warning, "changed", &found.changed, "changed file", "changed files"),
            (Warning, "conflicted", &found.conflicted, "file with conflicts", "files with conflicts"),
            (Warning, "untracked", &found.untracked, "untracked", "untracked"),
            (Warning, "stashed", &found.stashed, "stash", "stashes"),
            (Warning, "nested", &found.nested, "repository inside", "repositories inside"),
            (
                Warning,
                "submodules",
                &found.submodules,
                "submodule with work of its own",
                "submodules with work of their own",
            ),
            (self.ignored(found), "ignored", self.ignored_shown(found), "ignored", "ignored"),
            (Fine, "links_out", &found.links_out, "link that leads out of it", "links that lead out of it"),
        ];
        for (level, code, listed, one, many) in kinds {
            if !listed.is_empty() {
                self.list(level, code, counted(listed.count, one, many), listed);
            }
        }
        let base = plan.base.as_deref().unwrap_or("its base");
        match &found.unmerged {
            Some(none) if none.is_empty() => {
                self.say(Fine, "merged", format!("everything of it is in {base}"));
            }
            Some(some) => {
                let (one, many) = (format!("commit is not in {base}"), format!("commits are not in {base}"));
                self.list(Warning, "unmerged", counted(some.count, &one, &many), some);
            }
            None if found.head.is_some() => {
                self.say(
                    self.for_the_operator(),
                    "unmerged_unknown",
                    format!("whether {base} has its commits is not known"),
                );
            }
            None => {}
        }
        let is_merged = found.unmerged.as_ref().is_some_and(Listed::is_empty);
        if !found.unpushed.is_empty() && !is_merged {
            let words = counted(found.unpushed.count, "commit is on no remote", "commits are on no remote");
            self.list(Warning, "unpushed", words, &found.unpushed);
        }
        for what in &found.unknown {
            self.say(self.for_the_operator(), "unknown", format!("not known: {what}"));
        }
        self.say(Fine, "ours", "made by wharf, mark and path agree");
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

fn effects(found: &Found, around: &Around, plan: &ClosePlan) -> Vec<CloseEffect> {
    let effect = |verb, words: String| CloseEffect { verb, words, bytes: None, until: None, limit_ms: None };
    let mut all: Vec<CloseEffect> =
        around.services.iter().map(|service| effect(CloseVerb::Stops, service.clone())).collect();
    match &found.place {
        Place::NotOurs(_) | Place::Unknown(_) => return Vec::new(),
        Place::Gone => {
            all.push(effect(CloseVerb::Removes, "what is written of it: its directory is not there".to_owned()));
        }
        Place::Ours => {
            let commands = plan.commands.iter().map(|(command, limit_ms)| CloseEffect {
                limit_ms: Some(*limit_ms),
                ..effect(CloseVerb::Runs, command.clone())
            });
            if found.head.is_some() {
                // A snapshot has nothing that git ignores; the directory in the trash has it.
                let what = if found.ignored.is_empty() { "all of it" } else { "all but ignored files" };
                let words = format!("{what} as snapshot {}", plan.snapshot);
                all.push(CloseEffect { until: plan.snapshot_until, ..effect(CloseVerb::Keeps, words) });
            }
            // They may remove what no snapshot has.
            let left = if plan.commands.is_empty() { "" } else { "what these leave of " };
            all.extend(commands);
            match plan.trash_until {
                None => all.push(effect(CloseVerb::Keeps, format!("{left}its files: they stay in the trash"))),
                Some(_) if !found.ignored.is_empty() => {
                    let keeps = effect(CloseVerb::Keeps, format!("{left}the ignored files in the trash"));
                    all.push(CloseEffect { until: plan.trash_until, ..keeps });
                }
                Some(_) => {}
            }
            let what = if plan.is_worktree { "the worktree" } else { "the directory" };
            let removes = effect(CloseVerb::Removes, what.to_owned());
            all.push(CloseEffect { bytes: found.bytes, until: plan.trash_until, ..removes });
        }
    }
    if let Some(branch) = &plan.branch {
        let unmerged = found.unmerged.as_ref().map_or(0, |u| u.count);
        all.push(match (plan.branch_is_ours, found.branch_merged) {
            (false, _) => effect(CloseVerb::Keeps, format!("the branch {branch}: wharf did not make it")),
            (true, Some(true)) => effect(CloseVerb::Removes, format!("the branch {branch}: all of it is merged")),
            (true, Some(false)) if unmerged > 0 => {
                let words = counted(unmerged, "commit that is not merged", "commits that are not merged");
                effect(CloseVerb::Keeps, format!("the branch: it has {words}"))
            }
            (true, Some(false)) => effect(CloseVerb::Keeps, format!("the branch {branch}: it is not merged")),
            (true, None) => effect(CloseVerb::Keeps, format!("the branch {branch}: whether it is merged is not known")),
        });
    }
    if let Some(why) = &plan.not_run {
        all.push(effect(CloseVerb::Keeps, format!("the project's commands from running: {why}")));
    }
    all
}

#[cfg(test)]
mod tests;
