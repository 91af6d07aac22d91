//! One process as `/proc/<pid>/stat` shows it.

use std::fs::File;
use std::io::{self, Read};

use wharf_model::shim::ProcessRef;

/// More than a stat line has: 52 numbers and a short name.
const LINE_MAX_BYTES: usize = 2048;

/// What the kernel says about one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcStat {
    /// Number and start time.
    pub id: ProcessRef,
    /// Command name, at most 15 bytes; bytes that are not UTF-8 are replaced.
    pub comm: String,
    /// State letter, such as `R`, `S`, `T` or `Z`.
    pub state: char,
    /// Parent.
    pub ppid: i32,
    /// Process group.
    pub pgid: i32,
    /// Session.
    pub sid: i32,
}

impl ProcStat {
    /// Whether it still runs code: neither a zombie nor being removed.
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// Reads one process; `None` when there is none with this number.
///
/// # Errors
/// What the kernel says, and [`io::ErrorKind::InvalidData`] for text that is no stat line.
pub fn read(pid: i32) -> io::Result<Option<ProcStat>> {
    // One read gives all of it; whoever looks at every process of the machine feels each call more.
    let mut line = [0; LINE_MAX_BYTES];
    let count = match File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut line)) {
        Ok(count) => count,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    parse(&line[..count]).map(Some).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat does not read as a process"))
    })
}

/// A process that ends while it is being read shows as a missing file or as ESRCH.
pub fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// Reads a stat line. The command name may hold blanks and brackets, so the fields are counted
/// from the last `)`.
pub fn parse(line: &[u8]) -> Option<ProcStat> {
    let open = line.iter().position(|&b| b == b'(')?;
    let close = line.iter().rposition(|&b| b == b')')?;
    let pid = std::str::from_utf8(line.get(..open)?).ok()?.trim().parse().ok()?;
    let comm = String::from_utf8_lossy(line.get(open + 1..close)?).into_owned();
    let mut fields = std::str::from_utf8(line.get(close + 1..)?).ok()?.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let ppid = fields.next()?.parse().ok()?;
    let pgid = fields.next()?.parse().ok()?;
    let sid = fields.next()?.parse().ok()?;
    // `sid` is field 6 of the line; the start time is field 22.
    let start_ticks = fields.nth(15)?.parse().ok()?;
    Some(ProcStat { id: ProcessRef { pid, start_ticks }, comm, state, ppid, pgid, sid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_table() {
        let tail = "S 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 200";
        let table: [(&str, String, Option<&str>); 6] = [
            ("plain", format!("42 (sleep) {tail}"), Some("sleep")),
            ("blanks and brackets", format!("42 (a) S (b ) 1) {tail}"), Some("a) S (b ) 1")),
            ("empty name", format!("42 () {tail}"), Some("")),
            ("cut short", "42 (sleep) S 7 8 9 0".to_owned(), None),
            ("no name", "42 S 7".to_owned(), None),
            ("nothing", String::new(), None),
        ];
        for (name, line, comm) in table {
            let got = parse(line.as_bytes());
            assert_eq!(got.as_ref().map(|p| p.comm.as_str()), comm, "{name}");
            if let Some(p) = got {
                let id = ProcessRef { pid: 42, start_ticks: 987_654 };
                assert_eq!((p.id, p.state, p.ppid, p.pgid, p.sid), (id, 'S', 7, 8, 9), "{name}");
            }
        }
    }

    #[test]
    fn this_process_is_found_and_a_missing_one_is_not() {
        let me = read(std::process::id() as i32).unwrap().unwrap();
        assert!(me.is_alive());
        assert_eq!(read(i32::MAX).unwrap(), None);
    }
}
