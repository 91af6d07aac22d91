//! The filter language that lists and the command line share: `status:failed agent:fixer since:2h "text"`.
//!
//! Pure: times stay relative until [`When::resolve`] is given the present.

use chrono::{Days, FixedOffset, NaiveDate, NaiveTime, TimeZone};

use crate::UnixMillis;

/// Longest filter that is read, in bytes.
pub const LENGTH_MAX_BYTES: usize = 2000;
/// Most terms of one filter.
pub const TERMS_MAX: usize = 32;

/// A whole filter: every term must hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Filter {
    /// The terms, in the order of their writing.
    pub terms: Vec<Term>,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Term {
    /// Written with a leading `-`: the row must *not* match.
    pub exclude: bool,
    /// What is compared.
    pub test: Test,
}

/// What a term compares.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Test {
    /// The row's state is one of these words.
    Status(Vec<Status>),
    /// A named field is one of these values, compared without case; `*` stands for any characters.
    Field(Field, Vec<String>),
    /// Began at or after.
    Since(When),
    /// Began before.
    Until(When),
    /// Cost in millionths of a dollar; rows of unknown cost never match.
    Cost(Compare, i64),
    /// Duration in milliseconds.
    Took(Compare, i64),
    /// Exit code of the process.
    Exit(Vec<i32>),
    /// Occurs, without case, in the words of the row.
    Text(String),
}

/// Fields that hold names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// Name of the agent.
    Agent,
    /// Identifier of the issue, `SHOP-17`.
    Issue,
    /// Name of the environment.
    Environment,
    /// Number of the run, `R-12`.
    Run,
    /// Number of the lease, `L-4`.
    Lease,
    /// Number of the workspace, `W-9`.
    Workspace,
    /// Number or name of the service.
    Service,
    /// Who did or asked for it.
    By,
    /// Kind of the entry: a driver, an operation's phase, an activity's word.
    Kind,
    /// Stored error code.
    Error,
    /// Whether it answers: `healthy`, `unhealthy`, `unknown`.
    Health,
}

crate::words! {
    /// Words of state that filters know, over all lists; each list refuses those it has no rows for.
    pub enum Status {
        Live = "live", Ended = "ended", NeedsYou = "needs-you", Silent = "silent",
        Queued = "queued", Parked = "parked", Running = "running", Stopping = "stopping",
        Done = "done", Failed = "failed", Cancelled = "cancelled", TimedOut = "timed-out", Lost = "lost",
        Unknown = "unknown", Waiting = "waiting", Active = "active", Releasing = "releasing",
        Released = "released", Retained = "retained", Cleanup = "cleanup", Expired = "expired", Starting = "starting",
        Backoff = "backoff", Unhealthy = "unhealthy", Stopped = "stopped", Idle = "idle", Archived = "archived",
        Missing = "missing",
    }
}

/// How a figure is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compare {
    /// `>`
    Over,
    /// `>=`
    AtLeast,
    /// `<`
    Under,
    /// `<=`
    AtMost,
    /// No sign.
    Equal,
}

impl Compare {
    /// Whether `value` stands to `bound` as written.
    pub fn holds(self, value: i64, bound: i64) -> bool {
        match self {
            Self::Over => value > bound,
            Self::AtLeast => value >= bound,
            Self::Under => value < bound,
            Self::AtMost => value <= bound,
            Self::Equal => value == bound,
        }
    }
}

/// A moment as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum When {
    /// This many milliseconds ago.
    Ago(i64),
    /// The beginning of today, at the reader's place.
    Today,
    /// The beginning of yesterday.
    Yesterday,
    /// The beginning of a day.
    Day(NaiveDate),
    /// A clock time of today.
    Clock(NaiveTime),
}

impl When {
    /// The moment it means at `now`, at a place `east_seconds` east of Greenwich.
    pub fn resolve(self, now: UnixMillis, east_seconds: i32) -> UnixMillis {
        let offset = FixedOffset::east_opt(east_seconds.clamp(-86_399, 86_399))
            .unwrap_or_else(|| chrono::Offset::fix(&chrono::Utc));
        let today = now.utc().with_timezone(&offset).date_naive();
        let at = |day: NaiveDate, time: NaiveTime| {
            offset.from_local_datetime(&day.and_time(time)).single().map_or(now, |t| UnixMillis(t.timestamp_millis()))
        };
        match self {
            Self::Ago(ms) => now.plus(ms.saturating_neg()),
            Self::Today => at(today, NaiveTime::MIN),
            Self::Yesterday => at(today.checked_sub_days(Days::new(1)).unwrap_or(today), NaiveTime::MIN),
            Self::Day(day) => at(day, NaiveTime::MIN),
            Self::Clock(time) => at(today, time),
        }
    }
}

