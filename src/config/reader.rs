//! Reads the tables of a config file key by key, remembers where each value stood, and collects
//! what is wrong instead of ending at the first slip.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use wharf_model::words;

use super::not_yet::{instead, is_absent, not_yet};
use super::problem::{Problem, shortened};
use super::text;

/// Most problems kept of one file; the rest is a consequence of a file that is wrong as a whole.
const PROBLEMS_MAX: usize = 200;

words! {
    /// Where a value in force comes from; a later layer overrides an earlier one.
    pub enum Layer { Default = "default", User = "user", Project = "project", CommandLine = "command_line" }
}

/// The place a value in force was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Layer.
    pub layer: Layer,
    /// File as it is named to people; empty for defaults.
    pub file: String,
    /// Line, from 1; 0 for defaults.
    pub line: usize,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.layer {
            Layer::Default => f.write_str("default"),
            Layer::CommandLine => f.write_str("command line"),
            Layer::User | Layer::Project => write!(f, "{}:{}", self.file, self.line),
        }
    }
}

/// Where each value that was written somewhere stood, by its place (`agent.fixer.timeout`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(pub(super) BTreeMap<String, Origin>);

impl Origins {
    /// Where a value comes from: its own line, else the line of the table or list around it, else
    /// the defaults of the program. A key nobody wrote inside a written table is a default.
    pub fn where_from(&self, key: &str) -> Origin {
        let default = || Origin { layer: Layer::Default, file: String::new(), line: 0 };
        if let Some(own) = self.0.get(key) {
            return own.clone();
        }
        // A value that was written as one thing is shown in parts: `port.auto.env`.
        let mut place = key;
        while let Some((parent, _)) = place.rsplit_once('.') {
            match self.0.get(parent) {
                Some(origin) if !self.is_table(parent) => return origin.clone(),
                _ => place = parent,
            }
        }
        default()
    }

    fn is_table(&self, place: &str) -> bool {
        let prefix = format!("{place}.");
        self.0.range(prefix.clone()..).next().is_some_and(|(key, _)| key.starts_with(&prefix))
    }

    /// Takes over what a later layer wrote.
    pub(super) fn override_with(&mut self, later: Self) {
        self.0.extend(later.0);
    }
}

/// What sort of slip a problem is; missing things and references are no news in a file whose
/// syntax is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slip {
    Syntax,
    Value,
    Consequence,
}

/// One file that is being read.
pub(super) struct Reader<'t> {
    file: String,
    text: &'t str,
    layer: Layer,
    breaks: Vec<usize>,
    slips: Vec<(Slip, Problem)>,
    /// Where values stood.
    pub origins: Origins,
}

/// One table of a file: its keys are taken one by one, and what is left over is unknown.
pub(super) struct Section<'d, 't> {
    table: &'d DeTable<'t>,
    span: Range<usize>,
    kind: &'static str,
    /// Place of the table: `agent.fixer`.
    pub path: String,
    asked: Vec<&'static str>,
}

/// A value with the place where it stands.
pub(super) type Value<'d, 't> = &'d Spanned<DeValue<'t>>;

impl<'t> Reader<'t> {
    pub fn new(file: &str, text: &'t str, layer: Layer) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at).collect();
        Self { file: file.to_owned(), text, layer, breaks, slips: Vec::new(), origins: Origins::default() }
    }

