//! Commands in a place: their output as it comes, their ends, their stops, and a plugin that dies meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use super::super::connection::{Connection, Output};
use super::super::facts;
use super::super::hello::method;
use super::super::message::encode;
use super::leases::Tried;
use super::{Bench, told};

const STREAM_HINT: &str = "send execute.output as it comes, each with executionId, stream, offset and dataBase64";

/// An execution that is tried.
struct Tryout<'a> {
    id: String,
    script: &'a str,
    stdin: &'a [u8],
    from: [u64; 2],
}

impl<'a> Tryout<'a> {
    fn new(script: &'a str) -> Self {
        Self { id: Uuid::now_v7().hyphenated().to_string(), script, stdin: b"", from: [0, 0] }
    }

    fn tag(&self) -> String {
        format!("check/{}", self.id)
    }

    fn params(&self, bench: &Bench, lease: &Tried, cwd: &str) -> Value {
        bench.params(json!({
            "lease": lease.params(), "target": null, "executionId": self.id, "tag": self.tag(),
            "command": "sh", "args": ["-c", self.script], "cwd": cwd,
            "env": { "WHARF_TAG": self.tag(), "WHARF_CHECK": "a 'value'" },
            "stdinBase64": encode(self.stdin), "fromOffset": { "stdout": self.from[0], "stderr": self.from[1] },
        }))
    }
}

/// What came of it.
#[derive(Default)]
struct Got {
    streams: [Vec<u8>; 2],
    /// When the last of its output came.
    last: Option<Instant>,
    ended: Option<Instant>,
    answer: Value,
}

impl Got {
    fn take(&mut self, output: Output, from: [u64; 2]) -> Result<(), String> {
        let at = usize::from(output.is_stderr);
        let expected = from[at] + self.streams[at].len() as u64;
        if output.offset != expected {
            return Err(format!("output with offset {} came, {expected} was due", output.offset));
        }
        self.streams[at].extend_from_slice(&output.bytes);
        self.last = Some(Instant::now());
        Ok(())
    }

    fn text(&self, stream: usize) -> String {
        String::from_utf8_lossy(&self.streams[stream]).chars().take(200).collect()
    }

    fn end(&self) -> String {
        format!("exitCode {}, signal {}", self.answer["exitCode"], self.answer["signal"])
    }
}

/// Runs it to its end; `killer` ends the plugin once output has come.
async fn try_out(
    bench: &mut Bench,
    lease: &Tried,
    cwd: &str,
    tryout: &Tryout<'_>,
    killer: Option<&mut Got>,
) -> Result<Got, String> {
    let up = bench.up().await?;
    let mut outputs = up.outputs(&tryout.id);
    let params = tryout.params(bench, lease, cwd);
    let call = up.call(method::EXECUTE, &params, Some(bench.plan.timeout.max(Duration::from_mins(1))));
    tokio::pin!(call);
    let mut got = Got::default();
    let answer = loop {
        tokio::select! {
            biased;
            Some(output) = outputs.recv() => {
                got.take(output, tryout.from)?;
                if let Some(killer) = killer {
                    up.kill("it is killed to see what becomes of the command");
                    up.wait().await;
                    killer.streams = got.streams;
                    return Err("killed".to_owned());
                }
            }
            answer = &mut call => break answer,
        }
    };
    got.ended = Some(Instant::now());
    while let Ok(output) = outputs.try_recv() {
        got.take(output, tryout.from)?;
    }
    got.answer = answer.map_err(told)?;
    Ok(got)
}

/// What a command prints there.
///
/// # Errors
/// In words: it could not be run, or did not end well.
pub(super) async fn prints(bench: &mut Bench, lease: &Tried, cwd: &str, script: &str) -> Result<String, String> {
    let got = try_out(bench, lease, cwd, &Tryout::new(script), None).await?;
    if got.answer["exitCode"] == 0 { Ok(got.text(0)) } else { Err(format!("{}: {}", got.end(), got.text(1))) }
}

