//! The protocol's lines: cutting a stream into them, reading one, writing one, and base64 for bytes within them.

use serde_json::{Value, json};

/// Longest line in either direction, in bytes without its end.
pub const LINE_MAX: usize = 8 << 20;
/// Most bytes that go with an execution as its standard input.
pub const STDIN_MAX: usize = 4 << 20;

/// Codes of errors.
pub mod code {
    /// The plugin is not there (made here, never sent).
    pub const UNAVAILABLE: i64 = -32_000;
    /// It cannot be, and asking again changes nothing; `data {code?, hint?}`.
    pub const REFUSED: i64 = -32_001;
    /// It failed, and may go well another time.
    pub const FAILED: i64 = -32_002;
    /// It took too long.
    pub const TIMEOUT: i64 = -32_003;
    /// The plugin does not do this.
    pub const NOT_IMPLEMENTED: i64 = -32_004;
    /// JSON-RPC's own: there is no such method.
    pub const NO_METHOD: i64 = -32_601;
    /// JSON-RPC's own: the parameters are wrong.
    pub const PARAMS: i64 = -32_602;
}

/// Cuts a stream into lines.
#[derive(Debug, Default)]
pub struct Lines {
    held: Vec<u8>,
    /// Bytes of `held` that hold no line end.
    searched: usize,
}

/// A line is longer than [`LINE_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

impl Lines {
    /// Takes bytes and gives the lines that they complete, without their ends; nothing more can be taken after an error.
    ///
    /// # Errors
    /// A line is too long, whether its end has come or not.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        self.held.extend_from_slice(bytes);
        let mut lines = Vec::new();
        let mut begin = 0;
        while let Some(at) = memchr::memchr(b'\n', &self.held[self.searched..]) {
            let end = self.searched + at;
            if end - begin > LINE_MAX {
                return Err(TooLong);
            }
            let line = &self.held[begin..end];
            lines.push(line.strip_suffix(b"\r").unwrap_or(line).to_vec());
            begin = end + 1;
            self.searched = begin;
        }
        self.held.drain(..begin);
        self.searched = self.held.len();
        if self.held.len() > LINE_MAX { Err(TooLong) } else { Ok(lines) }
    }
}

/// What the other side says no with.
#[derive(Debug, Clone, PartialEq)]
pub struct RpcError {
    /// See [`code`].
    pub code: i64,
    /// In words.
    pub message: String,
    /// `{code?, hint?}` where it is a refusal.
    pub data: Value,
}

/// One message of a plugin.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// An answer to a request of ours.
    Answer(u64, Result<Value, RpcError>),
    /// An answer without an id that could be ours.
    Stray,
    /// A request, which we do not take; its id.
    Request(Value),
    /// A notification.
    Notification(String, Value),
    /// No message of JSON-RPC 2.0.
    Garbage,
}

/// Reads a line.
pub fn read(line: &[u8]) -> Incoming {
    let Ok(Value::Object(mut message)) = serde_json::from_slice::<Value>(line) else { return Incoming::Garbage };
    if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Incoming::Garbage;
    }
    if let Some(Value::String(method)) = message.remove("method") {
        return match message.remove("id") {
            Some(id) => Incoming::Request(id),
            None => Incoming::Notification(method, message.remove("params").unwrap_or_default()),
        };
    }
    let answer = match (message.remove("result"), message.remove("error")) {
        (_, Some(Value::Object(error))) => Err(RpcError {
            code: error.get("code").and_then(Value::as_i64).unwrap_or(code::FAILED),
            message: error.get("message").and_then(Value::as_str).unwrap_or("an error without words").to_owned(),
            data: error.get("data").cloned().unwrap_or_default(),
        }),
        (Some(result), None | Some(Value::Null)) => Ok(result),
        _ => return Incoming::Garbage,
    };
    match message.get("id").and_then(Value::as_u64) {
        Some(id) => Incoming::Answer(id, answer),
        None => Incoming::Stray,
    }
}

