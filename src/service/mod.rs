//! Runtime services: what is looked at before one starts, its port, its process, whether it answers.

pub mod board;
pub mod figures;
pub mod health;
mod owned;
pub mod port;
pub mod prestart;
pub mod probe;
pub mod readiness;
pub mod report;
pub mod serve;
pub mod why;

/// A time in words, as exact as is worth reading.
pub(crate) fn lasting(ms: u64) -> String {
    let (seconds, minutes, hours) = (ms / 1_000, ms / 60_000, ms / 3_600_000);
    match (hours, minutes, seconds) {
        (48.., ..) => format!("{} days", hours / 24),
        (1.., ..) => format!("{hours} h {} min", minutes % 60),
        (0, 2.., _) => format!("{minutes} min"),
        (0, _, 1..) => format!("{seconds} s"),
        (0, _, 0) => format!("{ms} ms"),
    }
}