    /// Parses the text; what the syntax makes unreadable is a problem, the rest is in the table.
    pub fn parse(&mut self) -> Spanned<DeTable<'t>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let span = error.span().unwrap_or(self.text.len()..self.text.len());
            let (what, expected) = error.message().split_once(", expected ").unwrap_or((error.message(), ""));
            let (message, expected) = match what {
                "duplicate key" => (
                    format!("{} is given twice", self.shown(&span)),
                    "expected once; remove this line or the other".to_owned(),
                ),
                _ if expected.is_empty() => (format!("this is not TOML: {what}"), String::new()),
                _ => (format!("this is not TOML: {what}"), format!("expected {expected}")),
            };
            self.note(Slip::Syntax, span, message, expected);
        }
        table
    }

    /// All problems in the order of the lines, and where the values stood.
    pub fn finish(self) -> (Vec<Problem>, Origins) {
        let is_broken = self.slips.iter().any(|(slip, _)| *slip == Slip::Syntax);
        let mut problems: Vec<Problem> = self
            .slips
            .into_iter()
            .filter(|(slip, _)| !is_broken || *slip != Slip::Consequence)
            .map(|(_, problem)| problem)
            .collect();
        problems.sort_by_key(|problem| (problem.line, problem.mark.start));
        (problems, self.origins)
    }

    fn note(&mut self, slip: Slip, span: Range<usize>, message: impl Into<String>, expected: impl Into<String>) {
        if self.slips.len() < PROBLEMS_MAX {
            let problem = Problem::new(&self.file, self.text, span, message, expected);
            self.slips.push((slip, problem));
        }
    }

    /// Reports a wrong value at a place.
    pub fn wrong(&mut self, span: Range<usize>, message: impl Into<String>, expected: impl Into<String>) {
        self.note(Slip::Value, span, message, expected);
    }

    /// Reports something that has to be there and is not.
    pub fn missing(&mut self, span: Range<usize>, message: impl Into<String>, expected: impl Into<String>) {
        self.note(Slip::Consequence, span, message, expected);
    }

    /// Reports a wrong value that may be a secret: the place is marked, what stands there is not shown.
    pub fn wrong_hidden(&mut self, span: Range<usize>, message: impl Into<String>, expected: impl Into<String>) {
        let kept = self.slips.len();
        self.note(Slip::Value, span, message, expected);
        if let Some((_, problem)) = self.slips.get_mut(kept) {
            problem.hide();
        }
    }

    /// Reports a name that nothing has, with a guess.
    pub fn dangling<'k>(
        &mut self,
        span: Range<usize>,
        message: String,
        name: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) {
        let known: Vec<&str> = known.into_iter().collect();
        let expected = match text::meant(name, known.iter().copied()) {
            Some(guess) => format!("did you mean {guess:?}?"),
            None if known.is_empty() => "none is defined in this file".to_owned(),
            None => format!("expected {}", listed(&known)),
        };
        self.note(Slip::Consequence, span, message, expected);
    }

    /// The source of a place, on one line and not too long.
    pub fn shown(&self, span: &Range<usize>) -> String {
        let text = self.text.get(span.clone()).unwrap_or_default();
        shortened(text.lines().next().unwrap_or_default(), 60)
    }

    fn line(&self, at: usize) -> usize {
        self.breaks.partition_point(|newline| *newline < at) + 1
    }

    /// Remembers where a value stood.
    pub fn remember(&mut self, path: String, at: usize) {
        let origin = Origin { layer: self.layer, file: self.file.clone(), line: self.line(at) };
        self.origins.0.insert(path, origin);
    }

    /// Takes a key of a section, with the place of the key itself.
    pub fn take<'d>(&mut self, section: &mut Section<'d, 't>, key: &'static str) -> Option<Value<'d, 't>> {
        section.asked.push(key);
        let (name, value) = section.table.iter().find(|(name, _)| name.get_ref() == key)?;
        self.remember(section.place(key), name.span().start);
        Some(value)
    }

    /// Takes a key that the section cannot do without.
    pub fn need<'d>(
        &mut self,
        section: &mut Section<'d, 't>,
        key: &'static str,
        expected: &str,
    ) -> Option<Value<'d, 't>> {
        let value = self.take(section, key);
        if value.is_none() {
            let message = format!("{} has no {key}", section.title());
            self.note(Slip::Consequence, section.span.clone(), message, format!("expected a line {key} = {expected}"));
        }
        value
    }

    /// Reports a value of the right type that this version does nothing with.
    pub fn check_not_yet(&mut self, section: &Section<'_, 't>, key: &str, value: Value<'_, 't>) {
        if let Some(what) = not_yet(section.kind, key, value.get_ref()) {
            let message = format!("{key}: {what} is not yet part of this version");
            let expected = match instead(section.kind, key) {
                Some(words) => format!("this version has {words}"),
                None => "remove it for now".to_owned(),
            };
            self.wrong(value.span(), message, expected);
        }
    }

    /// Reports that `key = value` is not what was expected.
    pub fn mistyped(&mut self, key: &str, value: Value<'_, 't>, what: &str, expected: &str) {
        let shown = self.shown(&value.span());
        // What cannot be seen must be named.
        let nul = value.get_ref().as_str().is_some_and(|text| text.contains('\0'));
        let nul = if nul { "; it holds a NUL character, which no program can be given" } else { "" };
        self.wrong(value.span(), format!("{key} = {shown} is not {what}{nul}"), format!("expected {expected}"));
    }

    /// A table inside a section; `kind` is its name among the keys that are not yet there.
    pub fn table<'d>(
        &mut self,
        section: &mut Section<'d, 't>,
        key: &'static str,
        kind: &'static str,
    ) -> Option<Section<'d, 't>> {
        let value = self.take(section, key)?;
        self.check_not_yet(section, key, value);
        let path = section.place(key);
        self.as_table(key, value, kind, path)
    }

    /// A value as a table.
    pub fn as_table<'d>(
        &mut self,
        key: &str,
        value: Value<'d, 't>,
        kind: &'static str,
        path: String,
    ) -> Option<Section<'d, 't>> {
        let DeValue::Table(table) = value.get_ref() else {
            let expected = if key == path { format!("a line [{key}] with keys below it") } else { "{ … }".into() };
            self.mistyped(key, value, "a table", &expected);
            return None;
        };
        Some(Section { table, span: value.span(), kind, path, asked: Vec::new() })
    }

    /// The tables of `[[key]]`, each with its unique name.
    pub fn named_tables<'d>(
        &mut self,
        root: &mut Section<'d, 't>,
        key: &'static str,
    ) -> Vec<(String, Section<'d, 't>)> {
        let Some(value) = self.take(root, key) else { return Vec::new() };
        self.origins.0.remove(key);
        if is_absent("", key) {
            self.check_not_yet(root, key, value);
        }
        let DeValue::Array(items) = value.get_ref() else {
            self.mistyped(key, value, "a list of tables", &format!("a line [[{key}]] with two brackets on each side"));
            return Vec::new();
        };
        let mut found: Vec<(String, Section<'d, 't>)> = Vec::new();
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        for item in items {
            let DeValue::Table(table) = item.get_ref() else {
                self.mistyped(key, item, "a table", &format!("a line [[{key}]] with keys below it"));
                continue;
            };
            let mut section = Section { table, span: item.span(), kind: key, path: key.to_owned(), asked: Vec::new() };
            let name = self.need(&mut section, "name", "\"…\"").and_then(|value| {
                let text = value.get_ref().as_str().filter(|text| text::is_name(text));
                if text.is_none() {
                    self.mistyped("name", value, "a name", "1 to 64 letters, digits, \"-\", \"_\" or \".\"");
                }
                text.map(|text| (text.to_owned(), value.span()))
            });
            self.origins.0.remove(&section.place("name"));
            // A nameless table is read all the same, so that its other slips are shown too.
            let name = match name {
                Some((name, span)) => {
                    if let Some(first) = lines.get(&name) {
                        let message = format!("a second {key} is called {name:?}");
                        self.wrong(span, message, format!("expected another name; the first is at line {first}"));
                    } else {
                        lines.insert(name.clone(), self.line(span.start));
                    }
                    name
                }
                None => String::new(),
            };
            section.path = place_in(key, &name);
            self.remember(section.path.clone(), section.span.start);
            found.push((name, section));
        }
        found
    }

    /// Takes a value through a conversion; `what` completes "is not …", `expected` "expected …".
    pub fn read<'d, T>(
        &mut self,
        section: &mut Section<'d, 't>,
        key: &'static str,
        what: &str,
        expected: &str,
        convert: impl FnOnce(&DeValue<'t>) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(section, key)?;
        self.convert(section, key, value, what, expected, convert)
    }

    /// Converts a value that was taken.
    pub fn convert<T>(
        &mut self,
        section: &Section<'_, 't>,
        key: &str,
        value: Value<'_, 't>,
        what: &str,
        expected: &str,
        convert: impl FnOnce(&DeValue<'t>) -> Option<T>,
    ) -> Option<T> {
        let converted = convert(value.get_ref());
        match converted {
            Some(_) => self.check_not_yet(section, key, value),
            None => self.mistyped(key, value, what, expected),
        }
        converted
    }

    /// A text that is not empty and holds no NUL.
    pub fn string(&mut self, section: &mut Section<'_, 't>, key: &'static str) -> Option<String> {
        self.read(section, key, "a text", "a text in quotes, not empty", filled)
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, section: &mut Section<'_, 't>, key: &'static str) -> Option<bool> {
        self.read(section, key, "true or false", "true or false, without quotes", DeValue::as_bool)
    }

    /// A whole number in a range.
    pub fn number(&mut self, section: &mut Section<'_, 't>, key: &'static str, low: u64, high: u64) -> Option<u64> {
        let expected = format!("a whole number from {low} to {high}, without quotes");
        self.read(section, key, "a number in range", &expected, |value| {
            integer(value).filter(|n| (low..=high).contains(n))
        })
    }

    /// A duration in milliseconds.
    pub fn duration(&mut self, section: &mut Section<'_, 't>, key: &'static str) -> Option<u64> {
        let value = self.take(section, key)?;
        let expected = lasting(value, "a number with s, m, h or d, as in \"5m\"");
        self.convert(section, key, value, "a duration", expected, |value| value.as_str().and_then(text::duration))
    }

    /// A duration that must last.
    pub fn positive(&mut self, section: &mut Section<'_, 't>, key: &'static str) -> Option<u64> {
        let value = self.take(section, key)?;
        let expected = lasting(value, "a number above 0 with s, m, h or d, as in \"5m\"");
        self.convert(section, key, value, "a duration above 0", expected, |value| {
            value.as_str().and_then(text::duration).filter(|ms| *ms > 0)
        })
    }

    /// Sets a duration for which `0s` means none; leaves it as it is when the key is not there.
    pub fn limit(&mut self, section: &mut Section<'_, 't>, key: &'static str, limit: &mut Option<u64>) {
        if let Some(ms) = self.duration(section, key) {
            *limit = (ms > 0).then_some(ms);
        }
    }

    /// A size in bytes, above 0.
    pub fn size(&mut self, section: &mut Section<'_, 't>, key: &'static str) -> Option<u64> {
        let expected = "a number with KiB, MiB or GiB, as in \"64MiB\"";
        self.read(section, key, "a size", expected, |value| {
            value.as_str().and_then(text::size).filter(|bytes| *bytes > 0)
        })
    }

    /// One word of a closed set.
    pub fn word<T: Copy>(
        &mut self,
        section: &mut Section<'_, 't>,
        key: &'static str,
        all: &[T],
        show: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let value = self.take(section, key)?;
        let words: Vec<&str> = all.iter().map(|word| show(*word)).collect();
        let given = value.get_ref().as_str();
        let expected = match given.and_then(|given| text::meant(given, words.iter().copied())) {
            Some(guess) => format!("{}; did you mean {guess:?}?", listed(&words)),
            None => listed(&words),
        };
        self.convert(section, key, value, "a word known here", &expected, |value| {
            all.iter().copied().find(|word| value.as_str() == Some(show(*word)))
        })
    }

    /// A list of texts.
    pub fn strings(&mut self, section: &mut Section<'_, 't>, key: &'static str) -> Option<Vec<String>> {
        self.read(section, key, "a list of texts", "texts in brackets, as in [\"a\", \"b\"]", strings)
    }

    /// Reports every key that nobody asked for.
    pub fn close(&mut self, section: Section<'_, 't>) {
        for (name, _) in section.table {
            let key = name.get_ref().as_ref();
            if section.asked.contains(&key) {
                continue;
            }
            let known = section.asked.iter().copied().filter(|known| !is_absent(section.kind, known));
            let known: Vec<&str> = known.collect();
            let shown = shortened(key, 60);
            let message = format!("{} has no key {shown:?}", section.title());
            let expected = match text::meant(key, known.iter().copied()) {
                Some(guess) => format!("did you mean {guess}?"),
                None if known.is_empty() => "no key is known here".to_owned(),
                None => format!("known are {}", known.join(", ")),
            };
            // Below a broken head of a table, its keys fall to the table before or to the file itself.
            let slip = if section.path.is_empty() { Slip::Consequence } else { Slip::Value };
            self.note(slip, name.span(), message, expected);
        }
    }
}

