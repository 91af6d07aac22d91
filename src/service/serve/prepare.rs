//! What a start settles before its process runs: port, address, checks.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use wharf_model::config::{CommandLine, LiveCheck, Port, ReadyCheck, ServiceConfig};
use wharf_model::rules::service_why::LIGHT_LOOK_MS;
use wharf_model::rules::template::{Placeholder, Values, render};
use wharf_model::{Kind, ProjectRow, ServiceRow};

use super::build::{Variables, variables};
use crate::run::context::Context;
use crate::service::health::Times;
use crate::service::port::{self, Claim, Reservation};
use crate::service::probe::{CommandProbe, LogLine, Probe};
use crate::service::readiness::{Check, DEFAULT_TRY_TIMEOUT};

/// Looks at a service that has no `live` and answers at an address. What they see is shown, and ends nothing.
const LIGHT: Times = Times {
    interval: Duration::from_millis(LIGHT_LOOK_MS as u64),
    again: Duration::from_secs(10),
    limit: Duration::from_secs(2),
    failures: 1,
};

/// What is settled.
pub(super) struct Prepared {
    /// What it is, as accepted.
    pub config: ServiceConfig,
    /// Its port.
    pub number: Option<u16>,
    /// Where it is reached.
    pub url: Option<String>,
    /// When it is ready; none when it runs.
    pub ready: Option<Asked>,
    /// When it is healthy; none when nothing can be asked.
    pub live: Option<(Asked, Times)>,
    /// What templates are rendered with.
    pub values: Values,
}

/// A check with its words rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    Http(String),
    Tcp(String),
    Command { argv: Vec<String>, shell: bool, shown: String },
    LogLine(String),
}

/// A code and words.
pub(super) type Failure = (String, String);

/// A claim that is nothing but held.
pub(super) struct Promised {
    _claim: Claim,
}

impl Promised {
    fn hold(claim: Claim) -> Self {
        Self { _claim: claim }
    }
}

/// A port of a start, until its process has it.
pub(super) enum Held {
    /// Nobody can take it.
    Reserved(Reservation),
    /// No other service of ours can.
    Claimed(#[expect(dead_code, reason = "it is held, and let go with this")] Promised),
    /// It has none, or somebody else has the claim.
    Nothing,
}

impl Held {
    pub(super) fn is_reserved(&self) -> bool {
        matches!(self, Self::Reserved(_))
    }

