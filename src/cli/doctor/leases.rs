//! What the doctor sees of leases: those that wait for an operator.

use std::path::Path;

use wharf_model::{Kind, LeaseStatus};
use wharf_store::Reader;
use wharf_store::view::LeaseQuery;
use wharf_ui::format;

use super::Check;
use crate::clock;

/// Open leases looked through.
const LEASES: usize = 1_000;
/// Names told of a longer list.
const NAMED: usize = 10;

/// Leases that are kept or whose clean-up nobody tries any more: an operator decides about them.
pub fn waiting(data: &Path) -> Option<Check> {
    let reader = Reader::open(data).ok()?;
    let query = LeaseQuery { open: Some(true), ..LeaseQuery::default() };
    let page = reader.leases(&query, None, LEASES).ok()?;
    let now = clock::now();
    let mut parked = false;
    let mut words: Vec<String> = Vec::new();
    for item in page.rows.iter().rev() {
        let lease = &item.lease;
        let number = Kind::Lease.number(lease.number);
        let on = &item.environment;
        match lease.status {
            LeaseStatus::Retained => {
                let left = lease.retain_until.map_or_else(String::new, |at| {
                    format!(
                        ", {}",
                        if at <= now { "overdue".to_owned() } else { format!("for {}", format::left(now.until(at))) }
                    )
                });
                words.push(format!("{number} on {on} is kept{left}"));
            }
            LeaseStatus::PendingCleanup if lease.next_try_at.is_none() => {
                parked = true;
                let why = lease.cleanup_error.as_ref().or(lease.failure_reason.as_ref());
                let why = why.map_or_else(String::new, |why| format!(": {}", crate::config::shortened(why, 120)));
                words.push(format!("{number} on {on} was not cleaned up in {} tries{why}", lease.cleanup_attempts));
            }
            _ => {}
        }
    }
    if words.is_empty() {
        return None;
    }
    let rest = if words.len() > NAMED { format!(" and {} more", words.len() - NAMED) } else { String::new() };
    words.truncate(NAMED);
    let message = format!("{}{rest}", words.join("; "));
    let hint = "wharf leases status:retained,cleanup";
    let name = "leases kept";
    Some(if parked {
        Check::warning(name, message, hint)
    } else {
        Check { hint: Some(hint.into()), ..Check::ok(name, message) }
    })
}