/// Output, ends, input.
pub(super) async fn run(bench: &mut Bench, lease: &Tried, cwd: &str) {
    let plain = Tryout { stdin: b"in\0put", ..Tryout::new("cat; printf %s \"$WHARF_CHECK\"; printf err >&2; exit 3") };
    let got = try_out(bench, lease, cwd, &plain, None).await.and_then(|got| {
        let right = got.streams == [b"in\0puta 'value'".to_vec(), b"err".to_vec()] && got.answer["exitCode"] == 3;
        let words = format!("{}; stdout {:?}, stderr {:?}", got.end(), got.text(0), got.text(1));
        if right { Ok("input, variables, both outputs and the exit code are passed".to_owned()) } else { Err(words) }
    });
    bench.note("execute", got, STREAM_HINT);

    let here = try_out(bench, lease, cwd, &Tryout::new("pwd -P"), None).await.and_then(|got| {
        let there = got.text(0);
        if there.trim() == cwd {
            Ok(cwd.to_owned())
        } else {
            Err(format!("it ran in {:?} instead of {cwd}", there.trim()))
        }
    });
    match here {
        Ok(words) => bench.ok("directory", words),
        Err(words) => bench.warn("directory", words, "start commands in cwd; a link to it will do"),
    }

    let much = Tryout::new("head -c 3000000 /dev/zero | tr '\\0' x; printf end >&2");
    let got = try_out(bench, lease, cwd, &much, None).await.and_then(|got| match got.streams[0].len() {
        3_000_000 if got.streams[1] == b"end" => Ok("3 MB came whole and in order".to_owned()),
        n => Err(format!("{n} of 3000000 bytes came")),
    });
    bench.note("volume", got, STREAM_HINT);

    let slow = try_out(bench, lease, cwd, &Tryout::new("echo one; sleep 1; echo two; sleep 2"), None).await;
    let streamed = slow.and_then(|got| match (got.last, got.ended) {
        (Some(last), Some(ended)) if got.streams[0] == b"one\ntwo\n" => {
            let before = ended.duration_since(last).as_millis();
            let words = format!("output comes {before} ms before an end that is 2000 ms later");
            if before >= 1_000 { Ok(words) } else { Err(words) }
        }
        _ => Err(format!("stdout was {:?}", got.text(0))),
    });
    bench.note("streaming", streamed, "send output within a second, not at the end");

    let killed = try_out(bench, lease, cwd, &Tryout::new("kill -KILL $$"), None).await;
    match killed {
        Ok(got) if got.answer["signal"] == "SIGKILL" => bench.ok("signal", "an end by SIGKILL is told as such"),
        Ok(got) if got.answer["exitCode"] == 0 => {
            bench.error("signal", "a killed command is a success", "tell the signal");
        }
        Ok(got) => {
            bench.warn("signal", format!("an end by SIGKILL is told as {}", got.end()), "tell signal: \"SIGKILL\"");
        }
        Err(words) => bench.error("signal", words, "answer { exitCode, signal }"),
    }
}

