//! After a run's shim has ended, where the run worked in a place: nothing of it lives there any more, and what it
//! changed is brought back. Only then has the run ended; what cannot be found out is asked again until it can.

use std::time::Duration;

use super::place::{There, Venue, within};
use super::watch::{Doubt, Watch};
use crate::environment::driver::{Answer, Collected, Driver, Held, PlaceProcess};

/// Time to list or stop processes, beyond the grace.
pub const LIST_LIMIT: Duration = Duration::from_secs(30);
/// Time for one attempt to bring results back.
const COLLECT_LIMIT: Duration = Duration::from_mins(15);
/// Tries to bring back the results of a run whose shim is gone; with their pauses some four minutes at least.
const LOST_TRIES: u32 = 12;
/// Grace of what was asked to end before, for as long as that was to take.
const SHORT_GRACE: Duration = Duration::from_secs(2);
/// Processes that are told by name.
const NAMED: usize = 5;

/// What is known of a run's end in a place.
#[derive(Debug, Default)]
pub struct Settled {
    /// Processes that were found there and stopped, in words.
    pub stopped: Option<String>,
    /// What was brought back; none where nothing has to be.
    pub collected: Option<Result<Collected, String>>,
}

/// What is to be stopped, and how gently.
#[derive(Debug, Clone, Copy)]
pub struct Stop<'a> {
    /// Value of `WHARF_TAG` of its processes.
    pub tag: &'a str,
    /// Time between asking and force.
    pub grace: Duration,
}

impl<'a> Stop<'a> {
    /// Of a run whose agent has this grace; of one that was killed after it, with little more.
    pub fn new(tag: &'a str, grace_ms: i64, was_killed: bool) -> Self {
        let grace = Duration::from_millis(u64::try_from(grace_ms).unwrap_or(0));
        Self { tag, grace: if was_killed { grace.min(SHORT_GRACE) } else { grace } }
    }
}

/// Makes sure that a run has ended where it worked and brings back what it changed, however long that takes; none
/// when the run was given up meanwhile.
pub async fn settle(venue: &Venue, stop: Stop<'_>, watch: &Watch<'_>) -> Option<Settled> {
    let there = match venue {
        Venue::Here => return Some(Settled::default()),
        Venue::There(there) => there,
        // It ended with its lease; what it changed there cannot be asked for any more.
        Venue::Gone { why, carries } => {
            return Some(Settled { stopped: None, collected: carries.then(|| Err(why.clone())) });
        }
        Venue::Unreachable(why) => {
            let mut doubt = Doubt::new(watch);
            while doubt.wait(format!("where it ran cannot be asked: {why}")).await {}
            return None;
        }
    };
    let stopped = clear(there, stop, watch).await?;
    let collected = if there.shares_files() { None } else { Some(collect(there, watch, u32::MAX).await?) };
    Some(Settled { stopped, collected })
}

/// What is known of the end of a run whose shim is gone.
#[derive(Debug, Default, PartialEq)]
pub struct Lost {
    /// What came of looking where it worked, in words that follow others.
    pub words: String,
    /// What was brought back; none where nothing has to be.
    pub collected: Option<Result<Collected, String>>,
}

/// The same for a run whose shim is gone: its processes are stopped, and what it changed is asked for, but not for
/// ever. None when the run was given up meanwhile.
pub async fn settle_lost(venue: &Venue, stop: Stop<'_>, watch: &Watch<'_>) -> Option<Lost> {
    let there = match venue {
        Venue::Here => return Some(Lost::default()),
        Venue::There(there) => there,
        Venue::Gone { why, carries } => {
            let words = format!("; where it ran cannot be asked: {why}");
            return Some(Lost { words, collected: carries.then(|| Err(why.clone())) });
        }
        Venue::Unreachable(why) => {
            let words = format!("; where it ran cannot be asked: {why}");
            return Some(Lost { words, collected: Some(Err(why.clone())) });
        }
    };
    let stopped = clear(there, stop, watch).await?;
    let stopped = stopped.unwrap_or_else(|| format!("nothing of it lives in {}", there.name));
    if there.shares_files() {
        return Some(Lost { words: format!("; {stopped}"), collected: None });
    }
    let collected = collect(there, watch, LOST_TRIES).await?;
    let brought = match &collected {
        Ok(collected) if collected.changed => "what it changed was brought back".to_owned(),
        Ok(_) => "it had changed nothing".to_owned(),
        Err(why) => format!("what it changed was not brought back: {why}"),
    };
    Some(Lost { words: format!("; {stopped}; {brought}"), collected: Some(collected) })
}

