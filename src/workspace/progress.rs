//! How far git is, from what it prints.

/// Files that were written, of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is counted.
    pub what: &'static str,
    /// Done.
    pub done: u64,
    /// Of these.
    pub of: u64,
}

/// Reads the last word of git's progress in the end of its error output; none when it says none.
pub fn last(text: &str) -> Option<Progress> {
    text.rsplit(['\r', '\n']).find_map(line)
}

fn line(line: &str) -> Option<Progress> {
    let (said, rest) = line.trim().split_once(':')?;
    let what = match said {
        "Updating files" | "Checking out files" => "files",
        "Receiving objects" => "objects",
        "Resolving deltas" => "deltas",
        _ => return None,
    };
    let (done, of) = rest.split_once('(')?.1.split_once(')')?.0.split_once('/')?;
    Some(Progress { what, done: done.trim().parse().ok()?, of: of.trim().parse().ok()? })
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} of {}", self.what, grouped(self.done), grouped(self.of))
    }
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts() {
        let table = [
            ("", None),
            ("Preparing worktree (new branch 'b')\n", None),
            ("Updating files:   0% (1/5000)\rUpdating files:  63% (31204/50118)\r", Some("files 31,204 of 50,118")),
            ("Updating files: 100% (5/5), done.\nHEAD is now at a1 x\n", Some("files 5 of 5")),
            ("Receiving objects:  12% (120/1000), 1.2 MiB | 3 MiB/s\r", Some("objects 120 of 1,000")),
            ("Updating files:  63% (31204/", None),
        ];
        for (text, words) in table {
            assert_eq!(last(text).map(|p| p.to_string()).as_deref(), words, "{text:?}");
        }
    }
}
