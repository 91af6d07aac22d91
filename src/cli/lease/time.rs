//! Moments as people write them.

use chrono::{FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeZone as _};
use wharf_model::UnixMillis;
use wharf_ui::format::Zone;

/// Reads `18:30` (the next one), `2026-11-30` (its begin), `2026-11-30T18:30` or RFC 3339.
pub fn moment(text: &str, now: UnixMillis, zone: Zone) -> Option<UnixMillis> {
    if let Ok(at) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(UnixMillis(at.timestamp_millis()));
    }
    let east = FixedOffset::east_opt(if zone.utc { 0 } else { zone.east_seconds })?;
    let at = |local: NaiveDateTime| Some(UnixMillis(east.from_local_datetime(&local).single()?.timestamp_millis()));
    if let Some(time) = ["%H:%M", "%H:%M:%S"].iter().find_map(|f| NaiveTime::parse_from_str(text, f).ok()) {
        let today = east.timestamp_millis_opt(now.0).single()?.date_naive();
        let first = at(today.and_time(time))?;
        return if first > now { Some(first) } else { at(today.succ_opt()?.and_time(time)) };
    }
    let forms = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"];
    if let Some(both) = forms.iter().find_map(|f| NaiveDateTime::parse_from_str(text, f).ok()) {
        return at(both);
    }
    at(NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_time(NaiveTime::MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_where_they_are_shown() {
        let zone = Zone { east_seconds: 3600, utc: false };
        // 2026-11-29T12:00 at +01:00.
        let now = UnixMillis(1_795_950_000_000);
        let hour = 3_600_000;
        let table = [
            ("18:30", Some(6 * hour + hour / 2)),
            ("11:00", Some(23 * hour)),
            ("2026-11-30", Some(12 * hour)),
            ("2026-11-29T13:00", Some(hour)),
            ("2026-11-29T13:00:00Z", Some(2 * hour)),
            ("tomorrow", None),
            ("25:00", None),
        ];
        for (text, after) in table {
            assert_eq!(moment(text, now, zone).map(|at| now.until(at)), after, "{text}");
        }
    }
}