/// Waits until nothing with this tag lives in a place, and stops what does. Says what was stopped; none of it all when
/// the run was given up meanwhile.
async fn clear(there: &There, stop: Stop<'_>, watch: &Watch<'_>) -> Option<Option<String>> {
    let mut doubt = Doubt::new(watch);
    let mut found: Vec<PlaceProcess> = Vec::new();
    loop {
        let looked = look(&*there.driver, &there.held, stop, &mut found);
        match watch.unless_given_up(looked).await? {
            Ok(()) => {
                doubt.resolved().await;
                return Some((!found.is_empty()).then(|| {
                    let n = found.len();
                    format!("{n} of its processes lived on in {} and were stopped: {}", there.name, named(&found))
                }));
            }
            Err(evidence) => {
                let evidence = format!("whether it has ended in {} is not known: {evidence}", there.name);
                if !doubt.wait(evidence).await {
                    return None;
                }
            }
        }
    }
}

/// Looks for processes with a tag and stops them, once. The error is what speaks against that nothing lives.
///
/// A driver is asked before it is believed that it cannot say: one that another process serves knows what it can do
/// only once that process has answered.
pub async fn look(
    driver: &dyn Driver,
    held: &Held,
    stop: Stop<'_>,
    found: &mut Vec<PlaceProcess>,
) -> Result<(), String> {
    let seen = match within(LIST_LIMIT, driver.list(held, stop.tag)).await {
        Answer::Refused { .. } if !driver.capabilities().list => return Ok(()),
        answer => known(answer)?,
    };
    if seen.is_empty() {
        return Ok(());
    }
    for process in seen {
        if !found.contains(&process) {
            found.push(process);
        }
    }
    let left = known(within(stop.grace + LIST_LIMIT, driver.stop(held, stop.tag, stop.grace)).await)?;
    if left.is_empty() { Ok(()) } else { Err(format!("{} of its processes live on: {}", left.len(), named(&left))) }
}

/// What is certain; a driver that refuses to say it says nothing.
fn known<T>(answer: Answer<T>) -> Result<T, String> {
    match answer {
        Answer::Done(value) => Ok(value),
        Answer::Refused { code, hint } => Err(format!("{code}: {hint}")),
        Answer::Unknown { evidence } => Err(evidence),
    }
}

fn named(processes: &[PlaceProcess]) -> String {
    let names: Vec<String> = processes.iter().take(NAMED).map(|p| format!("{} {}", p.command, p.pid)).collect();
    let more = if processes.len() > NAMED { " …" } else { "" };
    format!("{}{more}", names.join(", "))
}

/// Brings back what a run changed; an error is certain, or the last of so many tries has not found it out. None when
/// the run was given up meanwhile.
async fn collect(there: &There, watch: &Watch<'_>, tries: u32) -> Option<Result<Collected, String>> {
    let Some(realisation) = &there.realisation else {
        return Some(Err(format!("it is not known what was made of its workspace in {}", there.name)));
    };
    let mut doubt = Doubt::new(watch);
    let mut left = tries;
    loop {
        let asked = within(COLLECT_LIMIT, there.driver.collect(&there.held, &realisation.request, &realisation.result));
        match watch.unless_given_up(asked).await? {
            Answer::Done(collected) => {
                doubt.resolved().await;
                return Some(Ok(collected));
            }
            Answer::Refused { code, hint } => {
                doubt.resolved().await;
                return Some(Err(format!("{}: {code}: {hint}", there.name)));
            }
            Answer::Unknown { evidence } if left <= 1 => {
                doubt.resolved().await;
                return Some(Err(format!("{}: {evidence}", there.name)));
            }
            Answer::Unknown { evidence } => {
                left = left.saturating_sub(1);
                let evidence = format!("what it changed in {} is not brought back yet: {evidence}", there.name);
                if !doubt.wait(evidence).await {
                    return None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
