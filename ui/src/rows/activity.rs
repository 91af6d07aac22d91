//! One entry of the audit trail.

use wharf_model::UnixMillis;

/// One entry of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityLine {
    /// Rising number of the entry.
    pub number: i64,
    /// When.
    pub at: UnixMillis,
    /// Who: `operator`, `R-1042`, `wharf`.
    pub who: String,
    /// What: `lease.released`.
    pub action: String,
    /// On which entity: `L-88`.
    pub entity: String,
    /// In words.
    pub details: String,
}
