//! Hearing that rows were committed, by whichever process.

use std::io;
use std::path::Path;
use std::time::Duration;

use wharf_store::{ChangeSignal, StoreError};

use super::events::{Event, Sender};

/// The longest wait for a change; then it is waited again.
const WAIT: Duration = Duration::from_hours(1);
/// How long is waited before a watch that failed is begun anew.
const AGAIN: Duration = Duration::from_secs(1);
/// How often is looked for a store that is not there yet.
const LOOK: Duration = Duration::from_millis(50);

/// Begins to listen; a change is told as [`Event::StoreChanged`].
///
/// # Errors
/// No thread could be had.
pub fn start(data: &Path, events: Sender) -> io::Result<()> {
    let data = data.to_owned();
    std::thread::Builder::new().name("changes".into()).spawn(move || listen(&data, &events))?;
    Ok(())
}

fn listen(data: &Path, events: &Sender) {
    let mut waited = Duration::ZERO;
    loop {
        match ChangeSignal::open(data) {
            Ok(mut signal) => {
                // What was committed before the watch began.
                if events.send(Event::StoreChanged).is_err() {
                    return;
                }
                loop {
                    match signal.wait(WAIT) {
                        Ok(false) => {}
                        Ok(true) => {
                            if events.send(Event::StoreChanged).is_err() {
                                return;
                            }
                        }
                        Err(error) => {
                            tracing::warn!(%error, "watching the store failed; beginning anew");
                            break;
                        }
                    }
                }
            }
            Err(StoreError::Missing { .. } | StoreError::Older { .. }) => {
                // Soon there, or never: looked for less and less often.
                let pause = (LOOK + waited / 10).min(AGAIN);
                waited += pause;
                std::thread::sleep(pause);
                continue;
            }
            Err(error) => tracing::warn!(%error, "the store cannot be watched; trying again"),
        }
        std::thread::sleep(AGAIN);
    }
}
