//! What wharf knows of itself, for the Diagnostics screen.

use std::path::Path;

use wharf_model::{RequestRow, RequestStatus, UnixMillis};
use wharf_store::view::RequestQuery;
use wharf_store::{Reader, StoreError};
use wharf_ui::glyph::Class;
use wharf_ui::rows::{Diagnostics, OrchestratorLine, RequestLine, StoreLine};

use crate::dispatch::election;

/// Answered requests that are shown.
const RECENT: usize = 50;

/// Gathers it all; nothing here waits for anyone.
pub fn gather(reader: &Reader, data: &Path) -> Result<Diagnostics, StoreError> {
    let counts = reader.header(None)?;
    let page = reader.requests(RequestQuery::default(), None, RECENT)?;
    let (holder, trouble) = match election::holder(data) {
        Ok(Some(holder)) => (holder, None),
        Ok(None) => {
            (None, Some("nobody orchestrates: nothing new starts until a console or `wharf serve` is open".to_owned()))
        }
        Err(error) => (None, Some(format!("the orchestrator's lock cannot be looked at: {error}"))),
    };
    let mut waiting: Vec<&RequestRow> = page.rows.iter().collect();
    waiting.sort_by_key(|r| (r.status.is_terminal(), -r.number));
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    let size = |name: &str| std::fs::metadata(data.join(name)).map_or(0, |m| m.len());
    Ok(Diagnostics {
        orchestrator: holder.map(|h| OrchestratorLine {
            pid: u32::try_from(h.pid).unwrap_or(0),
            is_this: u32::try_from(h.pid) == Ok(std::process::id()),
            epoch: h.epoch,
            since: UnixMillis(h.since),
            version: h.version,
        }),
        store: StoreLine {
            path: data.join("wharf.db").display().to_string(),
            schema: 1,
            bytes: size("wharf.db"),
            wal_bytes: size("wharf.db-wal"),
            logs: None,
        },
        waiting: count(counts.pending_requests),
        requests: waiting.into_iter().map(request).collect(),
        counts: vec![
            ("runs running".into(), count(counts.running)),
            ("runs queued".into(), count(counts.queued)),
            ("open leases".into(), count(counts.leases)),
            ("services up".into(), count(counts.services)),
        ],
        versions: vec![
            ("wharf".into(), env!("CARGO_PKG_VERSION").into()),
            ("shim protocol".into(), wharf_model::shim::PROTOCOL.to_string()),
        ],
        troubles: trouble.into_iter().collect(),
    })
}

fn request(row: &RequestRow) -> RequestLine {
    let class = match row.status {
        RequestStatus::Pending => Class::Waits,
        RequestStatus::Accepted => Class::Alive,
        RequestStatus::Done => Class::Good,
        RequestStatus::Failed | RequestStatus::Refused => Class::Bad,
        RequestStatus::Expired => Class::Chosen,
    };
    let target = row.result.as_ref().and_then(|r| r["run"].as_str()).map_or_else(
        || row.args.get("agent").and_then(|a| a.as_str()).or(row.target_type.as_deref()).unwrap_or_default().to_owned(),
        str::to_owned,
    );
    RequestLine {
        number: row.number,
        kind: row.kind.clone(),
        target,
        class,
        word: row.status.to_string(),
        created_at: row.created_at,
        took_ms: row.finished_at.map(|at| row.created_at.until(at)),
        error: row.error.clone(),
    }
}
