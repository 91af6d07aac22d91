//! Waiting until a service answers, within a deadline, and no longer than its process lives.

use std::future::Future;
use std::io::{ErrorKind, Read};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Waited for at most, when config does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause between the starts of two tries, when config does not say.
pub const DEFAULT_INTERVAL: Duration = Duration::from_millis(500);
/// Shortest pause.
pub const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// One try may take this long.
pub const DEFAULT_TRY_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait that can be set.
pub const MAX_TIMEOUT: Duration = Duration::from_hours(24);
/// Most bytes of an answer that are read; a longer one counts as complete.
pub const MAX_BODY_BYTES: u64 = 64 * 1024;
/// Most redirects that are followed.
pub const MAX_REDIRECTS: u32 = 5;

/// What is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// GET this url; ready when it answers 2xx and the answer ends (or passes [`MAX_BODY_BYTES`]).
    Http(String),
    /// Connect to `host:port`; ready when the connection is made.
    Tcp(String),
}

/// A check that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCheck {
    /// Not a plain http url.
    #[error("readiness url {url:?} {why}; write it like http://127.0.0.1:{{{{port}}}}/")]
    Url {
        /// As written, rendered.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// Not `host:port`.
    #[error("readiness address {0:?} is not of the form host:port")]
    Address(String),
}

/// A readiness check with its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    probe: Probe,
    timeout: Duration,
    interval: Duration,
    try_timeout: Duration,
}

impl Check {
    /// Reads a check; the times become at least [`MIN_INTERVAL`], at most [`MAX_TIMEOUT`].
    pub fn new(probe: Probe, timeout: Duration, interval: Duration) -> Result<Self, InvalidCheck> {
        match &probe {
            Probe::Http(url) => validate_url(url)?,
            Probe::Tcp(address) => {
                let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
                if !port.is_some_and(|p| p.parse::<u16>().is_ok_and(|p| p != 0)) {
                    return Err(InvalidCheck::Address(address.clone()));
                }
            }
        }
        let timeout = timeout.clamp(MIN_INTERVAL, MAX_TIMEOUT);
        Ok(Self { probe, timeout, interval: interval.clamp(MIN_INTERVAL, timeout), try_timeout: DEFAULT_TRY_TIMEOUT })
    }

    /// Another limit for each try.
    pub fn with_try_timeout(mut self, limit: Duration) -> Self {
        self.try_timeout = limit.max(Duration::from_millis(10));
        self
    }
}

fn validate_url(url: &str) -> Result<(), InvalidCheck> {
    let bad = |why: &str| InvalidCheck::Url { url: url.to_owned(), why: why.to_owned() };
    let uri: ureq::http::Uri = url.parse().map_err(|e| bad(&format!("cannot be read ({e})")))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => {
            return Err(bad("is https, which is not checked; use http on the loopback address, or a tcp check"));
        }
        _ => return Err(bad("does not begin with http://")),
    }
    match uri.authority() {
        None => Err(bad("names no host")),
        Some(a) if a.as_str().contains('@') => Err(bad("holds a user name, which would stand in logs")),
        // A port that is no number of 16 bits is not an error to the parser.
        Some(a) if !a.as_str().ends_with(a.host()) && a.port_u16().is_none_or(|p| p == 0) => {
            Err(bad("has no usable port"))
        }
        Some(_) => Ok(()),
    }
}

/// How the wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It answered.
    Ready {
        /// Tries made, the good one included.
        tries: u32,
        /// Since the wait began.
        took: Duration,
    },
    /// It did not answer well in time.
    TimedOut {
        /// Tries made.
        tries: u32,
        /// What the last one met with.
        last_error: String,
    },
    /// Its process ended first.
    ChildExited {
        /// Tries made.
        tries: u32,
        /// What the last one met with, if one was made.
        last_error: Option<String>,
    },
}

/// Tries until the service is ready, the time is over, or `child_exited` completes (a `oneshot`
/// receiver, or a `watch` receiver's `changed`), which ends the wait at once.
///
/// A try that is cut off goes on in its blocking thread until its own limit and is then forgotten.
/// Ready tells that something answers; whether it is the service, the
/// [port's owner](super::port::ownership) tells.
pub async fn wait(check: &Check, child_exited: impl Future<Output = ()>) -> Readiness {
    let start = Instant::now();
    let deadline = start + check.timeout;
    let mut tries = 0_u32;
    let mut last_error = None;
    tokio::pin!(child_exited);
    loop {
        let began = Instant::now();
        let limit = check.try_timeout.min(deadline.saturating_duration_since(began));
        tries += 1;
        let answer = tokio::select! {
            biased;
            () = &mut child_exited => return Readiness::ChildExited { tries: tries - 1, last_error },
            answer = timeout_at(deadline, attempt(&check.probe, limit)) => answer,
        };
        match answer {
            Ok(Ok(())) => return Readiness::Ready { tries, took: start.elapsed() },
            Ok(Err(error)) => last_error = Some(error),
            Err(_) => {
                last_error.get_or_insert_with(|| no_answer(check.timeout));
            }
        }
        let next = (began + check.interval).max(Instant::now());
        if next >= deadline {
            let last_error = last_error.unwrap_or_else(|| no_answer(check.timeout));
            return Readiness::TimedOut { tries, last_error };
        }
        tokio::select! {
            biased;
            () = &mut child_exited => return Readiness::ChildExited { tries, last_error },
            () = sleep_until(next) => {}
        }
    }
}

fn no_answer(limit: Duration) -> String {
    format!("no complete answer within {} ms", limit.as_millis())
}

async fn attempt(probe: &Probe, limit: Duration) -> Result<(), String> {
    match probe {
        Probe::Tcp(address) => match timeout_at(Instant::now() + limit, TcpStream::connect(address)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(e)) => Err(format!("cannot connect to {address}: {e}")),
            Err(_) => Err(format!("no connection to {address} within {} ms", limit.as_millis())),
        },
        Probe::Http(url) => {
            let url = url.clone();
            match tokio::task::spawn_blocking(move || get(&url, limit)).await {
                Ok(answer) => answer,
                Err(e) => Err(format!("the check itself failed: {e}")),
            }
        }
    }
}

fn get(url: &str, limit: Duration) -> Result<(), String> {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(limit))
        .max_redirects(MAX_REDIRECTS)
        .http_status_as_error(false)
        .proxy(None)
        .max_response_header_size(MAX_BODY_BYTES as usize)
        .max_idle_connections(0)
        .user_agent("wharf-readiness")
        .build();
    let mut response = ureq::Agent::new_with_config(config).get(url).call().map_err(|e| words(&e, url, limit))?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("{url} answered {}", status.as_u16()));
    }
    let mut body = response.body_mut().as_reader().take(MAX_BODY_BYTES);
    let mut buffer = [0; 8 * 1024];
    loop {
        match body.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(words(&ureq::Error::from(e), url, limit)),
        }
    }
}

fn words(error: &ureq::Error, url: &str, limit: Duration) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("{url} gave {}", no_answer(limit)),
        ureq::Error::TooManyRedirects => format!("{url} redirects more than {MAX_REDIRECTS} times"),
        ureq::Error::Io(e) if e.kind() == ErrorKind::ConnectionRefused => format!("{url} refuses connections"),
        other => format!("{url}: {other}"),
    }
}

#[cfg(test)]
mod tests;