/// Why a filter cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (at {})", at + 1)]
pub struct FilterError {
    /// Byte at which the wrong word begins.
    pub at: usize,
    /// Its length in bytes, at least 1.
    pub len: usize,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// Names of fields as they are written, with what they mean, for completion and help.
pub const FIELDS: &[(&str, &str)] = &[
    ("status", "what it is"),
    ("agent", "name of the agent"),
    ("issue", "SHOP-17"),
    ("env", "name of the environment"),
    ("since", "2h, 3d, today, 12:04, 2026-11-20"),
    ("until", "as since"),
    ("run", "R-12"),
    ("lease", "L-4"),
    ("workspace", "W-9"),
    ("service", "S-2 or a name"),
    ("by", "who did it"),
    ("kind", "kind of the entry"),
    ("error", "code of the error"),
    ("health", "healthy, unhealthy, unknown"),
    ("exit", "exit code"),
    ("cost", ">1, in dollars"),
    ("took", ">10m"),
];

impl Filter {
    /// Reads a filter; an empty text gives the filter that everything passes.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        if text.len() > LENGTH_MAX_BYTES {
            let reason = format!("a filter has at most {LENGTH_MAX_BYTES} bytes, this one has {}", text.len());
            return Err(FilterError { at: 0, len: text.len(), reason });
        }
        let mut terms = Vec::new();
        for token in tokens(text)? {
            if terms.len() == TERMS_MAX {
                return Err(token.wrong(format!("a filter has at most {TERMS_MAX} terms")));
            }
            terms.push(term(&token)?);
        }
        Ok(Self { terms })
    }

    /// Whether everything passes.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }
}

