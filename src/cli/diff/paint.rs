//! Patches and figures as people see them on a terminal.

use std::io::{self, IsTerminal as _, Write};

use crate::cli::context::Context;
use crate::config::harmless;
use crate::workspace::diff::{Content, FileChange};

/// Cells of the bar beside a file's count.
const BAR: u32 = 40;

const BOLD: &str = "\x1b[1m";
const CYAN: &str = "\x1b[36m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[m";

/// How a patch is written.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    colour: bool,
    /// Somebody looks at it: what would steer the terminal does not.
    terminal: bool,
}

impl Paint {
    /// As stdout and the options want it.
    pub fn new(context: &Context) -> Self {
        Self { colour: context.colour(), terminal: io::stdout().is_terminal() }
    }

    /// Writes a part of a patch; to a file or another program byte for byte, unless colour is asked for.
    pub fn write(self, out: &mut impl Write, part: &[u8]) -> io::Result<()> {
        if !self.colour && !self.terminal {
            return out.write_all(part);
        }
        let mut body = false;
        for line in part.split_inclusive(|b| *b == b'\n') {
            if line.starts_with(b"diff --git ") {
                body = false;
            }
            let colour = match line.first() {
                Some(b'@') => Some(CYAN),
                Some(b'+') if body => Some(GREEN),
                Some(b'-') if body => Some(RED),
                _ if !body => Some(BOLD),
                _ => None,
            };
            body |= line.starts_with(b"@@") || line.starts_with(b"GIT binary patch");
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let colour = colour.filter(|_| self.colour);
            out.write_all(colour.unwrap_or_default().as_bytes())?;
            if self.terminal {
                let words = String::from_utf8_lossy(text);
                let safe: Vec<String> = words.split('\t').map(harmless).collect();
                out.write_all(safe.join("\t").as_bytes())?;
            } else {
                out.write_all(text)?;
            }
            if colour.is_some() {
                out.write_all(PLAIN.as_bytes())?;
            }
            out.write_all(&line[text.len()..])?;
        }
        Ok(())
    }
}

/// How much differs in which file, as `git diff --stat` has it.
pub fn stat(files: &[&FileChange], colour: bool) -> String {
    let name = |f: &FileChange| match f.old_path() {
        Some(old) => format!("{} => {}", quoted(old), quoted(f.path())),
        None => quoted(f.path()),
    };
    let names: Vec<String> = files.iter().map(|f| name(f)).collect();
    let widest = names.iter().map(|n| wharf_ui::text::width(n)).max().unwrap_or(0);
    let total = |f: &FileChange| f.counts.map_or(0, |(a, r)| a.saturating_add(r));
    let most = files.iter().map(|f| total(f)).max().unwrap_or(0);
    let figures = most.to_string().len().max(3);
    let mut out = String::new();
    let (mut added, mut removed) = (0u64, 0u64);
    for (file, name) in files.iter().zip(&names) {
        let name = wharf_ui::text::pad(name, widest);
        let Some((plus, minus)) = file.counts else {
            let what = match &file.content {
                Content::Unread(why) => why,
                content => content.word(),
            };
            out.push_str(&format!(" {name} | {what}\n"));
            continue;
        };
        added += u64::from(plus);
        removed += u64::from(minus);
        // At least one mark for what is there at all.
        let cells = |n: u32| match n {
            0 => 0,
            n if most <= BAR => n,
            n => (u64::from(n) * u64::from(BAR) / u64::from(most)).max(1) as u32,
        };
        let bar = |sign: &str, n: u32, ink: &str| match sign.repeat(cells(n) as usize) {
            bar if colour && !bar.is_empty() => format!("{ink}{bar}{PLAIN}"),
            bar => bar,
        };
        let bars = bar("+", plus, GREEN) + &bar("-", minus, RED);
        out.push_str(format!(" {name} | {:>figures$} {bars}", plus.saturating_add(minus)).trim_end());
        out.push('\n');
    }
    if !files.is_empty() {
        let s = |n: u64| if n == 1 { "" } else { "s" };
        let n = files.len() as u64;
        out.push_str(&format!(
            " {n} file{} changed, {added} insertion{}(+), {removed} deletion{}(-)\n",
            s(n),
            s(added),
            s(removed)
        ));
    }
    out
}

/// A path as git writes it: in quotes where it holds what would break a line or steer a terminal.
pub fn quoted(path: &[u8]) -> String {
    let plain =
        std::str::from_utf8(path).ok().filter(|p| !p.chars().any(|c| c.is_control() || matches!(c, '"' | '\\')));
    if let Some(plain) = plain {
        return harmless(plain);
    }
    let mut out = String::from("\"");
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                c if c.is_control() => c.to_string().bytes().for_each(|b| out.push_str(&format!("\\{b:03o}"))),
                c => out.push(c),
            }
        }
        chunk.invalid().iter().for_each(|b| out.push_str(&format!("\\{b:03o}")));
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_for_programs_is_not_touched_and_one_for_people_cannot_steer() {
        let part = b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\tb\n+\x1b[2J\xff\n";
        let written = |colour, terminal| {
            let mut out = Vec::new();
            Paint { colour, terminal }.write(&mut out, part).unwrap();
            out
        };
        assert_eq!(written(false, false), part);
        let painted = String::from_utf8_lossy(&written(true, false)).into_owned();
        assert!(painted.contains("\x1b[31m-a\tb\x1b[m\n") && painted.contains("\x1b[1m--- a/x\x1b[m\n"), "{painted:?}");
        let shown = String::from_utf8(written(false, true)).unwrap();
        assert!(!shown.contains('\x1b') && shown.contains("-a\tb\n"), "{shown:?}");
    }

    #[test]
    fn paths_are_quoted_as_git_does() {
        let table: [(&[u8], &str); 4] = [
            (b"src/a b.rs", "src/a b.rs"),
            ("grün".as_bytes(), "grün"),
            (b"new\nline\t\"", "\"new\\nline\\t\\\"\""),
            (b"g\xfct", "\"g\\374t\""),
        ];
        for (path, expected) in table {
            assert_eq!(quoted(path), expected);
        }
    }
}
