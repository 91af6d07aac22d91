//! A table of settings whose keys are a driver's own: as JSON, with the place of each value.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use wharf_model::config::driver::Invalid;
use wharf_model::config::secret::looks_secret;

use super::reader::{Layer, Reader, Section};
use super::{ConfigErrors, judged};

/// Where a value stands.
#[derive(Debug, Clone)]
struct Spot {
    key: Range<usize>,
    value: Range<usize>,
}

/// A table as JSON, with the place of each of its values in the text.
#[derive(Debug)]
pub(super) struct Settings {
    /// The table.
    pub table: Map<String, Value>,
    spots: BTreeMap<String, Spot>,
    whole: Range<usize>,
}

impl Settings {
    /// No settings, in a table that stands here.
    pub fn none(whole: Range<usize>) -> Self {
        Self { table: Map::new(), spots: BTreeMap::new(), whole }
    }

    /// Takes every key of a section. What JSON cannot hold is reported.
    pub fn take<'t>(reader: &mut Reader<'t>, section: Section<'_, 't>) -> Self {
        let mut all = Self::none(section.span());
        let place = section.path.clone();
        let mut table = Map::new();
        for (name, value) in section.entries() {
            all.entry(reader, &place, "", name, value, &mut table);
        }
        all.table = table;
        all
    }

    fn entry<'t>(
        &mut self,
        reader: &mut Reader<'t>,
        place: &str,
        path: &str,
        name: &Spanned<Cow<'t, str>>,
        value: &Spanned<DeValue<'t>>,
        table: &mut Map<String, Value>,
    ) {
        let key = name.get_ref().as_ref();
        let place = super::reader::place_in(place, key);
        reader.remember(place.clone(), name.span().start);
        let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        self.spots.insert(path.clone(), Spot { key: name.span(), value: value.span() });
        if let Some(json) = self.json(reader, &place, &path, value) {
            table.insert(key.to_owned(), json);
        }
    }

    // Depth is bounded by the parser.
    fn json<'t>(
        &mut self,
        reader: &mut Reader<'t>,
        place: &str,
        path: &str,
        value: &Spanned<DeValue<'t>>,
    ) -> Option<Value> {
        let wrong = |reader: &mut Reader<'t>, message: &str, expected: &str| {
            reader.wrong_hidden(value.span(), format!("{path}: {message}"), expected);
            None
        };
        match value.get_ref() {
            DeValue::String(text) if text.contains('\0') => {
                wrong(reader, "it holds a NUL character, which no program can be given", "expected a text without it")
            }
            DeValue::String(text) => Some(Value::String(text.to_string())),
            DeValue::Boolean(truth) => Some(Value::Bool(*truth)),
            DeValue::Integer(number) => match i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()) {
                Ok(number) => Some(number.into()),
                Err(_) => wrong(reader, "this number is too large", "expected a smaller one"),
            },
            DeValue::Float(number) => {
                let read = number.as_str().replace('_', "").parse::<f64>().ok().and_then(Number::from_f64);
                read.map(Value::Number).or_else(|| wrong(reader, "this is no finite number", "expected a finite one"))
            }
            DeValue::Datetime(_) => wrong(reader, "a date is no setting", "expected it in quotes"),
            DeValue::Array(items) => {
                let mut all = Vec::new();
                for (at, item) in items.iter().enumerate() {
                    let path = format!("{path}.{at}");
                    self.spots.insert(path.clone(), Spot { key: item.span(), value: item.span() });
                    all.extend(self.json(reader, place, &path, item));
                }
                Some(Value::Array(all))
            }
            DeValue::Table(table) => {
                let mut all = Map::new();
                for (name, value) in table {
                    self.entry(reader, place, path, name, value, &mut all);
                }
                Some(Value::Object(all))
            }
        }
    }

    /// Where a value stands; of one that is not there, the table that it is missing in.
    pub fn span(&self, path: &str) -> Range<usize> {
        self.near(path).map_or_else(|| self.whole.clone(), |(_, spot)| spot.value.clone())
    }

    fn near(&self, path: &str) -> Option<(bool, &Spot)> {
        let mut at = path;
        loop {
            if let Some(spot) = self.spots.get(at) {
                return Some((at == path, spot));
            }
            at = at.rsplit_once('.')?.0;
        }
    }

    /// Reports a mistake at its line. What may be a secret is not shown.
    pub fn report(&self, reader: &mut Reader<'_>, wrong: &Invalid) {
        let found = self.near(&wrong.path);
        let last = wrong.path.rsplit('.').next().unwrap_or_default();
        let secret = wrong.path.split('.').any(looks_secret);
        let message = match &wrong.message {
            _ if secret && found.is_some() => format!("{}: {}", wrong.path, without_value(&wrong.message)),
            message if wrong.path.is_empty() || message.trim_start_matches('"').starts_with(last) => message.clone(),
            message => format!("{}: {message}", wrong.path),
        };
        match found {
            // Nobody knows the key: the key is what is wrong.
            Some((true, spot)) if wrong.message.ends_with("is not known here") => {
                reader.wrong(spot.key.clone(), message, wrong.expected.clone());
            }
            Some((_, spot)) if secret => reader.wrong_hidden(spot.value.clone(), message, wrong.expected.clone()),
            Some((true, spot)) => reader.wrong(spot.value.clone(), message, wrong.expected.clone()),
            Some((false, spot)) => reader.missing(spot.value.clone(), message, wrong.expected.clone()),
            None => reader.missing(self.whole.clone(), message, wrong.expected.clone()),
        }
    }
}

/// A message about a value that is not to be repeated.
fn without_value(message: &str) -> &str {
    if message.contains(['"', '[', '{']) { "the value cannot be used" } else { message }
}

/// Reads a text that holds nothing but the settings of a driver, as below `[environment.config]`. `shown` names it
/// in messages.
///
/// # Errors
/// What is no TOML, or cannot be a setting, at its line.
pub fn parse_settings(text: &str, shown: &str) -> Result<Map<String, Value>, ConfigErrors> {
    let mut reader = Reader::new(shown, text, Layer::CommandLine);
    let table: Spanned<DeTable<'_>> = reader.parse();
    let settings = Settings::take(&mut reader, Section::root(&table));
    judged(settings.table, reader).map(|(table, _)| table)
}