/// Stops a command that does not want to be stopped, beside other calls.
pub(super) async fn stop(bench: &mut Bench, lease: &Tried, cwd: &str) {
    let Ok(up) = bench.up().await else { return };
    let tryout = Tryout::new("trap '' TERM; sleep 60 & echo ready; while :; do wait; sleep 1; done");
    let mut outputs = up.outputs(&tryout.id);
    let (asked, params) = (Arc::clone(&up), tryout.params(bench, lease, cwd));
    let running =
        tokio::spawn(async move { asked.call(method::EXECUTE, &params, Some(Duration::from_secs(50))).await });
    let ready = tokio::time::timeout(Duration::from_secs(10), outputs.recv()).await.ok().flatten();
    if ready.is_none() {
        bench.error("stop", "the command that is to be stopped printed nothing within 10 s", STREAM_HINT);
    }
    let well = up.call(method::HEALTH, &json!({}), Some(Duration::from_secs(2))).await;
    let well = well.map(|_| "health is answered while a command runs".to_owned()).map_err(told);
    bench.note("concurrency", well, "run calls beside one another: an execution may take days");
    list(bench, lease, &tryout, false).await;
    let asked = json!({ "lease": lease.params(), "tag": tryout.tag(), "graceMs": 500 });
    if let Some(answer) = bench.want("cancel", method::CANCEL, asked).await {
        let left = facts::processes(&answer, "remaining").and_then(|left| match left.as_slice() {
            [] => Ok("a command that ignores SIGTERM is ended after its grace".to_owned()),
            left => Err(format!("{} processes are left", left.len())),
        });
        bench.note("cancel", left, "SIGTERM, graceMs, SIGKILL to the whole tree; then { remaining: […] }");
        match tokio::time::timeout(Duration::from_secs(10), running).await {
            Ok(Ok(Ok(answer))) if answer["exitCode"] != 0 => bench.ok("cancelled", "its execution ends with it"),
            Ok(Ok(Ok(_))) => bench.error("cancelled", "a cancelled command is a success", "tell how it ended"),
            Ok(Ok(Err(error))) => bench.error("cancelled", told(error), "answer { exitCode, signal }"),
            Ok(Err(_)) | Err(_) => bench.error("cancelled", "its execution does not end", "answer environmentExecute"),
        }
        list(bench, lease, &tryout, true).await;
    }
}

async fn list(bench: &mut Bench, lease: &Tried, tryout: &Tryout<'_>, is_over: bool) {
    let code = if is_over { "list_none" } else { "list" };
    let asked = json!({ "lease": lease.params(), "tag": tryout.tag() });
    if let Some(answer) = bench.want(code, method::LIST, asked).await {
        let found = facts::processes(&answer, "executions").and_then(|found| match found.len() {
            0 if is_over => Ok("nothing is left of what was stopped".to_owned()),
            n if n > 0 && !is_over => Ok(format!("{n} processes carry the tag")),
            n => Err(format!("{n} processes are said to carry the tag")),
        });
        bench.note(code, found, "answer { executions: [{ pid?, command?, executionId }] }, by tag");
    }
}

/// Kills the plugin in the middle of a command.
pub(super) async fn survive(bench: &mut Bench, lease: &Tried, cwd: &str) {
    let script = "for i in 1 2 3 4 5 6; do echo line $i; sleep 0.4; done; exit 4";
    let mut tryout = Tryout::new(script);
    let mut before = Got::default();
    if let Err(words) = try_out(bench, lease, cwd, &tryout, Some(&mut before)).await
        && words != "killed"
    {
        bench.error("killed", words, STREAM_HINT);
        return;
    }
    let up: Result<Arc<Connection>, String> = bench.up().await;
    let began = up.map(|_| "a new instance begins".to_owned());
    bench.note("killed", began, "keep nothing in memory that the next instance needs");
    if !bench.hello.driver(&bench.driver).is_ok_and(|driver| driver.resumes_executions) {
        let hint = "declare resumesExecutions where an execution outlives the plugin";
        bench.warn("follow_on", "a command is lost with the plugin", hint);
        return;
    }
    tryout.from = [before.streams[0].len() as u64, before.streams[1].len() as u64];
    let whole = try_out(bench, lease, cwd, &tryout, None).await.and_then(|got| {
        let all = [before.streams[0].as_slice(), got.streams[0].as_slice()].concat();
        let right = all == b"line 1\nline 2\nline 3\nline 4\nline 5\nline 6\n" && got.answer["exitCode"] == 4;
        let words = format!("{}; in all {:?}", got.end(), String::from_utf8_lossy(&all));
        if right { Ok("the next instance follows the command on, byte for byte".to_owned()) } else { Err(words) }
    });
    bench.note("follow_on", whole, "the same executionId is the same command; fromOffset says where to go on");
}
