//! One start of a worker, from its beginning to its end.

use std::sync::Arc;
use std::time::Duration;

use super::begin::{Unavailable, begin};
use super::notes::Notes;
use super::worker::Worker;
use crate::environment::secrets::Resolved;

/// Pause between two looks whether it is idle, or hangs.
const LOOK: Duration = Duration::from_secs(5);

/// A number from 0 to 1 that nobody can foresee, as far as that matters for a pause.
pub(super) fn chance() -> f64 {
    f64::from(uuid::Uuid::now_v7().as_bytes()[15]) / 255.0
}

/// Starts an instance of a worker and stays with it until its end; `start` is the number of this start.
pub(super) async fn keep(worker: Arc<Worker>, start: u64, secrets: Resolved) {
    let begun = begin(&worker.launch, &worker.driver, &worker.state, &secrets, Notes::default()).await;
    let (connection, hello) = match begun {
        Ok(begun) => begun,
        Err((why, notes)) => return worker.ended(start, Some(notes), why),
    };
    let mut end = connection.watch_end();
    let (known, memory) = (hello.clone(), worker.memory.clone());
    // Without it a later process only knows less until it has asked.
    let _unwritable = tokio::task::spawn_blocking(move || known.remember(&memory)).await;
    let hello = Arc::new(hello);
    if !worker.is_up(connection, hello) {
        // Its end was asked for while it began; dropping the connection has brought it about.
        let why = Unavailable { is_refusal: false, words: "it was asked to end".into() };
        return worker.ended(start, None, why);
    }
    // From here on the worker may be dropped by all who use it, and its instance with it.
    let weak = Arc::downgrade(&worker);
    drop(worker);
    loop {
        let ended = tokio::time::timeout(LOOK, end.wait_for(Option::is_some)).await;
        let ended = ended.map(|end| end.map(|words| words.clone().unwrap_or_default()));
        let words = match ended {
            Err(_look) => {
                let Some(worker) = weak.upgrade() else { return };
                if worker.is_idle() {
                    worker.close().await;
                } else if let Some(doubtful) = worker.doubtful(LOOK) {
                    doubtful.answer_or_die().await;
                }
                continue;
            }
            Ok(Ok(words)) => words,
            Ok(Err(_)) => "it is gone".to_owned(),
        };
        let Some(worker) = weak.upgrade() else { return };
        let noted = worker.notes().words(&secrets);
        let why = Unavailable { is_refusal: false, words: format!("the plugin ended: {words}{noted}") };
        return worker.ended(start, None, why);
    }
}
