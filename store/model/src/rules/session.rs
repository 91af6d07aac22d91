//! The session that an agent's run says it works in: what may be said, and how it is kept for the runs that follow.

use serde_json::{Map, Value, json};

use crate::{AgentRuntimeRow, RunId, UnixMillis};

/// Longest id of a session, in bytes.
pub const ID_MAX_BYTES: usize = 256;
/// Longest directory of a session, in bytes: what the kernel takes as a path.
pub const CWD_MAX_BYTES: usize = 4096;

/// What a run says of its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It works in this one.
    In {
        /// Id by which the agent's program finds it again.
        id: String,
        /// Directory that it belongs to; not said.
        cwd: Option<String>,
    },
    /// It is over.
    Over,
}

/// Reads the body of the message: `{id, cwd?}`, or `{clear: true}`.
///
/// # Errors
/// In words, what is wrong with it.
pub fn read(body: &Value) -> Result<Said, String> {
    let clear = match body.get("clear") {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(_) => return Err("clear is neither true nor false".to_owned()),
    };
    let (id, cwd) = (text(body, "id")?, text(body, "cwd")?);
    match (clear, id) {
        (true, None) => Ok(Said::Over),
        (true, Some(_)) => Err("a session that is over is not named; say either id or clear".to_owned()),
        (false, None) => Err("it names no session (id)".to_owned()),
        (false, Some(id)) => {
            check_id(id)?;
            cwd.map(check_cwd).transpose()?;
            Ok(Said::In { id: id.to_owned(), cwd: cwd.map(str::to_owned) })
        }
    }
}

fn text<'b>(body: &'b Value, key: &str) -> Result<Option<&'b str>, String> {
    match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{key} is no text")),
    }
}

/// An id as it may be: 1 to 256 bytes without control characters.
///
/// # Errors
/// In words.
pub fn check_id(id: &str) -> Result<(), String> {
    if id.is_empty() || id.len() > ID_MAX_BYTES {
        return Err(format!("a session's id has 1 to {ID_MAX_BYTES} bytes, and this one has {}", id.len()));
    }
    if id.contains(char::is_control) {
        return Err("a session's id has no control characters".to_owned());
    }
    Ok(())
}

/// A directory as it may be: absolute, at most 4096 bytes, naming nothing above itself.
///
/// # Errors
/// In words.
pub fn check_cwd(cwd: &str) -> Result<(), String> {
    if cwd.len() > CWD_MAX_BYTES {
        return Err(format!("its directory is longer than {CWD_MAX_BYTES} bytes"));
    }
    if !cwd.starts_with('/') {
        return Err("its directory is not absolute".to_owned());
    }
    if cwd.contains(char::is_control) {
        return Err("its directory has control characters".to_owned());
    }
    // Which directory that is depends on links, and what it lies in is told by its name.
    if cwd.split('/').any(|part| part == "..") {
        return Err("its directory has `..` in it; say where it really is".to_owned());
    }
    Ok(())
}

/// The session as a row keeps it for the next run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept<'r> {
    /// Its id.
    pub id: Option<&'r str>,
    /// Its directory on this machine.
    pub cwd: Option<&'r str>,
    /// Number of the run that said so: `R-12`.
    pub said_by: Option<&'r str>,
    /// When it said so.
    pub said_at: Option<UnixMillis>,
}

impl Kept<'_> {
    /// Whether there is anything of a session.
    pub const fn is_any(&self) -> bool {
        self.id.is_some() || self.cwd.is_some()
    }
}

/// What a row keeps of its agent's session.
pub fn kept(row: &AgentRuntimeRow) -> Kept<'_> {
    let state = &row.state_json;
    Kept {
        id: row.session_id.as_deref(),
        cwd: state["cwd"].as_str().filter(|cwd| check_cwd(cwd).is_ok()),
        said_by: state["session_said"]["run"].as_str(),
        said_at: state["session_said"]["at"].as_i64().map(UnixMillis),
    }
}

/// Keeps a session in the row, with the run that said it; what else stands there stays. A directory that is not said
/// stays that of before while the session is the same one, unless it is `elsewhere`: of another machine.
pub fn keep(row: &mut AgentRuntimeRow, id: &str, cwd: Option<&str>, elsewhere: bool, by: (RunId, &str, UnixMillis)) {
    let same = row.session_id.as_deref() == Some(id);
    row.session_id = Some(id.to_owned());
    let mut state = table(row);
    match cwd {
        Some(cwd) if !elsewhere => drop(state.insert("cwd".into(), json!(cwd))),
        None if same && !elsewhere => {}
        _ => drop(state.remove("cwd")),
    }
    let (run, number, at) = by;
    state.insert("session_said".into(), json!({ "run": number, "run_id": run.text(), "at": at.0 }));
    row.state_json = Value::Object(state);
}

