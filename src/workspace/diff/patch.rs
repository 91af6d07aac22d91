//! The patch of each file, as git prints it.

use std::path::Path;

use git2::{Diff, Patch};

use super::files::{Content, FileChange};
use crate::workspace::WorkspaceError;

/// A binary file of which only mode or name has changed has no line about its content: git refuses such a patch, and
/// libgit2 prints one.
fn without_binary_line(text: &[u8]) -> &[u8] {
    const LINE: &[u8] = b"\nBinary files ";
    text.windows(LINE.len()).position(|part| part == LINE).map_or(text, |at| &text[..=at])
}

/// Gives each file's part to the sink. What was not read has none.
pub(super) fn print<E>(
    directory: &Path,
    diff: &Diff<'_>,
    files: &[FileChange],
    order: &[usize],
    wanted: &impl Fn(&FileChange) -> bool,
    sink: &mut impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<Result<(), E>, WorkspaceError> {
    for (i, file) in order.iter().copied().zip(files) {
        if matches!(file.content, Content::Unread(_)) || !wanted(file) {
            continue;
        }
        let made = Patch::from_diff(diff, i).map_err(WorkspaceError::git("compare a file", directory))?;
        let Some(mut patch) = made else { continue };
        let text = patch.to_buf().map_err(WorkspaceError::git("print a patch", directory))?;
        let same = diff.get_delta(i).is_some_and(|d| d.old_file().id() == d.new_file().id());
        let text = if same { without_binary_line(&text) } else { &text };
        if let Err(error) = sink(text) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}
