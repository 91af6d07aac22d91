//! Times, sizes, counts and money as every screen shows them (screens 1.15, 1.16).

use chrono::{DateTime, Datelike, FixedOffset, Timelike};
use wharf_model::UnixMillis;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Where on earth moments are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone {
    /// Seconds east of Greenwich.
    pub east_seconds: i32,
    /// Show every moment in UTC with `Z`, whatever the place.
    pub utc: bool,
}

impl Zone {
    /// Moments in UTC, marked with `Z`.
    pub const UTC: Self = Self { east_seconds: 0, utc: true };

    fn at(self, moment: UnixMillis) -> DateTime<FixedOffset> {
        let east = if self.utc { 0 } else { self.east_seconds.clamp(-86_399, 86_399) };
        let utc = moment.utc();
        match FixedOffset::east_opt(east) {
            Some(offset) => utc.with_timezone(&offset),
            None => utc.fixed_offset(),
        }
    }

    const fn mark(self) -> &'static str {
        if self.utc { "Z" } else { "" }
    }
}

/// Ages and durations in lists: `3s`, `4m12`, `18m`, `2h05`, `5h`, `3d`. Negative ones count as none.
pub fn duration(ms: i64) -> String {
    let ms = ms.max(0);
    match ms {
        ..MINUTE => format!("{}s", ms / SECOND),
        _ => took(ms),
    }
}

/// How long an ended thing took: as [`duration`], but `0m04` instead of `4s`, so that the column reads evenly.
pub fn took(ms: i64) -> String {
    let ms = ms.max(0);
    let (minutes, hours) = (ms / MINUTE, ms / HOUR);
    if ms < 10 * MINUTE {
        format!("{minutes}m{:02}", ms % MINUTE / SECOND)
    } else if ms < HOUR {
        format!("{minutes}m")
    } else if ms < 5 * HOUR {
        format!("{hours}h{:02}", minutes % 60)
    } else if ms < DAY {
        format!("{hours}h")
    } else {
        format!("{}d", ms / DAY)
    }
}

/// Durations of steps and calls: `0.04s`, `41.8s`, then as [`duration`].
pub fn fine(ms: i64) -> String {
    let ms = ms.max(0);
    // Rounded down, as all durations are: 9,999 ms are not ten seconds yet.
    match ms {
        i64::MIN..10_000 => format!("{}.{:02}s", ms / SECOND, ms % SECOND / 10),
        10_000..60_000 => format!("{}.{}s", ms / SECOND, ms % SECOND / 100),
        _ => duration(ms),
    }
}

/// Time left: seconds stay up to an hour (`25m48`).
pub fn left(ms: i64) -> String {
    let ms = ms.max(0);
    if (10 * MINUTE..HOUR).contains(&ms) {
        format!("{}m{:02}", ms / MINUTE, ms % MINUTE / SECOND)
    } else {
        duration(ms)
    }
}

/// `12:04:31`.
pub fn clock(at: UnixMillis, zone: Zone) -> String {
    let t = zone.at(at);
    format!("{:02}:{:02}:{:02}{}", t.hour(), t.minute(), t.second(), zone.mark())
}

/// `12:04`.
pub fn clock_minutes(at: UnixMillis, zone: Zone) -> String {
    let t = zone.at(at);
    format!("{:02}:{:02}{}", t.hour(), t.minute(), zone.mark())
}

/// `12:04:31.120`, beside a line of output; always twelve cells.
pub fn clock_millis(at: UnixMillis, zone: Zone) -> String {
    let t = zone.at(at);
    format!("{:02}:{:02}:{:02}.{:03}", t.hour(), t.minute(), t.second(), t.timestamp_subsec_millis())
}

/// A moment as short as today allows: clock, `Nov 19 12:04` this year, `2025-11-19` before.
pub fn moment(at: UnixMillis, now: UnixMillis, zone: Zone) -> String {
    let (t, n) = (zone.at(at), zone.at(now));
    if t.date_naive() == n.date_naive() {
        clock(at, zone)
    } else if t.year() == n.year() {
        format!("{}{}", t.format("%b %-d %H:%M"), zone.mark())
    } else {
        t.format("%Y-%m-%d").to_string()
    }
}

/// A day that may be far away: `21 Dec 2026`.
pub fn day(at: UnixMillis, zone: Zone) -> String {
    zone.at(at).format("%-d %b %Y").to_string()
}

/// The whole moment: `2026-11-21 12:04:29.877 +01:00`.
pub fn full(at: UnixMillis, zone: Zone) -> String {
    let t = zone.at(at);
    if zone.utc {
        t.format("%Y-%m-%d %H:%M:%S%.3fZ").to_string()
    } else {
        t.format("%Y-%m-%d %H:%M:%S%.3f %:z").to_string()
    }
}

/// Time since a start, in the twelve cells of a clock: `+4:07.310`.
pub fn since_start(ms: i64) -> String {
    let ms = ms.max(0);
    let text = format!("+{}:{:02}.{:03}", ms / MINUTE, ms % MINUTE / SECOND, ms % SECOND);
    format!("{text:>12}")
}

