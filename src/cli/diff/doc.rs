//! The document of a comparison.

use serde::Serialize;

use crate::workspace::diff::{Content, FileChange, Listing};

/// A comparison in a document.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    schema: &'static str,
    title: &'a str,
    base: &'a str,
    base_commit: Option<&'a str>,
    end: &'a str,
    remarks: &'a [String],
    /// Every file that differs was listed and read.
    complete: bool,
    added: u64,
    removed: u64,
    files: Vec<FileDoc<'a>>,
}

/// A file in a document.
#[derive(Debug, Serialize)]
struct FileDoc<'a> {
    path: String,
    old_path: Option<String>,
    status: &'static str,
    content: &'static str,
    why: Option<&'a str>,
    untracked: bool,
    conflicted: bool,
    added: Option<u32>,
    removed: Option<u32>,
    old_mode: Option<String>,
    new_mode: Option<String>,
    old_id: Option<String>,
    new_id: Option<String>,
}

/// The document of what is shown of a comparison.
pub fn document<'a>(title: &'a str, listing: &'a Listing, files: &[&'a FileChange]) -> Document<'a> {
    let sum = |of: fn((u32, u32)) -> u32| files.iter().filter_map(|f| f.counts).map(|c| u64::from(of(c))).sum();
    Document {
        schema: "wharf.diff/1",
        title,
        base: &listing.base,
        base_commit: listing.base_commit.as_deref(),
        end: &listing.end,
        remarks: &listing.remarks,
        complete: !listing.incomplete,
        added: sum(|(added, _)| added),
        removed: sum(|(_, removed)| removed),
        files: files.iter().map(|f| file(f)).collect(),
    }
}

fn file(file: &FileChange) -> FileDoc<'_> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let unread = matches!(file.content, Content::Unread(_));
    FileDoc {
        path: text(file.path()),
        old_path: file.old_path().map(text),
        status: file.status.word(),
        content: file.content.word(),
        why: if let Content::Unread(why) = &file.content { Some(why) } else { None },
        untracked: file.untracked,
        conflicted: file.conflicted,
        added: file.counts.map(|(added, _)| added),
        removed: file.counts.map(|(_, removed)| removed),
        old_mode: file.old.as_ref().map(|s| format!("{:06o}", s.mode)),
        new_mode: file.new.as_ref().map(|s| format!("{:06o}", s.mode)),
        old_id: file.old.as_ref().map(|s| s.id.to_string()),
        new_id: file.new.as_ref().filter(|_| !unread).map(|s| s.id.to_string()),
    }
}
