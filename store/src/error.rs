//! What can go wrong with a store, and what the operator can do about it.

use std::path::{Path, PathBuf};

/// A store that could not be opened, read or written. Messages name path, cause and way out.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no store here yet.
    #[error("{}: there is no store here; run wharf once to make one, or set WHARF_DATA_DIR to where it is", .path.display())]
    Missing {
        /// Data directory.
        path: PathBuf,
    },
    /// A newer program wrote the store.
    #[error("{}: the store has format {found}, this program reads up to {known}; use the newer wharf", .path.display())]
    Newer {
        /// File that says so.
        path: PathBuf,
        /// Format found.
        found: i64,
        /// Newest format this program knows.
        known: i64,
    },
    /// The store's schema is older than this program's, and only the orchestrator may raise it.
    #[error("{}: the store has format {found}, this program needs {known}; start wharf to raise it (a backup is made first)", .path.display())]
    Older {
        /// Database.
        path: PathBuf,
        /// Format found.
        found: i64,
        /// Format needed.
        known: i64,
    },
    /// What stands in the files is no store, or no longer one. Nothing was changed.
    #[error("{}: the store is damaged: {cause}; nothing was changed. `wharf doctor --repair` mends what can be mended, `wharf restore FILE` puts back a backup from {}", .path.display(), .path.with_file_name("backups").display())]
    Damaged {
        /// Damaged file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// Another connection held the store for too long.
    #[error("{}: another process holds the store ({cause}); try again, and look with `fuser` if it stays so", .path.display())]
    Locked {
        /// Database.
        path: PathBuf,
        /// What SQLite said.
        cause: String,
    },
    /// The store can be read, not written.
    #[error("{}: cannot be written ({cause}); make it writable for this user, or set WHARF_DATA_DIR to another directory", .path.display())]
    ReadOnly {
        /// File or directory.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The place is one wharf does not keep a store in.
    #[error("{}: {cause}", .path.display())]
    Refused {
        /// File or directory.
        path: PathBuf,
        /// Why, and what to do.
        cause: String,
    },
    /// No room.
    #[error("{}: no room (space or inodes) is left on the disk that holds the store; free some, then go on: nothing committed is lost", .path.display())]
    DiskFull {
        /// Database.
        path: PathBuf,
    },
    /// The disk refused a write, though it may have room: a quota, a limit, an error of the device.
    #[error("{}: the disk took no write ({cause}); nothing of it was kept, and it is tried again. Look at quotas, `ulimit -f`, and the kernel's log", .path.display())]
    NotWritten {
        /// Database.
        path: PathBuf,
        /// What SQLite said.
        cause: String,
    },
    /// What was written may not be on the disk. Nothing more is written or acknowledged before a new start.
    #[error("{}: the disk failed to keep what was written ({cause}); nothing more is written here. Look at the disk and the kernel's log, then start wharf again: it reads the whole store back before it writes", .path.display())]
    Suspect {
        /// Database.
        path: PathBuf,
        /// What failed.
        cause: String,
    },
    /// Another orchestrator reigns by now; this one must stop writing.
    #[error(
        "this process reigned in epoch {ours}, the store is in epoch {found}: another orchestrator took over, so this one writes no more"
    )]
    StaleEpoch {
        /// Epoch of this writer; 0 when it never began to reign.
        ours: i64,
        /// Epoch in the store.
        found: i64,
    },
    /// A key of idempotency was used before for something else.
    #[error("the idempotency key {key:?} was used for {number}, which asked for something else; use a new key")]
    IdempotencyConflict {
        /// The key.
        key: String,
        /// Number of the earlier request.
        number: String,
    },
    /// A read took longer than it may.
    #[error("{}: a read was stopped after {limit_ms} ms; ask for less", .path.display())]
    TooSlow {
        /// Database.
        path: PathBuf,
        /// Limit.
        limit_ms: u64,
    },
    /// The operating system refused something else.
    #[error("{}: {doing}: {source}", .path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// SQLite refused something that should have worked: a defect of ours.
    #[error("{}: {cause}", .path.display())]
    Internal {
        /// Database.
        path: PathBuf,
        /// What SQLite said.
        cause: String,
    },
}

impl StoreError {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "store_missing",
            Self::Newer { .. } => "store_newer",
            Self::Older { .. } => "store_older",
            Self::Damaged { .. } => "store_damaged",
            Self::Locked { .. } => "store_locked",
            Self::ReadOnly { .. } | Self::Suspect { .. } => "store_read_only",
            Self::Refused { .. } => "store_refused",
            Self::DiskFull { .. } | Self::NotWritten { .. } => "disk_full",
            Self::StaleEpoch { .. } => "stale_epoch",
            Self::IdempotencyConflict { .. } => "idempotency_conflict",
            Self::TooSlow { .. } | Self::Io { .. } | Self::Internal { .. } => "internal",
        }
    }

    /// Whether the very same write may succeed later: room may come back, another process may let go.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::NotWritten { .. } | Self::Locked { .. })
    }

    /// What the file system said while `doing` something with `path`, told apart by kind.
    pub fn io(path: &Path, doing: &'static str, source: std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        let path = path.to_owned();
        match source.kind() {
            K::StorageFull | K::QuotaExceeded | K::FileTooLarge => Self::DiskFull { path },
            K::PermissionDenied | K::ReadOnlyFilesystem => Self::ReadOnly { path, cause: format!("{doing}: {source}") },
            _ => Self::Io { path, doing, source },
        }
    }

    /// Sorts what SQLite said into what the operator can do.
    pub(crate) fn sqlite(path: &Path, error: rusqlite::Error) -> Self {
        use rusqlite::{ErrorCode as C, ffi};
        let path = path.to_owned();
        let cause = error.to_string();
        if matches!(error, rusqlite::Error::FromSqlConversionFailure(..)) {
            return Self::Damaged { path, cause };
        }
        if crate::suspect::is_lost_sync(&error) || crate::journal::take_lost() {
            return Self::Suspect { path, cause };
        }
        match error.sqlite_error().map(|e| e.extended_code) {
            Some(
                ffi::SQLITE_IOERR_WRITE
                | ffi::SQLITE_IOERR_TRUNCATE
                | ffi::SQLITE_IOERR_SHMSIZE
                | ffi::SQLITE_IOERR_SHMMAP,
            ) => return Self::NotWritten { path, cause },
            Some(ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_CORRUPTFS) => {
                return Self::Damaged { path, cause: format!("it cannot be read: {cause}") };
            }
            _ => {}
        }
        match error.sqlite_error_code() {
            Some(C::DiskFull) => Self::DiskFull { path },
            Some(C::DatabaseBusy | C::DatabaseLocked) => Self::Locked { path, cause },
            Some(C::ReadOnly | C::PermissionDenied | C::CannotOpen | C::AuthorizationForStatementDenied) => {
                Self::ReadOnly { path, cause }
            }
            Some(C::DatabaseCorrupt | C::NotADatabase) => Self::Damaged { path, cause },
            Some(C::OperationInterrupted) => Self::TooSlow { path, limit_ms: crate::open::READ_LIMIT_MS },
            _ => Self::Internal { path, cause },
        }
    }
}
