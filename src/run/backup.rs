//! Copying the store for somebody who asked for it, beside everything else.

use std::path::Path;

use wharf_model::ActionId;

use crate::dispatch::input::Fact;

/// Makes the copy; doing it again makes another one, or the same file anew.
pub fn backup(data: &Path, action: ActionId, to: Option<&Path>) -> Fact {
    match wharf_store::backup(data, to) {
        Ok(made) => Fact::StoreBackedUp {
            action,
            path: made.path.display().to_string(),
            bytes: i64::try_from(made.bytes).unwrap_or(i64::MAX),
        },
        Err(error) => Fact::StoreNotBackedUp { action, code: error.code().to_owned(), message: error.to_string() },
    }
}