    /// Lets go of the socket, not of the claim.
    pub(super) fn give_up(self) -> Self {
        match self {
            Self::Reserved(reservation) => Self::Claimed(Promised::hold(reservation.give_up())),
            other => other,
        }
    }
}

/// Settles everything but the environment. One that was started by an earlier reign has its port already.
pub(super) fn prepare(service: &ServiceRow, started_before: bool) -> Result<(Prepared, Held), Failure> {
    let config: ServiceConfig = serde_json::from_value(service.config.clone())
        .map_err(|e| ("internal".to_owned(), format!("the service's accepted config cannot be read: {e}")))?;
    let who = format!("service {} ({})", service.name, Kind::Service.number(service.number));
    let last = service.port.and_then(|p| u16::try_from(p).ok());
    let failed = |e: port::PortError| (e.code().to_owned(), e.to_string());
    let known = |port: u16| Claim::take(port, &who).map_or(Held::Nothing, |claim| Held::Claimed(Promised::hold(claim)));
    let (held, number) = match (&config.port, started_before) {
        (Port::None, _) => (Held::Nothing, None),
        (Port::Auto { .. }, true) => (last.map_or(Held::Nothing, known), last),
        (Port::Fixed { port, .. }, true) => (known(*port), Some(*port)),
        (Port::Auto { .. }, false) => {
            let reserved = port::reserve_auto(last, &who).map_err(failed)?;
            let number = reserved.port();
            (Held::Reserved(reserved), Some(number))
        }
        (Port::Fixed { port, .. }, false) => {
            (Held::Reserved(port::reserve_exact(*port, &who).map_err(failed)?), Some(*port))
        }
    };
    let values = Values::new().with_some(Placeholder::Port, number.map(|n| n.to_string()));
    let text = |template: &str| {
        render(template, Placeholder::FOR_SERVICE, &values)
            .map_err(|e| ("service_start_failed".to_owned(), format!("{}: {e}", service.name)))
    };
    let command = |line: &CommandLine| {
        let (words, shell) = match line {
            CommandLine::Shell(line) => (std::slice::from_ref(line), true),
            CommandLine::Argv(words) => (words.as_slice(), false),
        };
        let argv = words.iter().map(|word| text(word)).collect::<Result<Vec<_>, Failure>>()?;
        Ok::<_, Failure>(Asked::Command { shown: argv.join(" "), argv, shell })
    };
    let ready = match &config.ready.check {
        ReadyCheck::None => None,
        ReadyCheck::Http(url) => Some(Asked::Http(text(url)?)),
        ReadyCheck::Tcp(address) => Some(Asked::Tcp(text(address)?)),
        ReadyCheck::Command(line) => Some(command(line)?),
        ReadyCheck::LogLine(line) => Some(Asked::LogLine(line.clone())),
    };
    let live = match (&config.live, &ready) {
        (Some(live), _) => {
            let asked = match &live.check {
                LiveCheck::Http(url) => Asked::Http(text(url)?),
                LiveCheck::Tcp(address) => Asked::Tcp(text(address)?),
                LiveCheck::Command(line) => command(line)?,
            };
            let interval = Duration::from_millis(live.interval_ms);
            let limit = Duration::from_millis(live.timeout_ms);
            Some((asked, Times { interval, again: interval, limit, failures: live.failures }))
        }
        (None, Some(asked @ Asked::Http(_))) => Some((asked.clone(), LIGHT)),
        (None, _) => None,
    };
    let url = match (&config.url, &ready) {
        (Some(url), _) => Some(text(url)?),
        (None, Some(Asked::Http(url))) => Some(url.clone()),
        (None, _) => None,
    };
    // A mistake is told before anything runs.
    for asked in ready.iter().chain(live.iter().map(|(asked, _)| asked)) {
        asked.validate().map_err(|e| ("service_start_failed".to_owned(), format!("{}: {e}", service.name)))?;
    }
    Ok((Prepared { config, number, url, ready, live, values }, held))
}

impl Asked {
    fn validate(&self) -> Result<(), crate::service::probe::InvalidCheck> {
        match self {
            Self::Http(url) => Probe::Http(url.clone()).validate(),
            Self::Tcp(address) => Probe::Tcp(address.clone()).validate(),
            Self::Command { .. } | Self::LogLine(_) => Ok(()),
        }
    }
}

/// What checks that run something need of the service.
#[derive(Clone)]
pub(super) struct Around {
    pub ctx: Context,
    pub service: ServiceRow,
    pub project: ProjectRow,
    pub config: ServiceConfig,
    pub values: Values,
    /// Absolute directory of its shim.
    pub dir: PathBuf,
    /// Its variables, once they were resolved.
    pub variables: Arc<OnceLock<Variables>>,
}

impl Around {
    /// The tag of what its checks run.
    pub(super) fn check_tag(&self) -> String {
        format!("check/{}/{}", self.service.id, self.service.generation)
    }

    /// Makes a check that can be carried out. Variables that an earlier reign had resolved are resolved again.
    pub(super) fn probe(&self, asked: Asked) -> Result<Probe, String> {
        Ok(match asked {
            Asked::Http(url) => Probe::Http(url),
            Asked::Tcp(address) => Probe::Tcp(address),
            Asked::LogLine(text) => Probe::LogLine(Arc::new(Mutex::new(LogLine::new(&text, self.dir.clone())))),
            Asked::Command { argv, shell, shown } => {
                let known = match self.variables.get() {
                    Some(known) => known.clone(),
                    None => variables(self)?,
                };
                Probe::Command(Arc::new(CommandProbe {
                    argv,
                    shell,
                    cwd: PathBuf::from(&self.service.cwd),
                    env: known.env,
                    redact: known.redact,
                    tag: self.check_tag(),
                    shown,
                }))
            }
        })
    }

    /// The check that is waited for, for what is left of its time after so much of it.
    pub(super) fn check(&self, asked: Asked, spent: Duration) -> Result<Check, String> {
        let times = &self.config.ready;
        let (limit, pause) = (Duration::from_millis(times.timeout_ms), Duration::from_millis(times.interval_ms));
        let check = Check::new(self.probe(asked)?, limit.saturating_sub(spent), pause).map_err(|e| e.to_string())?;
        Ok(check.with_try_timeout(DEFAULT_TRY_TIMEOUT))
    }
}
