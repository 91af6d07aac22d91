//! What wharf knows of itself.

use std::path::Path;

use wharf_model::{Kind, Named, RequestRow, RequestStatus, RunId};
use wharf_store::view::{RequestQuery, RunQuery};
use wharf_store::{Reader, StoreError};
use wharf_ui::glyph::Class;
use wharf_ui::rows::{Diagnostics, OrchestratorLine, RequestLine, StoreLine};

use crate::dispatch::election;
use crate::dispatch::take_over::Seat;

/// Requests that are listed.
const REQUESTS: usize = 50;

/// Gathers everything.
pub fn all(reader: &Reader, data: &Path) -> Result<Diagnostics, StoreError> {
    let header = reader.header(None)?;
    let mut troubles = Vec::new();
    let held = election::holder(data);
    if let Ok(Some(holder)) = &held {
        let seat = Seat::of(holder.clone());
        if holder.is_some() && !seat.is_healthy() {
            troubles.push(format!("The orchestrator is {}; `g t` takes over", seat.words()));
        }
    }
    let orchestrator = match held {
        Ok(Some(Some(holder))) => Some(OrchestratorLine {
            pid: u32::try_from(holder.pid).unwrap_or(0),
            is_this: holder.pid.unsigned_abs() == std::process::id(),
            epoch: holder.epoch,
            since: wharf_model::UnixMillis(holder.since),
            version: holder.version,
        }),
        Ok(Some(None)) => {
            troubles.push("The orchestrator's lock is held, and the file does not say by whom".to_owned());
            None
        }
        Ok(None) => {
            troubles.push("Nobody is the orchestrator: nothing new starts".to_owned());
            None
        }
        Err(error) => {
            troubles.push(format!("The orchestrator's lock cannot be looked at: {error}"));
            None
        }
    };
    let mut requests = reader.requests(RequestQuery { open_only: true }, None, REQUESTS)?.rows;
    let answered = reader.requests(RequestQuery { open_only: false }, None, REQUESTS)?.rows;
    requests.extend(answered.into_iter().filter(|r| r.status.is_terminal()));
    requests.truncate(REQUESTS);
    let file = data.join("wharf.db");
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |m| m.len());
    let runs = reader.run_counts(&RunQuery::default())?;
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    Ok(Diagnostics {
        orchestrator,
        store: StoreLine {
            path: file.display().to_string(),
            schema: reader.schema()?,
            bytes: size(&file),
            wal_bytes: size(&data.join("wharf.db-wal")),
            logs: None,
        },
        waiting: count(header.pending_requests),
        requests: requests.iter().map(|row| request(reader, row)).collect(),
        counts: vec![
            ("runs".to_owned(), count(runs.shown)),
            ("running".to_owned(), count(header.running)),
            ("queued".to_owned(), count(header.queued)),
            ("leases held".to_owned(), count(header.leases)),
            ("services running".to_owned(), count(header.services)),
        ],
        versions: vec![
            ("wharf".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("shim protocol".to_owned(), wharf_model::shim::PROTOCOL.to_string()),
        ],
        troubles,
    })
}

fn request(reader: &Reader, row: &RequestRow) -> RequestLine {
    let (class, word) = match row.status {
        RequestStatus::Pending => (Class::Waits, "pending"),
        RequestStatus::Accepted => (Class::Alive, "accepted"),
        RequestStatus::Done => (Class::Good, "done"),
        RequestStatus::Failed => (Class::Bad, "failed"),
        RequestStatus::Refused => (Class::Bad, "refused"),
        RequestStatus::Expired => (Class::Chosen, "expired"),
    };
    RequestLine {
        number: row.number,
        kind: row.kind.clone(),
        target: target(reader, row),
        class,
        word: word.to_owned(),
        created_at: row.created_at,
        took_ms: row.finished_at.map(|at| row.created_at.until(at)),
        error: row.error.clone(),
    }
}

/// Name of what a request is about; a target without a name shows its kind.
fn target(reader: &Reader, row: &RequestRow) -> String {
    let (Some(kind), Some(id)) = (row.target_type.as_deref(), row.target_id.as_deref()) else {
        return String::new();
    };
    if kind == "run"
        && let Ok(run) = id.parse::<RunId>()
        && let Ok(Some(line)) = reader.run_line(run)
    {
        return Kind::Run.number(line.number);
    }
    let found = uuid::Uuid::parse_str(id).ok().and_then(|id| reader.resolve(&Named::Whole(id), None).ok());
    found.map_or_else(|| kind.to_owned(), |f| f.label)
}
