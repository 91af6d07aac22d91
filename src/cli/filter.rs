//! Filters of lists: the words of the command line, and whether a row passes.

use wharf_model::UnixMillis;
pub use wharf_model::filter::Test;
use wharf_model::filter::{Field, Filter, Status, glob};

use super::context::Context;
use super::error::{CliError, Result, exit};
use crate::clock;

/// What a list can be asked for.
pub struct Knows {
    /// What its rows are called.
    pub rows: &'static str,
    /// States it has rows for.
    pub statuses: &'static [Status],
    /// Fields that its rows have.
    pub fields: &'static [Field],
    /// Whether its rows have exit codes and durations.
    pub figures: bool,
}

impl Knows {
    /// The end of a list's help: what it can be asked for, and an example.
    pub fn help(&self, example: &str) -> String {
        let mut out = String::from("Filter:\n");
        if !self.statuses.is_empty() {
            out.push_str(&format!("  status: {}\n", self.status_words()));
        }
        let words = self.field_words();
        out.push_str(&format!("  fields: {words}\n"));
        out.push_str("  field:a,b is either, field:a* begins so, -field:a is none such (after a --);\n");
        out.push_str(
            "  since and until take 2h, 3d, today, 12:04, 2026-11-20; other words are looked for in the rows\n\n",
        );
        out + &format!("Example:\n  {example}")
    }

    fn status_words(&self) -> String {
        self.statuses.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn field_words(&self) -> String {
        let status = (!self.statuses.is_empty()).then_some("status");
        let figures: &[&str] = if self.figures { &["exit", "took"] } else { &[] };
        let fields = self.fields.iter().map(|f| word(*f));
        status
            .into_iter()
            .chain(fields)
            .chain(["since", "until"])
            .chain(figures.iter().copied())
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// A field as it is written.
const fn word(field: Field) -> &'static str {
    match field {
        Field::Agent => "agent",
        Field::Issue => "issue",
        Field::Environment => "env",
        Field::Run => "run",
        Field::Lease => "lease",
        Field::Workspace => "workspace",
        Field::Service => "service",
        Field::By => "by",
        Field::Kind => "kind",
        Field::Error => "error",
        Field::Health => "health",
    }
}

/// What a filter asks of a row.
pub trait Row {
    /// Whether it is in this state.
    fn is(&self, status: Status) -> bool;
    /// Its values of a field.
    fn field(&self, field: Field) -> Vec<String>;
    /// When it began.
    fn began(&self) -> UnixMillis;
    /// How long it took.
    fn took(&self, _now: UnixMillis) -> Option<i64> {
        None
    }
    /// Its exit code.
    fn exit(&self) -> Option<i32> {
        None
    }
    /// The words that a text is looked for in.
    fn words(&self) -> Vec<String>;
}

/// A filter made ready for one list at one moment.
pub struct Ready {
    filter: Filter,
    now: UnixMillis,
    east: i32,
}

/// Reads the filter from the words of a command line.
///
/// A word with blanks and without a colon was quoted for the shell: it is one text.
pub fn read(context: &Context, words: &[String], knows: &Knows) -> Result<Ready> {
    let joined: Vec<String> = words
        .iter()
        .map(|w| {
            let quote = w.contains(char::is_whitespace) && !w.contains([':', '"']);
            if quote { format!("\"{w}\"") } else { w.clone() }
        })
        .collect();
    let text = joined.join(" ");
    let filter = Filter::parse(&text).map_err(|e| wrong(knows, &text, e.at, e.len, &e.reason))?;
    for term in &filter.terms {
        let refuse = |what: String, known: String| {
            let error = CliError::usage(format!("{} {what}", knows.rows));
            let error = if known.is_empty() { error } else { error.cause(format!("known are {known}")) };
            Err(error.next(format!("wharf {} --help", knows.rows)))
        };
        match &term.test {
            Test::Status(wanted) => {
                if let Some(word) = wanted.iter().find(|w| !knows.statuses.contains(w)) {
                    return refuse(format!("are never {word}"), knows.status_words());
                }
            }
            Test::Field(field, _) if !knows.fields.contains(field) => {
                return refuse(format!("have no {}", word(*field)), knows.field_words());
            }
            Test::Took(..) | Test::Exit(_) if !knows.figures => {
                return refuse("have neither exit codes nor durations".into(), String::new());
            }
            Test::Cost(..) => return refuse("have no cost that wharf knows of".into(), String::new()),
            Test::Field(..) | Test::Took(..) | Test::Exit(_) | Test::Since(_) | Test::Until(_) | Test::Text(_) => {}
        }
    }
    Ok(Ready { filter, now: clock::now(), east: context.zone().east_seconds })
}

fn wrong(knows: &Knows, text: &str, at: usize, len: usize, reason: &str) -> CliError {
    // All words of all lists are known to the language; here only those that this list has are told.
    let reason = match reason.split_once("; known are ") {
        Some((what, _)) if what.ends_with("status") => format!("{what}; known are {}", knows.status_words()),
        Some((what, all)) => {
            let more = all.split_once(". ").map_or_else(String::new, |(_, more)| format!(". {more}"));
            format!("{what}; known are {}{more}", knows.field_words())
        }
        None => reason.to_owned(),
    };
    let next = format!("wharf {} --help", knows.rows);
    let before = crate::config::harmless(&text[..text.floor_char_boundary(at)]);
    let marks = "^".repeat(text.get(at..at + len).map_or(1, |t| t.chars().count()).max(1));
    let shown = crate::config::harmless(text);
    let lines = format!("error: {reason}\n   {shown}\n   {}{marks}\nnext:  {next}", " ".repeat(before.chars().count()));
    CliError::new(exit::USAGE, "filter_invalid", reason).text(lines).next(next)
}

impl Ready {
    /// Whether everything passes.
    pub fn is_empty(&self) -> bool {
        self.filter.is_empty()
    }

    /// As it was written.
    pub const fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The terms.
    pub fn terms(&self) -> impl Iterator<Item = (&Test, bool)> {
        self.filter.terms.iter().map(|t| (&t.test, t.exclude))
    }

    /// A moment of the filter.
    pub fn moment(&self, when: wharf_model::filter::When) -> UnixMillis {
        when.resolve(self.now, self.east)
    }

    /// Whether a row passes.
    pub fn passes(&self, row: &impl Row) -> bool {
        self.filter.terms.iter().all(|term| self.holds(&term.test, row) != term.exclude)
    }

    fn holds(&self, test: &Test, row: &impl Row) -> bool {
        match test {
            Test::Status(wanted) => wanted.iter().any(|w| row.is(*w)),
            Test::Field(field, wanted) => {
                let values = row.field(*field);
                wanted.iter().any(|w| values.iter().any(|v| glob(w, v)))
            }
            Test::Since(when) => row.began() >= self.moment(*when),
            Test::Until(when) => row.began() < self.moment(*when),
            Test::Took(compare, bound) => row.took(self.now).is_some_and(|ms| compare.holds(ms, *bound)),
            Test::Exit(codes) => row.exit().is_some_and(|code| codes.contains(&code)),
            Test::Cost(..) => false,
            Test::Text(text) => {
                let text = text.to_lowercase();
                row.words().iter().any(|w| w.to_lowercase().contains(&text))
            }
        }
    }
}
