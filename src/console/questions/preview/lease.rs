//! What the operator's verbs on a lease would do, in words: the same for the console and the command line.

use wharf_model::rules::lease::takes_slot;
use wharf_model::rules::lease_verb::{self, CLEANUP_TRIES_MAX, Verb, VerbEffect};
use wharf_model::rules::release::{self, DriverDoes, HolderIs, ReleaseEffect, Waits};
use wharf_model::{Kind, LeaseId, LeaseStatus, UnixMillis, WorkspaceRow};
use wharf_store::view::ReleaseFacts;
use wharf_store::{Reader, StoreError};
pub use wharf_ui::effect::LeaseVerb;
use wharf_ui::format::{self, Zone};
use wharf_ui::rows::{Expect, Preview, PreviewLine, PreviewVerb};

use super::{line, refused, services, stop_words};
use crate::process::descendants;

/// What makes the words of a preview, beside the rows.
pub struct Around<'a> {
    /// The present.
    pub now: UnixMillis,
    /// Where moments are shown.
    pub zone: Zone,
    /// What is to be said of the files of a workspace.
    pub files: &'a dyn Fn(&WorkspaceRow) -> String,
}

/// A preview with what its words were made from.
pub struct Judgement {
    /// Lines, versions, or why it cannot be done.
    pub preview: Preview,
    /// The run that it stops: `R-7`.
    pub stops: Option<String>,
    /// Time that the request may take before the driver is called, in milliseconds.
    pub patience_ms: i64,
    /// Name of the environment.
    pub environment: String,
    /// The effect as the rule has it; null when it cannot be done.
    pub effect: serde_json::Value,
}

/// Computes a preview from the store; none when there is no such lease.
///
/// # Errors
/// The store cannot be read.
pub fn judge(
    reader: &Reader,
    id: LeaseId,
    verb: LeaseVerb,
    around: &Around<'_>,
) -> Result<Option<Judgement>, StoreError> {
    let Some(facts) = reader.release_facts(id)? else { return Ok(None) };
    Ok(Some(of(&facts, verb, around)))
}

/// The preview of a verb on what stands in these rows.
pub fn of(facts: &ReleaseFacts, verb: LeaseVerb, around: &Around<'_>) -> Judgement {
    let mut words = Words { facts, around, lines: Vec::new(), notes: Vec::new(), stops: None, patience_ms: 0 };
    let judged = match verb {
        LeaseVerb::Release { force } => {
            release::effect(&facts.judged(force)).map_err(|e| e.to_string()).map(|effect| {
                words.ends(&effect);
                words.driver(effect.driver.as_ref());
                words.frees(&effect);
                words.after_release(&effect, force);
                (data(&effect), effect.judged)
            })
        }
        LeaseVerb::Other(verb) => words.verb(verb).map(|effect| (data(&effect), effect.judged)),
    };
    let environment = facts.environment.name.clone();
    match judged {
        Err(why) => Judgement {
            preview: refused(why, around.now),
            stops: None,
            patience_ms: 0,
            environment,
            effect: serde_json::Value::Null,
        },
        Ok((effect, judged)) => Judgement {
            preview: Preview {
                lines: words.lines,
                note: words.notes.join(" "),
                expect: judged.into_iter().map(|j| Expect { id: j.id, version: j.version }).collect(),
                at: around.now,
                refused: None,
                args: Vec::new(),
            },
            stops: words.stops,
            patience_ms: words.patience_ms,
            environment,
            effect,
        },
    }
}

/// What can be stored can be written.
fn data(effect: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(effect).unwrap_or_default()
}

struct Words<'a> {
    facts: &'a ReleaseFacts,
    around: &'a Around<'a>,
    lines: Vec<PreviewLine>,
    notes: Vec<String>,
    stops: Option<String>,
    patience_ms: i64,
}

