//! GET, bounded in time, bytes and redirects.

use std::io::{ErrorKind, Read as _};
use std::time::Duration;

use super::{InvalidCheck, Miss, is_ours, no_answer};

/// Most bytes of an answer that are read; a longer one counts as complete.
pub const MAX_BODY_BYTES: u64 = 64 * 1024;
/// Most redirects that are followed.
pub const MAX_REDIRECTS: u32 = 5;

pub(super) fn validate(url: &str) -> Result<(), InvalidCheck> {
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

pub(super) fn get(url: &str, limit: Duration) -> Result<(), Miss> {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(limit))
        .max_redirects(MAX_REDIRECTS)
        .http_status_as_error(false)
        .proxy(None)
        .max_response_header_size(MAX_BODY_BYTES as usize)
        .max_idle_connections(0)
        .user_agent("wharf-readiness")
        .build();
    let mut response = ureq::Agent::new_with_config(config).get(url).call().map_err(|e| miss(&e, url, limit))?;
    let status = response.status();
    if !status.is_success() {
        return Err(Miss::bad(format!("{url} answered {}", status.as_u16())));
    }
    let mut body = response.body_mut().as_reader().take(MAX_BODY_BYTES);
    let mut buffer = [0; 8 * 1024];
    loop {
        match body.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(miss(&ureq::Error::from(e), url, limit)),
        }
    }
}

fn miss(error: &ureq::Error, url: &str, limit: Duration) -> Miss {
    // A socket with a limit says by `WouldBlock` that nothing came in time.
    let ours = matches!(error, ureq::Error::Io(e) if e.kind() != ErrorKind::WouldBlock && is_ours(e));
    Miss { words: words(error, url, limit), is_ours: ours, is_final: false }
}

fn words(error: &ureq::Error, url: &str, limit: Duration) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("{url} gave {}", no_answer(limit)),
        ureq::Error::TooManyRedirects => format!("{url} redirects more than {MAX_REDIRECTS} times"),
        ureq::Error::Io(e) if e.kind() == ErrorKind::ConnectionRefused => format!("{url} refuses connections"),
        other => format!("{url}: {other}"),
    }
}
