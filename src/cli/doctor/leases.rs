//! What the doctor sees of leases: those that wait for an operator.

use std::path::Path;

use wharf_model::{Kind, LeaseRow, LeaseStatus, UnixMillis};
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
    let rows: Vec<(&LeaseRow, &str)> = page.rows.iter().map(|i| (&i.lease, i.environment.as_str())).collect();
    told(&rows, clock::now())
}

/// Those among them that wait, in words.
fn told(leases: &[(&LeaseRow, &str)], now: UnixMillis) -> Option<Check> {
    let mut parked = false;
    let mut words: Vec<String> = Vec::new();
    for (lease, on) in leases.iter().rev() {
        let number = Kind::Lease.number(lease.number);
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

#[cfg(test)]
mod tests {
    use wharf_model::{CompanyId, Driver, EnvironmentId, EnvironmentRow, LeaseId};

    use super::*;
    use crate::cli::doctor::Level;

    fn row(number: i64, status: LeaseStatus, change: impl FnOnce(&mut LeaseRow)) -> LeaseRow {
        let on = EnvironmentRow::new(EnvironmentId::NIL, 2, CompanyId::NIL, "box-1", Driver::Ssh, UnixMillis(0));
        let mut lease = LeaseRow::asked(LeaseId::NIL, number, &on, status, UnixMillis(0));
        change(&mut lease);
        lease
    }

    fn check(leases: &[&LeaseRow], now: UnixMillis) -> Option<Check> {
        told(&leases.iter().map(|l| (*l, "box-1")).collect::<Vec<_>>(), now)
    }

    #[test]
    fn only_what_nobody_goes_on_with_is_named() {
        let now = UnixMillis(10_000_000);
        let kept = row(1, LeaseStatus::Retained, |l| l.retain_until = Some(now.plus(3_600_000)));
        let over = row(2, LeaseStatus::Retained, |l| l.retain_until = Some(UnixMillis(5)));
        let retried = row(3, LeaseStatus::PendingCleanup, |l| l.next_try_at = Some(now.plus(1)));
        let active = row(4, LeaseStatus::Active, |_| {});
        assert!(check(&[&active, &retried], now).is_none());
        let told = check(&[&active, &over, &kept], now).unwrap();
        assert_eq!((told.level, told.hint.is_some()), (Level::Ok, true));
        assert_eq!(told.message, "L-1 on box-1 is kept, for 1h00; L-2 on box-1 is kept, overdue");
        let parked = row(5, LeaseStatus::PendingCleanup, |l| {
            l.cleanup_attempts = 12;
            l.cleanup_error = Some("no route to host".into());
        });
        let told = check(&[&parked, &retried, &kept], now).unwrap();
        assert_eq!(told.level, Level::Warning);
        assert!(told.message.ends_with("L-5 on box-1 was not cleaned up in 12 tries: no route to host"), "{told:?}");
    }
}
