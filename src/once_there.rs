//! Opening the store that another process is just making: its lock is held before its file can be read.

use std::time::{Duration, Instant};

use wharf_store::StoreError;

/// How long a store that is not there yet is waited for.
const LIMIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(10);

/// Opens something of the store, waiting a bounded time for a store that is just being made.
///
/// # Errors
/// Those of `open`; that there is none only once the time is over.
pub fn once_there<T>(mut open: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let until = Instant::now() + LIMIT;
    loop {
        match open() {
            Err(StoreError::Missing { .. } | StoreError::Older { .. }) if Instant::now() < until => {
                std::thread::sleep(LOOK);
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_comes_is_waited_for_and_another_error_is_told_at_once() {
        let mut looks = 0;
        let missing = || StoreError::Missing { path: "wharf.db".into() };
        let came = once_there(|| {
            looks += 1;
            if looks < 4 { Err(missing()) } else { Ok(looks) }
        });
        assert_eq!(came.unwrap(), 4);
        let mut looks = 0;
        let refused = once_there::<()>(|| {
            looks += 1;
            Err(StoreError::Refused { path: "wharf.db".into(), cause: "no".into() })
        });
        assert!(matches!(refused, Err(StoreError::Refused { .. })) && looks == 1);
    }
}
