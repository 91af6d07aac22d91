//! What of a workspace lies in a trash until its time is over: the directory of its last archive, which its row names
//! in columns of its own, and everything else that is kept with it.

use serde::{Deserialize, Serialize};

use crate::{UnixMillis, WorkspaceRow};

/// Fewest characters by which one is named.
const NAME_MIN: usize = 6;

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrashKind {
    /// A whole directory, which can be brought back.
    Directory,
    /// What git had of a worktree whose directory was gone, with what only that reached.
    Entry,
}

impl TrashKind {
    /// As it stands in rows and documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Entry => "entry",
        }
    }
}

/// One thing in a trash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashItem {
    /// What it is.
    pub kind: TrashKind,
    /// Where it lies; its last part names it.
    pub place: String,
    /// Until when; none for ever.
    pub until: Option<UnixMillis>,
    /// Bytes of it, where they were counted.
    pub bytes: Option<i64>,
}

impl TrashItem {
    /// Its name: the last part of its place.
    pub fn name(&self) -> &str {
        self.place.rsplit('/').next().unwrap_or(&self.place)
    }

    /// Whether its time is over.
    pub fn is_due(&self, now: UnixMillis) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// All that is kept of a workspace, the directory of its last archive first, then the newest first.
pub fn items(row: &WorkspaceRow) -> Vec<TrashItem> {
    last(row).into_iter().chain(more(row).into_iter().rev()).collect()
}

/// The directory of its last archive.
fn last(row: &WorkspaceRow) -> Option<TrashItem> {
    Some(TrashItem {
        kind: TrashKind::Directory,
        place: row.trash_path.clone()?,
        until: row.trash_until,
        bytes: row.trash_bytes,
    })
}

/// Everything else, the oldest first.
fn more(row: &WorkspaceRow) -> Vec<TrashItem> {
    row.trash_more.as_ref().and_then(|more| serde_json::from_value(more.clone()).ok()).unwrap_or_default()
}

fn set_more(row: &mut WorkspaceRow, more: &[TrashItem]) {
    row.trash_more = (!more.is_empty()).then(|| serde_json::to_value(more).ok()).flatten();
}

/// Keeps one more thing; one at the same place is the same.
pub fn add(row: &mut WorkspaceRow, item: TrashItem) {
    let mut all = more(row);
    all.retain(|known| known.place != item.place);
    all.push(item);
    set_more(row, &all);
}

/// Nothing lies at a place any more.
pub fn forget(row: &mut WorkspaceRow, place: &str) {
    if row.trash_path.as_deref() == Some(place) {
        set_last(row, None);
    }
    let mut all = more(row);
    all.retain(|known| known.place != place);
    set_more(row, &all);
}

/// Each place that has another one now gets that; says whether one had.
pub fn relocate(row: &mut WorkspaceRow, now_at: impl Fn(&str) -> Option<String>) -> bool {
    let mut any = false;
    let mut follow = |place: &mut String| {
        if let Some(new) = now_at(place) {
            *place = new;
            any = true;
        }
    };
    if let Some(place) = &mut row.trash_path {
        follow(place);
    }
    let mut all = more(row);
    for item in &mut all {
        follow(&mut item.place);
    }
    set_more(row, &all);
    any
}

/// What the last archive left is that no more, and is kept for as long as it was to be.
pub fn set_aside(row: &mut WorkspaceRow) {
    if let Some(before) = last(row) {
        set_last(row, None);
        add(row, before);
    }
}

/// The directory of an archive that has just ended; that of an earlier one is kept beside it.
pub fn archived(row: &mut WorkspaceRow, item: Option<TrashItem>) {
    if row.trash_path.is_some() && row.trash_path.as_ref() != item.as_ref().map(|i| &i.place) {
        set_aside(row);
    }
    set_last(row, item);
}

fn set_last(row: &mut WorkspaceRow, item: Option<TrashItem>) {
    row.trash_until = item.as_ref().and_then(|i| i.until);
    row.trash_bytes = item.as_ref().and_then(|i| i.bytes);
    row.trash_path = item.map(|i| i.place);
}

/// The directory in a trash that a text names: all of its name, or six characters or more of its first or last part.
/// None where none is named, or more than one.
pub fn named(row: &WorkspaceRow, text: &str) -> Option<TrashItem> {
    let all = || items(row).into_iter().filter(|i| i.kind == TrashKind::Directory);
    if let Some(exact) = all().find(|i| i.name() == text) {
        return Some(exact);
    }
    let text = text.to_ascii_lowercase();
    let mut fits = all().filter(|i| {
        let part = i.name().starts_with(&text) || i.name().ends_with(&text);
        text.len() >= NAME_MIN && part
    });
    let first = fits.next()?;
    fits.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::super::test_rows::workspace;
    use super::*;

    fn item(place: &str) -> TrashItem {
        TrashItem { kind: TrashKind::Directory, place: place.into(), until: Some(UnixMillis(7)), bytes: Some(3) }
    }

    fn places(row: &WorkspaceRow) -> Vec<String> {
        items(row).into_iter().map(|i| i.place).collect()
    }

    #[test]
    fn nothing_in_a_trash_is_forgotten_before_it_is_gone() {
        let mut row = workspace();
        archived(&mut row, Some(item("/w/.trash/one")));
        archived(&mut row, Some(item("/w/.trash/one")));
        assert_eq!(places(&row), ["/w/.trash/one"], "told twice");
        // It came back from a snapshot, and was archived again.
        set_aside(&mut row);
        assert_eq!((row.trash_path.clone(), row.trash_until, row.trash_bytes), (None, None, None));
        archived(&mut row, Some(item("/w/.trash/two")));
        // As rows of before lists of them.
        archived(&mut row, Some(item("/w/.trash/three")));
        assert_eq!(places(&row), ["/w/.trash/three", "/w/.trash/two", "/w/.trash/one"]);
        // Archived while its directory was gone: what the trash has is older.
        archived(&mut row, None);
        add(&mut row, TrashItem { kind: TrashKind::Entry, ..item("/r/.git/wharf/trash/four") });
        assert_eq!(row.trash_path, None);
        assert_eq!(items(&row).len(), 4);
        assert!(items(&row).iter().all(|i| i.until == Some(UnixMillis(7)) && i.bytes == Some(3)));
        for place in places(&row) {
            forget(&mut row, &place);
        }
        assert_eq!((items(&row), row.trash_more.clone()), (Vec::new(), None));
    }

    #[test]
    fn one_is_named_by_a_part_of_its_name_that_no_other_has() {
        let mut row = workspace();
        archived(&mut row, Some(item("/w/.trash/0199aaaa-1111")));
        add(&mut row, item("/w/.trash/0199aaaa-2222"));
        add(&mut row, TrashItem { kind: TrashKind::Entry, ..item("/w/.trash/0199aaaa-3333") });
        let of = |text: &str| named(&row, text).map(|i| i.name().to_owned());
        assert_eq!(of("aa-1111").as_deref(), Some("0199aaaa-1111"));
        assert_eq!(of("0199AAAA-2222").as_deref(), Some("0199aaaa-2222"));
        for other in ["", "2222", "0199aaaa", "aa-3333", "aa-4444"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