impl<'d, 't> Section<'d, 't> {
    /// The top of a file as a section.
    pub fn root(table: &'d Spanned<DeTable<'t>>) -> Self {
        Self { table: table.get_ref(), span: 0..0, kind: "", path: String::new(), asked: Vec::new() }
    }

    /// Leaves a known key to whoever else reads the same text.
    pub fn pass_over(&mut self, key: &'static str) {
        self.asked.push(key);
    }

    /// The place of one of its keys.
    pub fn place(&self, key: &str) -> String {
        place_in(&self.path, key)
    }

    /// Where it stands in the text.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The value of a key, without taking it.
    pub fn value(&self, key: &str) -> Option<Value<'d, 't>> {
        self.table.iter().find_map(|(name, value)| (name.get_ref() == key).then_some(value))
    }

    /// Whether it has a key, without taking it.
    pub fn has(&self, key: &str) -> bool {
        self.table.iter().any(|(name, _)| name.get_ref() == key)
    }

    /// Every entry, for tables whose keys are names; none of them is left over then.
    pub fn entries(self) -> impl Iterator<Item = (&'d Spanned<std::borrow::Cow<'t, str>>, Value<'d, 't>)> {
        self.table.iter()
    }

    fn title(&self) -> String {
        if self.path.is_empty() { "the file".to_owned() } else { format!("[{}]", self.path) }
    }
}

/// What is expected of a duration: that it ends one day, where it is one that does not.
fn lasting(value: Value<'_, '_>, expected: &'static str) -> &'static str {
    let is_too_long = value.get_ref().as_str().is_some_and(text::is_too_long);
    if is_too_long { "at most \"36500d\", which are a hundred years" } else { expected }
}

/// The place of a key; keys that are no plain words are quoted.
pub(super) fn place_in(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let key = if plain { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// Words as in `"a", "b" or "c"`.
pub(super) fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// A text that is not empty and that a process could be given.
pub(super) fn filled(value: &DeValue<'_>) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty() && !text.contains('\0')).map(str::to_owned)
}

/// A list of texts that a process could be given.
pub(super) fn strings(value: &DeValue<'_>) -> Option<Vec<String>> {
    let items = value.as_array()?;
    items.iter().map(|item| item.get_ref().as_str().filter(|text| !text.contains('\0')).map(str::to_owned)).collect()
}

/// A whole number that is not negative.
pub(super) fn integer(value: &DeValue<'_>) -> Option<u64> {
    let integer = value.as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}