/// A request as a line with its end.
pub fn request(id: u64, method: &str, params: &Value) -> Vec<u8> {
    line(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
}

/// A notification as a line with its end.
pub fn notification(method: &str, params: &Value) -> Vec<u8> {
    line(&json!({ "jsonrpc": "2.0", "method": method, "params": params }))
}

/// The answer to a request that we do not take.
pub fn no_method(id: &Value) -> Vec<u8> {
    let error = json!({ "code": code::NO_METHOD, "message": "wharf answers no requests" });
    line(&json!({ "jsonrpc": "2.0", "id": id, "error": error }))
}

fn line(message: &Value) -> Vec<u8> {
    let mut line = message.to_string().into_bytes();
    line.push(b'\n');
    line
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes as base64 with padding.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

/// The bytes of base64; none when it is none. Padding may be missing.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.chunks(4) {
        let mut bits = 0u32;
        for i in 0..4 {
            let value = match chunk.get(i).copied() {
                None => 0,
                Some(c @ b'A'..=b'Z') => c - b'A',
                Some(c @ b'a'..=b'z') => c - b'a' + 26,
                Some(c @ b'0'..=b'9') => c - b'0' + 52,
                Some(b'+') => 62,
                Some(b'/') => 63,
                Some(_) => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        let bytes = [(bits >> 16) as u8, (bits >> 8) as u8, bits as u8];
        out.extend_from_slice(
            &bytes[..match chunk.len() {
                4 => 3,
                3 => 2,
                2 => 1,
                _ => return None,
            }],
        );
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_wherever_they_break() {
        let stream = b"one\r\n\ntwo\nthr";
        for size in 1..stream.len() {
            let mut lines = Lines::default();
            let got: Vec<Vec<u8>> = stream.chunks(size).flat_map(|chunk| lines.take(chunk).unwrap()).collect();
            assert_eq!(got, [b"one".to_vec(), Vec::new(), b"two".to_vec()], "{size}");
        }
        let mut lines = Lines::default();
        assert_eq!(lines.take(&vec![b'x'; LINE_MAX]), Ok(Vec::new()));
        assert_eq!(lines.take(b"y"), Err(TooLong));
    }

    #[test]
    fn what_a_line_is() {
        let error = |code, message: &str| Err(RpcError { code, message: message.into(), data: Value::Null });
        let table = [
            (r#"{"jsonrpc":"2.0","id":3,"result":null}"#, Incoming::Answer(3, Ok(Value::Null))),
            (
                r#"{"jsonrpc":"2.0","id":3,"error":{"code":-32004,"message":"no"}}"#,
                Incoming::Answer(3, error(-32_004, "no")),
            ),
            (r#"{"jsonrpc":"2.0","id":3,"error":{}}"#, Incoming::Answer(3, error(-32_002, "an error without words"))),
            (r#"{"jsonrpc":"2.0","id":"x","result":1}"#, Incoming::Stray),
            (r#"{"jsonrpc":"2.0","method":"log"}"#, Incoming::Notification("log".into(), Value::Null)),
            (r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#, Incoming::Request(1.into())),
            (r#"{"id":3,"result":1}"#, Incoming::Garbage),
            (r#"{"jsonrpc":"2.0","id":3}"#, Incoming::Garbage),
            ("[1]", Incoming::Garbage),
            ("hello", Incoming::Garbage),
            ("", Incoming::Garbage),
        ];
        for (line, expected) in table {
            assert_eq!(read(line.as_bytes()), expected, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_lines_and_any_line_is_something(chunks: Vec<Vec<u8>>, bytes: Vec<u8>, text: String) {
            let mut lines = Lines::default();
            let cut: Vec<Vec<u8>> = chunks.iter().flat_map(|chunk| lines.take(chunk).unwrap_or_default()).collect();
            let whole = Lines::default().take(&chunks.concat()).unwrap_or_default();
            proptest::prop_assert_eq!(cut, whole);
            read(&bytes);
            decode(&text);
            proptest::prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }
    }

    #[test]
    fn base64_there_and_back() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).unwrap(), bytes.as_bytes());
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all)).unwrap(), all);
        assert_eq!(decode("Zg").unwrap(), b"f");
        assert!(decode("Z").is_none() && decode("Zm\n9v").is_none());
    }
}
