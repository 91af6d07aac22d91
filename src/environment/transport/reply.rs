//! What a script answered, and how it is read.

/// What a script answered.
#[derive(Debug)]
pub struct Reply {
    /// Its exit code.
    pub code: i32,
    /// What it said after [`super::script::BEGIN`].
    pub out: Vec<u8>,
    /// Standard error, of the prefix too.
    pub err: String,
}

impl Reply {
    /// Its output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    /// What its lines `name value` say of a name.
    pub fn value(&self, name: &str) -> Option<String> {
        self.text().lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned))
    }

    /// The line of its standard error that says why: git's first error, else the last that says something.
    pub fn complaint(&self) -> String {
        let error = self.err.lines().find(|line| line.starts_with("error: ")).map(str::to_owned);
        error.or_else(|| last_line(&self.err)).unwrap_or_else(|| format!("it ended with code {}", self.code))
    }

    /// Whether the disk there is full.
    pub fn is_disk_full(&self) -> bool {
        is_disk_full(&self.err)
    }
}

/// Whether these are the words for a disk without room.
fn is_disk_full(text: &str) -> bool {
    text.contains("No space left on device") || text.contains("Disk quota exceeded")
}

/// The last line of a text that says something.
pub fn last_line(text: &str) -> Option<String> {
    text.lines().rev().map(str::trim).find(|l| !l.is_empty()).map(str::to_owned)
}
