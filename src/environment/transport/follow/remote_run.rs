//! The calls that start, read and stop one command there.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::place::tenths;
use super::super::{Remote, Running, TREE, Trouble, pause, script};
use super::input::Input;

const START: &str = include_str!("../scripts/start.sh");
const LAUNCH: &str = include_str!("../scripts/launch.sh");
const READ: &str = include_str!("../scripts/read.sh");
const STOP: &str = include_str!("../scripts/stop.sh");
const FEED: &str = include_str!("../scripts/feed.sh");
const ENDER: &str = include_str!("../scripts/ender.sh");

/// Longest time that the telling of a start or a stop may take before the connection is taken for dead.
const TELL_LIMIT: Duration = Duration::from_secs(45);

/// How a command is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It is asked, and killed after the grace.
    Ask,
    /// It is killed.
    Force,
}

/// One command there.
#[derive(Debug)]
pub struct RemoteRun {
    /// Directory of the lease.
    pub dir: String,
    /// Name of the run's directory.
    pub name: String,
    /// What its processes carry.
    pub tag: String,
    /// Time between being asked and being killed.
    pub grace: Duration,
    /// Ways to get there.
    pub ways: Vec<Remote>,
}

impl RemoteRun {
    fn way(&self, attempt: u32) -> Result<&Remote, Trouble> {
        let ways = u32::try_from(self.ways.len()).unwrap_or(1).max(1);
        self.ways.get((attempt % ways) as usize).ok_or_else(|| Trouble::Refused("no way there was told".into()))
    }

    /// Starts it, once and for all: a second time finds it started. `may_run` is set as soon as it is not certain
    /// any more that it was not.
    pub async fn start(
        &self,
        attempt: u32,
        env: &BTreeMap<String, String>,
        cwd: &str,
        argv: &[String],
        input: &Input,
        may_run: &mut bool,
    ) -> Result<(), Trouble> {
        let remote = self.way(attempt)?;
        let length = input.first.len().to_string();
        let mode = if input.later.is_some() { "open" } else { "whole" };
        let mut args = vec![self.dir.as_str(), &self.name, cwd, &self.tag, &length, mode];
        args.extend(argv.iter().map(String::as_str));
        let launcher = format!("launcher={}", script::quote(&format!("{TREE}\n{LAUNCH}")));
        let told = async {
            let mut running = remote.start(&[TREE, &launcher, START], &args).await?;
            // From here on a lost answer says nothing.
            *may_run = true;
            let stdin = running.stdin.take();
            let feed = async {
                if let Some(mut stdin) = stdin {
                    use tokio::io::AsyncWriteExt as _;
                    // A script that has ended says why.
                    let _broken = stdin.write_all(&script::exports(env)).await;
                    let _broken = stdin.write_all(&input.first).await;
                    let _broken = stdin.shutdown().await;
                }
            };
            let (reply, ()) = tokio::join!(running.finish(), feed);
            reply
        };
        let reply = match tokio::time::timeout(TELL_LIMIT, told).await {
            Ok(reply) => reply?,
            Err(_) => return Err(Trouble::Unknown("no answer in time".into())),
        };
        if reply.code == 0 && reply.text().contains("started") {
            return Ok(());
        }
        // It was begun, and nobody has said how it goes on: whoever reads it finds out.
        if reply.code == 21 {
            return Ok(());
        }
        let words = super::super::place::failed(remote, "the command cannot be started", &reply);
        // These codes come before anything is started.
        if matches!(reply.code, 10 | 12 | 14) {
            *may_run = false;
            return Err(Trouble::Refused(words.to_string()));
        }
        Err(words)
    }

    /// Passes on a part of its input; false when it is not certain that it arrived.
    pub async fn feed(&self, attempt: u32, offset: u64, part: &[u8], last: bool) -> bool {
        let Ok(remote) = self.way(attempt) else { return false };
        let run = format!("{}/runs/{}", self.dir, self.name);
        let args = [run.as_str(), &offset.to_string(), if last { "end" } else { "more" }];
        let told = tokio::time::timeout(TELL_LIMIT, remote.run(&[FEED], &args, part)).await;
        matches!(told, Ok(Ok(reply)) if reply.code == 0)
    }

    /// Begins to read from these offsets.
    pub async fn read(&self, attempt: u32, out: u64, err: u64) -> Result<Running, Trouble> {
        let run = format!("{}/runs/{}", self.dir, self.name);
        let (out, err) = (out.to_string(), err.to_string());
        let args = [run.as_str(), &out, &err];
        let begun = tokio::time::timeout(TELL_LIMIT, self.way(attempt)?.start(&[TREE, READ], &args));
        begun.await.unwrap_or_else(|_| Err(Trouble::Unknown("no answer in time".into())))
    }

    /// Tells it to stop, again and again until it was told.
    pub async fn stop_until_told(&self, how: Stop) {
        let grace = tenths(if how == Stop::Ask { self.grace } else { Duration::ZERO });
        let ender = format!("ender={}", script::quote(&format!("{TREE}\n{ENDER}")));
        let args = [self.dir.as_str(), &self.name, &self.tag, &grace];
        let parts = [TREE, ender.as_str(), STOP];
        for attempt in 0u32.. {
            if let Ok(remote) = self.way(attempt) {
                let tried = remote.run(&parts, &args, b"");
                if let Ok(Ok(reply)) = tokio::time::timeout(TELL_LIMIT, tried).await
                    && reply.code == 0
                {
                    return;
                }
            }
            tokio::time::sleep(pause(attempt.min(3))).await;
        }
    }
}