/// Forgets session and directory; what else stands there stays. Says whether there was any.
pub fn forget(row: &mut AgentRuntimeRow) -> bool {
    let had = row.session_id.take().is_some();
    let mut state = table(row);
    let had_cwd = state.remove("cwd").is_some();
    state.remove("session_said");
    row.state_json = Value::Object(state);
    had || had_cwd
}

/// The row's own facts; whatever is no table is of nobody.
fn table(row: &mut AgentRuntimeRow) -> Map<String, Value> {
    match row.state_json.take() {
        Value::Object(state) => state,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AgentId, CompanyId};

    #[test]
    fn what_may_be_said_and_what_not() {
        let long = |n: usize| "x".repeat(n);
        let fine = [
            (json!({ "id": "a" }), Said::In { id: "a".into(), cwd: None }),
            (json!({ "id": "é 1", "cwd": "/w" }), Said::In { id: "é 1".into(), cwd: Some("/w".into()) }),
            (json!({ "id": long(256), "cwd": null }), Said::In { id: long(256), cwd: None }),
            (
                json!({ "id": "a", "cwd": "/w/..a", "clear": false }),
                Said::In { id: "a".into(), cwd: Some("/w/..a".into()) },
            ),
            (json!({ "clear": true }), Said::Over),
        ];
        for (body, said) in fine {
            assert_eq!(read(&body), Ok(said), "{body}");
        }
        let wrong = [
            (json!({}), "names no session"),
            (json!("a"), "names no session"),
            (json!({ "id": "" }), "1 to 256 bytes"),
            (json!({ "id": long(257) }), "has 257"),
            (json!({ "id": "a\nb" }), "control"),
            (json!({ "id": "a\u{1b}[1m" }), "control"),
            (json!({ "id": 7 }), "id is no text"),
            (json!({ "id": "a", "cwd": "w" }), "not absolute"),
            (json!({ "id": "a", "cwd": "" }), "not absolute"),
            (json!({ "id": "a", "cwd": format!("/{}", long(4096)) }), "longer than 4096"),
            (json!({ "id": "a", "cwd": "/a\0b" }), "control"),
            (json!({ "id": "a", "cwd": "/a/../b" }), "`..`"),
            (json!({ "id": "a", "clear": true }), "either id or clear"),
            (json!({ "clear": "yes" }), "neither true nor false"),
        ];
        for (body, words) in wrong {
            let error = read(&body).expect_err("it is wrong");
            assert!(error.contains(words), "{body}: {error}");
        }
    }

    #[test]
    fn a_row_keeps_the_session_and_all_that_it_does_not_know() {
        let mut row = AgentRuntimeRow {
            agent_id: AgentId::NIL,
            company_id: CompanyId::NIL,
            adapter_type: "process".into(),
            session_id: None,
            state_json: json!({ "theirs": [1, 2] }),
            last_run_id: None,
            last_run_status: None,
            total_input_tokens: 0,
            total_output_tokens: 0,
            total_cached_input_tokens: 0,
            total_cost_microusd: None,
            last_error: None,
            version: 0,
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
        };
        let by = (RunId::NIL, "R-3", UnixMillis(9));
        // Id, directory, of another machine; what is kept as the directory.
        let table = [
            ("a", Some("/w"), false, Some("/w")),
            ("a", None, false, Some("/w")),
            ("b", None, false, None),
            ("b", Some("/v"), false, Some("/v")),
            ("b", Some("/far"), true, None),
            ("b", Some("/v"), false, Some("/v")),
            ("b", None, true, None),
        ];
        for (id, cwd, elsewhere, stays) in table {
            keep(&mut row, id, cwd, elsewhere, by);
            let kept = kept(&row);
            assert_eq!((kept.id, kept.cwd), (Some(id), stays), "{id} {cwd:?} {elsewhere}");
            assert_eq!((kept.said_by, kept.said_at), (Some("R-3"), Some(UnixMillis(9))));
            assert_eq!(row.state_json["theirs"], json!([1, 2]));
        }
        assert!(forget(&mut row) && !forget(&mut row));
        assert_eq!((row.session_id.clone(), row.state_json.clone()), (None, json!({ "theirs": [1, 2] })));
        row.state_json = json!("garbage");
        assert!(!kept(&row).is_any());
        keep(&mut row, "c", Some("/c"), false, by);
        assert_eq!(kept(&row).cwd, Some("/c"));
    }
}
