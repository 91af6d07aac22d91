//! What libgit2 is told once, before it opens anything.

use std::sync::Once;

/// Makes libgit2 open partial clones: it then says of each object that is not there that it is not there, and fetches
/// nothing. Whoever opens a repository calls this first, so no other thread reads the list while it is written.
pub fn ready() {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        #[expect(unsafe_code, reason = "libgit2 keeps its list of extensions in a static variable")]
        // SAFETY: once, and before any repository is opened: every way to open one begins here.
        let told = unsafe { git2::opts::set_extensions(&["partialclone"]) };
        // Refused, such a repository is refused as well, and that is said where it is opened.
        drop(told);
    });
}
