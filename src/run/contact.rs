//! Whether the place where a run works can be asked while it runs: a connection that is lost is told, although nothing
//! ends by it and the run goes on there.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use super::ended::LIST_LIMIT;
use super::place::{Venue, within};
use super::watch::Watch;
use crate::environment::driver::Answer;

/// Pause between two questions.
const PAUSE: Duration = Duration::from_secs(30);

/// Asks again and again what lives in the place of a run, and tells when no answer comes and when one comes again.
/// Where a run works on the files of this machine there is nothing to ask.
pub async fn keep(venue: &Venue, tag: &str, watch: &Watch<'_>) -> Infallible {
    let Venue::There(there) = venue else { return pending().await };
    if there.shares_files() {
        return pending().await;
    }
    loop {
        tokio::time::sleep(PAUSE).await;
        let evidence = match within(LIST_LIMIT, there.driver.list(&there.held, tag)).await {
            Answer::Done(_) => {
                watch.known().await;
                continue;
            }
            // It cannot say what lives there, and never will.
            Answer::Refused { .. } if !there.driver.capabilities().list => return pending().await,
            Answer::Refused { code, hint } => format!("{code}: {hint}"),
            Answer::Unknown { evidence } => evidence,
        };
        // Told each time: meanwhile its shim may have been heard of, which is here and says nothing of the place.
        watch.doubt(format!("{} does not say whether it goes on: {evidence}", there.name)).await;
    }
}

#[cfg(test)]
mod tests;