impl Words<'_> {
    fn number(&self) -> String {
        Kind::Lease.number(self.facts.lease.lease.number)
    }

    fn at(&self, moment: UnixMillis) -> String {
        format::moment(moment, self.around.now, self.around.zone)
    }

    fn add(&mut self, verb: PreviewVerb, what: impl Into<String>, how: impl Into<String>) {
        self.lines.push(line(verb, what, how));
    }

    /// What ends before the lease can go: its run, the run's services; what of them stays.
    fn ends(&mut self, effect: &ReleaseEffect) {
        let Some(run) = effect.stops_run.and(self.facts.run.as_ref()) else { return };
        let number = Kind::Run.number(run.number);
        let item = &self.facts.lease;
        let names = [Some(number.clone()), item.agent.clone(), item.issue.clone()];
        let what = names.into_iter().flatten().collect::<Vec<_>>().join(" ");
        if let Some(pid) = run.process_pid {
            self.add(PreviewVerb::Stops, what, stop_words(effect.grace_ms));
            let all = descendants::of(pid).map_or(0, |d| d.len()) as u64 + 1;
            self.add(PreviewVerb::More, format!("{}, oldest {pid}", plural(all)), "");
        } else {
            self.add(PreviewVerb::Stops, what, "has no process yet");
        }
        match effect.waits {
            Some(Waits::AtMost(ms)) => {
                self.patience_ms = ms;
                let how = format!("at most {}, then goes on without it", format::duration(ms));
                self.add(PreviewVerb::Waits, format!("for the end of {number}"), how);
            }
            Some(Waits::Until(at)) => {
                self.patience_ms = self.around.now.until(at).max(0);
                let how = format!("until {}, when it expires, then goes on without it", self.at(at));
                self.add(PreviewVerb::Waits, format!("for the end of {number}"), how);
            }
            Some(Waits::ForItsEnd) => self.patience_ms = effect.grace_ms,
            None => {}
        }
        services(&self.facts.services, run.id, &mut self.lines);
        if effect.holder.is == HolderIs::Unknown {
            self.notes.push(format!("{number} cannot be judged: {}.", effect.holder.evidence));
            match effect.waits {
                Some(Waits::AtMost(_) | Waits::Until(_)) => {
                    self.notes.push("Asked once more while it waits, it goes on at once.".to_owned());
                }
                Some(Waits::ForItsEnd) => {
                    self.notes.push("It is waited for until it can be judged; force does not wait so long.".to_owned());
                }
                None => self.notes.push("It is not waited for: whatever of it lives there loses its place.".to_owned()),
            }
        }
        self.stops = Some(number);
    }

    /// What the driver does to what the lease holds.
    fn driver(&mut self, does: Option<&DriverDoes>) {
        let Some((does, what)) = does.and_then(|d| Some((d, d.what.clone()?))) else { return };
        let verb = if does.removes { PreviewVerb::Removes } else { PreviewVerb::Keeps };
        self.add(verb, what, does.how.clone());
    }

    /// What stays here, and whose slot becomes free.
    fn frees(&mut self, effect: &ReleaseEffect) {
        if let Some(row) = &self.facts.workspace {
            let name = Kind::Workspace.number(row.number);
            let what = if row.branch_name.is_some() { "and its branch" } else { "and its files" };
            self.add(PreviewVerb::Keeps, format!("{name} {what}"), (self.around.files)(row));
        }
        if !takes_slot(&self.facts.lease.lease) {
            return;
        }
        let agent = self.facts.lease.agent.as_ref().filter(|_| effect.stops_run.is_some());
        let of_agent = agent.map_or_else(String::new, |agent| format!(" and of {agent}"));
        let waiting: Vec<String> = self.facts.waiting.iter().take(3).map(|n| Kind::Lease.number(*n)).collect();
        let how = if waiting.is_empty() { String::new() } else { format!("{} can go on", waiting.join(", ")) };
        self.add(PreviewVerb::Frees, format!("a slot of {}{of_agent}", self.facts.environment.name), how);
    }

    fn after_release(&mut self, effect: &ReleaseEffect, force: bool) {
        match (&self.stops, effect.holder.is) {
            (Some(run), _) => {
                self.notes.insert(0, format!("{run} is recorded as cancelled by operator. This cannot be undone."));
            }
            (None, HolderIs::Gone) => self.notes.push("Its holder is gone; nothing is stopped.".to_owned()),
            (None, _) => self.notes.push("Nobody holds it; nothing is stopped.".to_owned()),
        }
        if force && self.stops.is_none() {
            self.notes.push("There is nobody to wait for, so force changes nothing.".to_owned());
        }
    }

    fn verb(&mut self, verb: Verb) -> Result<VerbEffect, String> {
        let facts = self.facts.judged_for_verb();
        let effect = lease_verb::effect(&facts, verb, self.around.now).map_err(|e| e.to_string())?;
        let (number, lease) = (self.number(), &self.facts.lease.lease);
        match verb {
            Verb::Destroy => {
                if let Some(release) = &effect.release {
                    self.ends(release);
                    self.driver(effect.driver.as_ref());
                    self.frees(release);
                }
                let run =
                    self.stops.as_ref().map_or_else(String::new, |run| format!("{run} is recorded as cancelled. "));
                self.notes.insert(0, format!("{run}What {number} held cannot be brought back."));
            }
            Verb::Extend(_) => {
                if let (Some(from), Some(to)) = (lease.retain_until, effect.retain_until)
                    && from != to
                {
                    self.add(
                        PreviewVerb::Keeps,
                        format!("{number} until {}", self.at(to)),
                        format!("was {}", self.at(from)),
                    );
                }
                if let (Some(from), Some(to)) = (lease.expires_at, effect.expires_at)
                    && from != to
                {
                    let what = format!("expiry of {number}");
                    self.add(PreviewVerb::Changes, what, format!("{} to {}", self.at(from), self.at(to)));
                    self.notes.push("Its provider is asked, and may give less.".to_owned());
                }
            }
            Verb::Retain(until) => {
                let how = match lease.status {
                    LeaseStatus::Active => "also after its run has ended, whatever its policy",
                    _ => "whatever its policy",
                };
                self.add(PreviewVerb::Keeps, format!("{number} until {}", self.at(until)), how);
                self.driver(effect.driver.as_ref());
                self.notes.push("It can be released at any time.".to_owned());
            }
            Verb::RetryCleanup => {
                let n = effect.try_number.unwrap_or(1);
                let how =
                    if effect.resets_tries { "counted anew".to_owned() } else { format!("of {CLEANUP_TRIES_MAX}") };
                self.add(PreviewVerb::Tries, format!("the clean-up of {number}"), format!("try {n}, {how}"));
                self.driver(effect.driver.as_ref());
                if let Some(error) = lease.cleanup_error.as_ref().or(lease.failure_reason.as_ref()) {
                    self.notes.push(format!("The last try failed: {error}"));
                }
            }
            Verb::Shell => {}
        }
        Ok(effect)
    }
}

fn plural(processes: u64) -> String {
    if processes == 1 { "1 process".to_owned() } else { format!("{processes} processes") }
}
