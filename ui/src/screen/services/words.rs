//! How services are said: health, restarts, when they stop and why they are kept.

use wharf_model::rules::release::AfterLastUser;
use wharf_model::rules::service_why::Case;

use crate::env::Env;
use crate::format;
use crate::glyph::Class;
use crate::rows::ServiceLine;

pub(super) fn name(service: &ServiceLine) -> String {
    format!("S-{}", service.number)
}

/// Glyph for the health, which has its own words.
pub(super) fn health_class(service: &ServiceLine) -> Class {
    match (service.class, service.health.as_str()) {
        (_, "healthy") => Class::Good,
        (_, "unknown") | (Class::Unknown, _) => Class::Unknown,
        (Class::Bad, _) => Class::Bad,
        (Class::Doubtful | Class::NeedsPerson, _) => Class::Doubtful,
        _ => Class::Waits,
    }
}

/// Health in words; nothing for one that does not run and was not judged.
pub(super) fn health(service: &ServiceLine) -> &str {
    match service.health.as_str() {
        "unknown" if !service.live => "",
        words => words,
    }
}

/// When it stops by itself, counted down while the clock runs.
pub(super) fn stops(service: &ServiceLine, env: &Env) -> (String, bool) {
    match service.stops_at {
        Some(at) if service.live => (format!("in {}", format::left(env.now.until(at))), true),
        _ => (service.stop_policy.clone(), false),
    }
}

/// Restarts so far, of those allowed when that is known.
pub(super) fn restarts(service: &ServiceLine, between: &str) -> String {
    match service.restarts {
        (0, _) => "0".to_owned(),
        (so_far, 0) => so_far.to_string(),
        (so_far, allowed) => format!("{so_far}{between}{allowed}"),
    }
}

pub(super) const fn used_up(service: &ServiceLine) -> bool {
    let (so_far, allowed) = service.restarts;
    allowed > 0 && so_far >= allowed
}

pub(super) fn used_by(service: &ServiceLine) -> String {
    format::plural(service.users.len() as u64, "run")
}

/// How long it has been what it is: `starting 6s of 60s`, `retries in 4s`, `running 2h11`.
pub(super) fn standing(service: &ServiceLine, env: &Env) -> String {
    let (words, counts) = stops(service, env);
    if counts {
        return format!("stops {words}");
    }
    if let Some(at) = service.retries_at {
        return format!("starts again in {}", format::left(env.now.until(at)));
    }
    if !service.waits_for.is_empty() && service.word == "starting" {
        return format!("waits for {}", service.waits_for.join(", "));
    }
    let Some(at) = service.started_at.filter(|_| service.live) else { return service.word.clone() };
    let since = format::duration(at.until(env.now));
    match service.ready_ms.filter(|_| service.word == "starting") {
        Some(limit) => format!("{} {since} of {}", service.word, wharf_model::rules::service_why::span(limit)),
        None => format!("{} {since}", service.word),
    }
}

/// Runs that use it, the first of many by name.
pub(super) fn users(service: &ServiceLine) -> String {
    const NAMED: usize = 4;
    let named = service.users.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match service.users.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// What ends it and what is wanted of it, in one sentence without a full stop.
pub fn policy(service: &ServiceLine, env: &Env) -> String {
    let users = users(service);
    let idle = |ms: i64| wharf_model::rules::service_why::span(ms);
    let mut words = match service.ends {
        AfterLastUser::Stop if users.is_empty() && service.live => "stops with its run".to_owned(),
        AfterLastUser::Stop if users.is_empty() => "starts and stops with its run".to_owned(),
        AfterLastUser::Stop => format!("stops with {users}"),
        AfterLastUser::Idle(_) if service.users.len() > 1 => {
            format!("in use: {users}; idle clock starts when the last one ends")
        }
        AfterLastUser::Idle(ms) if !users.is_empty() => format!("in use: {users}; idle clock {}", idle(ms)),
        AfterLastUser::Idle(_) if service.stops_at.is_some() && service.live => {
            format!("no run uses it; stops {}", stops(service, env).0)
        }
        AfterLastUser::Idle(ms) if service.live => format!("no run has used it; idle clock {}", idle(ms)),
        AfterLastUser::Idle(ms) => format!("stops when unused for {}", idle(ms)),
        AfterLastUser::Keep if users.is_empty() => "by hand".to_owned(),
        AfterLastUser::Keep => format!("by hand; in use: {users}"),
    };
    if matches!(service.desired.as_str(), "running" | "stopped") {
        words.push_str(&format!("; desired {}", service.desired));
        if let Some(by) = &service.desired_by {
            words.push_str(&format!(" by {by}"));
        }
    }
    if service.case == Case::Parked {
        words.push_str(&format!(", gave up after {}", format::plural(u64::from(service.restarts.0), "restart")));
        if let Some(at) = service.stopped_at {
            words.push_str(&format!(" at {}", format::moment(at, env.now, env.zone)));
        }
    } else if let Some(at) = service.retries_at {
        words.push_str(&format!("; starts again in {}", format::left(env.now.until(at))));
    }
    words
}