/// Powers of 1,000, at most seven cells: `880 B`, `96.1 KB`, `218 MB`, `1.9 GB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    // 999.6 KB would be shown as 1000 KB: five figures for three.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if value < 99.95 { format!("{value:.1} {}", UNITS[unit]) } else { format!("{value:.0} {}", UNITS[unit]) }
}

/// `1,204`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(d);
    }
    out
}

/// Counts in a list: as they are below 100,000, then `412 K`, `1.9 M`.
pub fn count_short(n: u64) -> String {
    match n {
        0..100_000 => count(n),
        100_000..999_500 => format!("{} K", (n + 500) / 1000),
        _ if n < 99_950_000 => format!("{:.1} M", n as f64 / 1e6),
        _ => format!("{} M", count((n + 500_000) / 1_000_000)),
    }
}

/// `$0.31`, `≈$0.31` when estimated, `unknown` when nobody said.
pub fn money(microusd: Option<i64>, estimated: bool) -> String {
    match microusd {
        None => "unknown".to_owned(),
        Some(micro) => {
            let cents = (micro.unsigned_abs() + 5_000) / 10_000;
            let sign = if micro < 0 { "-" } else { "" };
            let about = if estimated { "≈" } else { "" };
            format!("{about}{sign}${}.{:02}", count(cents / 100), cents % 100)
        }
    }
}

/// CPU in cores: `1.92`.
pub fn cores(milli: u64) -> String {
    format!("{:.2}", milli as f64 / 1000.0)
}

/// `1 run`, `3 runs`.
pub fn plural(n: u64, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{} {one}s", count(n)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: Zone = Zone { east_seconds: 3600, utc: false };

    #[test]
    fn durations() {
        let table = [
            (-5, "0s"),
            (3_000, "3s"),
            (59_999, "59s"),
            (60_000, "1m00"),
            (252_000, "4m12"),
            (599_999, "9m59"),
            (600_000, "10m"),
            (18 * MINUTE + 59_000, "18m"),
            (125 * MINUTE, "2h05"),
            (5 * HOUR - 1, "4h59"),
            (5 * HOUR, "5h"),
            (23 * HOUR, "23h"),
            (24 * HOUR, "1d"),
            (3 * DAY + HOUR, "3d"),
        ];
        for (ms, expected) in table {
            assert_eq!(duration(ms), expected, "{ms}");
        }
        assert_eq!(took(4_000), "0m04");
        assert_eq!(fine(10), "0.01s");
        assert_eq!(fine(9_999), "9.99s");
        assert_eq!(fine(41_850), "41.8s");
        assert_eq!(fine(152_000), "2m32");
        assert_eq!(left(25 * MINUTE + 48_000), "25m48");
        assert_eq!(left(48_000), "48s");
    }

    #[test]
    fn moments() {
        let now = UnixMillis(1_795_259_322_000); // 2026-11-21 11:08:42 UTC
        assert_eq!(full(UnixMillis(1_795_259_069_877), BERLIN), "2026-11-21 12:04:29.877 +01:00");
        assert_eq!(clock(UnixMillis(1_795_259_071_120), BERLIN), "12:04:31");
        assert_eq!(clock_millis(UnixMillis(1_795_259_071_120), BERLIN), "12:04:31.120");
        assert_eq!(moment(now, now, BERLIN), "12:08:42");
        assert_eq!(moment(now, now, Zone::UTC), "11:08:42Z");
        assert_eq!(moment(now.plus(-2 * DAY), now, BERLIN), "Nov 19 12:08");
        assert_eq!(moment(now.plus(-400 * DAY), now, BERLIN), "2025-10-17");
        assert_eq!(since_start(247_310), "   +4:07.310");
        assert_eq!(day(now, BERLIN), "21 Nov 2026");
    }

    #[test]
    fn sizes_and_counts() {
        let table = [
            (0, "0 B"),
            (880, "880 B"),
            (999, "999 B"),
            (1_000, "1.0 KB"),
            (96_100, "96.1 KB"),
            (99_949, "99.9 KB"),
            (99_960, "100 KB"),
            (999_499, "999 KB"),
            (999_500, "1.0 MB"),
            (4_100_000, "4.1 MB"),
            (218_000_000, "218 MB"),
            (1_900_000_000, "1.9 GB"),
            (u64::MAX, "18.4 EB"),
        ];
        for (bytes, expected) in table {
            assert_eq!(size(bytes), expected);
            assert!(size(bytes).len() <= 7);
        }
        assert_eq!(count(0), "0");
        assert_eq!(count(1_204), "1,204");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count_short(48_210), "48,210");
        assert_eq!(count_short(1_900_000), "1.9 M");
        assert_eq!(money(Some(310_000), false), "$0.31");
        assert_eq!(money(Some(310_000), true), "≈$0.31");
        assert_eq!(money(Some(0), false), "$0.00");
        assert_eq!(money(None, true), "unknown");
        assert_eq!(cores(1_920), "1.92");
        assert_eq!(plural(1, "run"), "1 run");
        assert_eq!(plural(0, "run"), "0 runs");
    }
}
