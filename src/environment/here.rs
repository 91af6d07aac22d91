//! Processes of this machine that carry a tag: what drivers that run commands here list and stop.

use std::time::Duration;

use super::driver::{Answer, PlaceProcess};
use crate::process::{descendants, terminate};

/// The processes here that carry a tag.
pub async fn list(tag: &str) -> Answer<Vec<PlaceProcess>> {
    let tag = tag.to_owned();
    match tokio::task::spawn_blocking(move || descendants::by_tag(&tag)).await {
        Ok(Ok(tagged)) => Answer::Done(
            tagged.found.into_iter().map(|p| PlaceProcess { pid: i64::from(p.id.pid), command: p.comm }).collect(),
        ),
        Ok(Err(error)) => Answer::unknown(format!("the process table cannot be read: {error}")),
        Err(panic) => Answer::unknown(panic.to_string()),
    }
}

/// Stops them, after this grace by force.
pub async fn stop(tag: &str, grace: Duration) -> Answer<Vec<PlaceProcess>> {
    let name = tag.to_owned();
    match tokio::task::spawn_blocking(move || terminate::tagged(&name, grace, &[])).await {
        Ok(Ok(_)) => list(tag).await,
        Ok(Err(error)) => Answer::unknown(format!("the process table cannot be read: {error}")),
        Err(panic) => Answer::unknown(panic.to_string()),
    }
}