/// Whether `value` matches `pattern` without case, `*` standing for any characters.
pub fn glob(pattern: &str, value: &str) -> bool {
    let (pattern, value) = (pattern.to_lowercase(), value.to_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = value.strip_prefix(first) else { return false };
    let middle: Vec<&str> = parts.collect();
    let Some((last, middle)) = middle.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[derive(Debug)]
struct Token {
    at: usize,
    len: usize,
    exclude: bool,
    /// Before the colon, when there is one outside quotes.
    field: Option<String>,
    value: String,
    value_at: usize,
}

impl Token {
    fn wrong(&self, reason: String) -> FilterError {
        FilterError { at: self.at, len: self.len.max(1), reason }
    }
    fn wrong_value(&self, reason: String) -> FilterError {
        FilterError { at: self.value_at, len: (self.at + self.len).saturating_sub(self.value_at).max(1), reason }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, FilterError> {
    let mut out = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some(&(at, c)) = chars.peek() {
        if c.is_whitespace() {
            chars.next();
            continue;
        }
        let mut token = Token { at, len: 0, exclude: false, field: None, value: String::new(), value_at: at };
        if c == '-' && text[at + 1..].starts_with(|c: char| !c.is_whitespace()) {
            token.exclude = true;
            token.value_at = at + 1;
            chars.next();
        }
        let mut end = at;
        let mut quoted_at = None;
        while let Some(&(i, c)) = chars.peek() {
            if quoted_at.is_none() && c.is_whitespace() {
                break;
            }
            chars.next();
            end = i + c.len_utf8();
            match c {
                '"' if quoted_at.is_some() => quoted_at = None,
                '"' => quoted_at = Some(i),
                ':' if quoted_at.is_none() && token.field.is_none() => {
                    token.field = Some(std::mem::take(&mut token.value));
                    token.value_at = end;
                }
                _ => token.value.push(c),
            }
        }
        if let Some(i) = quoted_at {
            let reason = "this quotation mark is not closed".to_owned();
            return Err(FilterError { at: i, len: end - i, reason });
        }
        token.len = end - at;
        out.push(token);
    }
    Ok(out)
}

fn term(token: &Token) -> Result<Term, FilterError> {
    let Some(field) = &token.field else {
        return Ok(Term { exclude: token.exclude, test: Test::Text(token.value.clone()) });
    };
    let named = |field| Ok(Test::Field(field, values(token)?));
    let test = match field.as_str() {
        "status" => {
            let words = values(token)?;
            let read = |w: &String| {
                Status::parse(&w.to_lowercase().replace([' ', '_'], "-")).ok_or_else(|| {
                    let known = Status::ALL.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(", ");
                    token.wrong_value(format!("{w:?} is no status; known are {known}"))
                })
            };
            Test::Status(words.iter().map(read).collect::<Result<_, _>>()?)
        }
        "agent" => named(Field::Agent)?,
        "issue" => named(Field::Issue)?,
        "env" | "environment" => named(Field::Environment)?,
        "run" => named(Field::Run)?,
        "lease" => named(Field::Lease)?,
        "workspace" => named(Field::Workspace)?,
        "service" => named(Field::Service)?,
        "by" => named(Field::By)?,
        "kind" => named(Field::Kind)?,
        "error" => named(Field::Error)?,
        "health" => named(Field::Health)?,
        "since" => Test::Since(when(token)?),
        "until" => Test::Until(when(token)?),
        "cost" => {
            let (compare, figure) = comparison(&token.value);
            let dollars: f64 =
                figure.trim_start_matches('$').parse().ok().filter(|d: &f64| d.is_finite()).ok_or_else(|| {
                    token.wrong_value(format!("{figure:?} is no sum; write dollars, as in cost:>1.50"))
                })?;
            Test::Cost(compare, (dollars * 1e6).round() as i64)
        }
        "took" => {
            let (compare, figure) = comparison(&token.value);
            let ms = duration_ms(figure).ok_or_else(|| {
                token.wrong_value(format!(
                    "{figure:?} is no duration; write a figure with s, m, h or d, as in took:>10m"
                ))
            })?;
            Test::Took(compare, ms)
        }
        "exit" => {
            let read = |w: &String| {
                w.parse::<i32>().map_err(|_| token.wrong_value(format!("{w:?} is no exit code; write a whole number")))
            };
            Test::Exit(values(token)?.iter().map(read).collect::<Result<_, _>>()?)
        }
        other => {
            let known = FIELDS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            return Err(token
                .wrong(format!("{other:?} is no field; known are {known}. Text with a colon needs quotation marks")));
        }
    };
    Ok(Term { exclude: token.exclude, test })
}

fn values(token: &Token) -> Result<Vec<String>, FilterError> {
    let values: Vec<String> = token.value.split(',').filter(|v| !v.is_empty()).map(str::to_owned).collect();
    if values.is_empty() {
        let field = token.field.as_deref().unwrap_or_default();
        return Err(token.wrong(format!("{field}: needs a value, or several with commas between")));
    }
    Ok(values)
}

fn when(token: &Token) -> Result<When, FilterError> {
    let value = token.value.as_str();
    match value {
        "today" => return Ok(When::Today),
        "yesterday" => return Ok(When::Yesterday),
        _ => {}
    }
    if let Some(ms) = duration_ms(value) {
        return Ok(When::Ago(ms));
    }
    if let Ok(day) = NaiveDate::parse_from_str(value, "%Y-%m-%d") {
        return Ok(When::Day(day));
    }
    for shape in ["%H:%M:%S", "%H:%M"] {
        if let Ok(time) = NaiveTime::parse_from_str(value, shape) {
            return Ok(When::Clock(time));
        }
    }
    Err(token.wrong_value(format!("{value:?} is no moment; write 2h, 3d, today, yesterday, 12:04 or 2026-11-20")))
}

fn comparison(value: &str) -> (Compare, &str) {
    for (sign, compare) in [
        (">=", Compare::AtLeast),
        ("<=", Compare::AtMost),
        (">", Compare::Over),
        ("<", Compare::Under),
        ("=", Compare::Equal),
    ] {
        if let Some(rest) = value.strip_prefix(sign) {
            return (compare, rest);
        }
    }
    (Compare::Equal, value)
}

/// Reads `90s`, `2h`, `1h30m`, `3d`; whole figures with units, each unit once or more, at most a hundred years.
pub fn duration_ms(text: &str) -> Option<i64> {
    let mut total: i64 = 0;
    let mut figure = String::new();
    if text.is_empty() {
        return None;
    }
    for c in text.chars() {
        if c.is_ascii_digit() {
            figure.push(c);
            continue;
        }
        let unit = match c {
            's' => 1000,
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => 86_400_000,
            'w' => 604_800_000,
            _ => return None,
        };
        let n: i64 = std::mem::take(&mut figure).parse().ok()?;
        total = total.checked_add(n.checked_mul(unit)?)?;
    }
    (figure.is_empty() && total <= 100 * 366 * 86_400_000).then_some(total)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(test: Test) -> Filter {
        Filter { terms: vec![Term { exclude: false, test }] }
    }

    #[test]
    fn reads_what_it_says() {
        let table = [
            ("", Filter::default()),
            ("  ", Filter::default()),
            ("status:failed,timed-out", one(Test::Status(vec![Status::Failed, Status::TimedOut]))),
            ("status:\"needs you\"", one(Test::Status(vec![Status::NeedsYou]))),
            ("agent:fixer", one(Test::Field(Field::Agent, vec!["fixer".into()]))),
            ("env:box-1", one(Test::Field(Field::Environment, vec!["box-1".into()]))),
            ("since:2h", one(Test::Since(When::Ago(7_200_000)))),
            ("since:1h30m", one(Test::Since(When::Ago(5_400_000)))),
            ("until:today", one(Test::Until(When::Today))),
            ("cost:>1", one(Test::Cost(Compare::Over, 1_000_000))),
            ("took:>=10m", one(Test::Took(Compare::AtLeast, 600_000))),
            ("exit:1,101", one(Test::Exit(vec![1, 101]))),
            ("\"a: b\"", one(Test::Text("a: b".into()))),
            ("word", one(Test::Text("word".into()))),
        ];
        for (text, expected) in table {
            assert_eq!(Filter::parse(text), Ok(expected), "{text}");
        }
        let both = Filter::parse("-agent:docs basket").unwrap();
        assert!(both.terms[0].exclude && !both.terms[1].exclude);
    }

    #[test]
    fn says_where_and_why_a_word_is_wrong() {
        let table = [
            ("agent:fixer status:fa", 19, 2, "is no status"),
            ("sttus:failed", 0, 12, "is no field"),
            ("since:soon", 6, 4, "is no moment"),
            ("x \"open", 2, 5, "not closed"),
            ("agent:", 0, 6, "needs a value"),
            ("cost:>much", 5, 5, "is no sum"),
            ("exit:one", 5, 3, "is no exit code"),
            ("took:9", 5, 1, "is no duration"),
        ];
        for (text, at, len, reason) in table {
            let error = Filter::parse(text).unwrap_err();
            assert_eq!((error.at, error.len), (at, len), "{text}: {error}");
            assert!(error.reason.contains(reason), "{text}: {error}");
        }
        assert!(Filter::parse(&"x".repeat(LENGTH_MAX_BYTES + 1)).is_err());
        assert!(Filter::parse(&"x ".repeat(TERMS_MAX + 1)).is_err());
    }

    #[test]
    fn moments_are_resolved_at_the_place_of_the_reader() {
        let now = UnixMillis(1_795_259_322_000); // 2026-11-21 12:08:42 +01:00
        let at = |text: &str| match Filter::parse(&format!("since:{text}")).unwrap().terms.remove(0).test {
            Test::Since(when) => when.resolve(now, 3600).rfc3339(),
            other => panic!("{other:?}"),
        };
        assert_eq!(at("2h"), "2026-11-21T09:08:42.000Z");
        assert_eq!(at("today"), "2026-11-20T23:00:00.000Z");
        assert_eq!(at("yesterday"), "2026-11-19T23:00:00.000Z");
        assert_eq!(at("12:04"), "2026-11-21T11:04:00.000Z");
        assert_eq!(at("2026-11-01"), "2026-10-31T23:00:00.000Z");
    }

    #[test]
    fn globs() {
        for (pattern, value, expected) in [
            ("fix*", "Fixer", true),
            ("*", "", true),
            ("a*b*c", "aXbYc", true),
            ("a*b", "ac", false),
            ("ab", "abc", false),
            ("*er", "fixer", true),
        ] {
            assert_eq!(glob(pattern, value), expected, "{pattern} {value}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_errors_lie_inside(text in "\\PC{0,60}") {
            if let Err(e) = Filter::parse(&text) {
                prop_assert!(e.at < text.len() && e.at + e.len <= text.len(), "{e:?}");
                prop_assert!(text.is_char_boundary(e.at) && text.is_char_boundary(e.at + e.len));
            }
        }
    }
}
