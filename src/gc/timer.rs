//! A pass every day, asked by whoever orchestrates, in the way everybody asks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use wharf_model::{ActorType, RequestOrigin, UnixMillis};
use wharf_store::{NewRequest, RequestSender, StoreError};

use crate::clock;

/// A reign that is shorter than this asks for nothing.
const FIRST: Duration = Duration::from_mins(2);
/// How often it is looked whether a day has begun.
const LOOK: Duration = Duration::from_hours(1);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const EXPIRES_MS: i64 = 30_000;

/// Asks once a day until `over` is done.
pub async fn daily(data: PathBuf, over: impl Future<Output = ()>) {
    let asks = async {
        tokio::time::sleep(FIRST).await;
        loop {
            let data = data.clone();
            let asked = tokio::task::spawn_blocking(move || ask(&data, clock::now())).await;
            if let Ok(Err(error)) = asked {
                tracing::warn!(%error, "the daily removal of what is kept no longer could not be asked for");
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = asks => {}
        () = over => {}
    }
}

/// Asks for the passes of a day; asked again on the same day they stay the same requests. What is archived today
/// goes from the trash on a later one.
fn ask(data: &Path, now: UnixMillis) -> Result<(), StoreError> {
    let mut sender = RequestSender::open(data)?;
    for (kind, short) in [("gc.run", "gc"), ("workspace.reap", "reap")] {
        sender.send(&of_the_day(kind, short, now))?;
    }
    Ok(())
}

fn of_the_day(kind: &str, short: &str, now: UnixMillis) -> NewRequest {
    NewRequest {
        kind: kind.to_owned(),
        target_type: None,
        target_id: None,
        args: json!({}),
        expect: None,
        actor_type: ActorType::System,
        actor_id: "timer".to_owned(),
        origin: RequestOrigin::Timer,
        idempotency_key: Some(format!("{short}-{}", now.0.div_euclid(DAY_MS))),
        now,
        expires_at: now.plus(EXPIRES_MS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_day_has_one_pass() {
        let data = tempfile::tempdir().unwrap();
        drop(wharf_store::Store::open(data.path(), wharf_store::Access::Create).unwrap());
        let noon = 20_000 * DAY_MS + DAY_MS / 2;
        for at in [noon, noon + 3_600_000, noon + DAY_MS] {
            ask(data.path(), UnixMillis(at)).unwrap();
        }
        let writer = wharf_store::Writer::open(data.path()).unwrap();
        assert_eq!(writer.load_state().unwrap().requests.len(), 4);
    }
}
