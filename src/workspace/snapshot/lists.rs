//! What a tree cannot hold, in lists beside it: paths are bytes and end with a zero.

use git2::{IndexEntry, IndexTime};

use crate::workspace::opening;

/// Adds one line.
fn line(out: &mut Vec<u8>, head: &str, path: &[u8]) {
    out.extend_from_slice(head.as_bytes());
    if !head.is_empty() {
        out.push(b'\t');
    }
    out.extend_from_slice(path);
    out.push(0);
}

fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|b| *b == 0).filter(|l| !l.is_empty())
}

/// Splits a line into the words before its path, and the path.
fn split(line: &[u8]) -> Option<(Vec<&str>, &[u8])> {
    let tab = line.iter().position(|b| *b == b'\t')?;
    Some((std::str::from_utf8(&line[..tab]).ok()?.split(' ').collect(), &line[tab + 1..]))
}

/// The index: mode, object, flags and extended flags of each entry, conflicts included.
pub(super) fn write_index<'a>(entries: impl Iterator<Item = &'a IndexEntry>) -> Vec<u8> {
    let mut out = Vec::new();
    for e in entries {
        line(&mut out, &format!("{:o} {} {:x} {:x}", e.mode, e.id, e.flags, e.flags_extended), &e.path);
    }
    out
}

/// Reads it back; times and sizes are unknown. None when it is damaged.
pub(crate) fn read_index(data: &[u8]) -> Option<Vec<IndexEntry>> {
    let entry = |line: &[u8]| {
        let (words, path) = split(line)?;
        let [mode, id, flags, extended] = words[..] else { return None };
        Some(IndexEntry {
            ctime: IndexTime::new(0, 0),
            mtime: IndexTime::new(0, 0),
            dev: 0,
            ino: 0,
            mode: u32::from_str_radix(mode, 8).ok()?,
            uid: 0,
            gid: 0,
            file_size: 0,
            id: opening::id(id).ok()?,
            flags: u16::from_str_radix(flags, 16).ok()?,
            flags_extended: u16::from_str_radix(extended, 16).ok()?,
            path: path.to_vec(),
        })
    };
    lines(data).map(entry).collect()
}

/// Modes that git does not keep: `600` and the path.
pub(super) fn write_modes<'a>(modes: impl Iterator<Item = (&'a [u8], u32)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (path, mode) in modes {
        line(&mut out, &format!("{mode:o}"), path);
    }
    out
}

/// Reads them back.
pub(crate) fn read_modes(data: &[u8]) -> Option<Vec<(Vec<u8>, u32)>> {
    let mode = |line: &[u8]| {
        let (words, path) = split(line)?;
        Some((path.to_vec(), u32::from_str_radix(words.first()?, 8).ok()? & 0o7777))
    };
    lines(data).map(mode).collect()
}

/// Paths alone.
pub(super) fn write_paths<'a>(paths: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for path in paths {
        line(&mut out, "", path);
    }
    out
}

/// Reads them back.
pub(crate) fn read_paths(data: &[u8]) -> Vec<Vec<u8>> {
    lines(data).map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_back_with_any_name() {
        let names: [&[u8]; 3] = [b"a b\tc\nd", b"\xff\xfe", b"dir/x"];
        let paths = write_paths(names.into_iter());
        assert_eq!(read_paths(&paths), names);
        let modes = write_modes(names.into_iter().map(|n| (n, 0o4600)));
        assert_eq!(read_modes(&modes).unwrap()[0], (names[0].to_vec(), 0o4600));
        let mut entry = read_index(b"100644 0123456789012345678901234567890123456789 2003 4000\ta\tb\0").unwrap();
        assert_eq!((entry[0].mode, entry[0].flags, entry[0].flags_extended), (0o100_644, 0x2003, 0x4000));
        assert_eq!(entry[0].path, b"a\tb");
        entry[0].path = names[1].to_vec();
        let written = write_index(entry.iter());
        assert_eq!(read_index(&written).unwrap()[0].path, names[1]);
        assert!(read_index(b"nonsense\0").is_none());
    }
}
