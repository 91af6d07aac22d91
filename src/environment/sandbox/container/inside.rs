//! Processes in a container: what runs there is no descendant of a shim, and is found by its environment.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::super::program::Said;
use super::engine::{Engine, trouble};
use crate::environment::driver::PlaceProcess;

/// Prints `T pid stat…` for each process that carries the tag and `- pid stat…` for the others; with a signal as
/// second argument those that carry it are sent it.
pub const SCRIPT: &str = r#"
command -v tr >/dev/null && command -v grep >/dev/null || { echo "the image has no tr or no grep" >&2; exit 99; }
for d in /proc/[0-9]*; do
  p=${d#/proc/}
  [ "$p" = "$$" ] && continue
  l=
  read -r l 2>/dev/null <"$d/stat" || continue
  m=-
  if tr '\0' '\n' 2>/dev/null <"$d/environ" | grep -qxF "WHARF_TAG=$1"; then
    m=T
    [ -n "$2" ] && kill -s "$2" "$p" 2>/dev/null
  fi
  echo "$m $p $l"
done
"#;
/// Time in which processes must be gone once SIGKILL was sent.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// Time between two looks: each starts a process there.
const PAUSE: Duration = Duration::from_millis(200);

/// The words that run the script.
pub fn words(name: &str, tag: &str, signal: &str) -> Vec<String> {
    ["exec", name, "/bin/sh", "-c", SCRIPT, "sh", tag, signal].map(str::to_owned).to_vec()
}

/// Those in a container that carry a tag, and what they started.
///
/// # Errors
/// In words: it is then unknown.
pub async fn list(engine: &Engine, name: &str, tag: &str) -> Result<Vec<PlaceProcess>, String> {
    signal(engine, name, tag, "").await
}

async fn signal(engine: &Engine, name: &str, tag: &str, signal: &str) -> Result<Vec<PlaceProcess>, String> {
    match engine.look(name).await? {
        // One that does not run has no processes.
        None => return Ok(Vec::new()),
        Some(known) if ["created", "configured", "exited", "stopped", "dead"].contains(&known.status.as_str()) => {
            return Ok(Vec::new());
        }
        Some(_) => {}
    }
    let said = engine.call(&words(name, tag, signal)).await?;
    if !said.ok() {
        return Err(format!("who runs in {name} cannot be read: {}", trouble(&said)));
    }
    let found = read(&said);
    let children: Vec<String> = found.iter().filter(|f| !f.tagged).map(|f| f.process.pid.to_string()).collect();
    if !signal.is_empty() && !children.is_empty() {
        let mut words = ["exec", name, "/bin/sh", "-c", "kill -s \"$@\"", "sh", signal].map(str::to_owned).to_vec();
        words.extend(children);
        // One that has ended meanwhile makes this fail; the next look says who is left.
        let _ = engine.call(&words).await?;
    }
    Ok(found.into_iter().map(|f| f.process).collect())
}

/// Asks them to end, after the grace by force; says who is left.
///
/// # Errors
/// In words: it is then unknown.
pub async fn stop(engine: &Engine, name: &str, tag: &str, grace: Duration) -> Result<Vec<PlaceProcess>, String> {
    let mut left = signal(engine, name, tag, "TERM").await?;
    let kill_at = Instant::now() + grace;
    while !left.is_empty() && Instant::now() < kill_at {
        tokio::time::sleep(PAUSE.min(kill_at - Instant::now())).await;
        left = list(engine, name, tag).await?;
    }
    let give_up = Instant::now() + KILL_LIMIT;
    while !left.is_empty() && Instant::now() < give_up {
        signal(engine, name, tag, "KILL").await?;
        tokio::time::sleep(PAUSE).await;
        left = list(engine, name, tag).await?;
    }
    Ok(left)
}

struct Found {
    tagged: bool,
    parent: i64,
    process: PlaceProcess,
}

/// Living processes that carry the tag, and their descendants.
fn read(said: &Said) -> Vec<Found> {
    let mut all: Vec<Found> = said.out.lines().filter_map(line).collect();
    let mut ours: BTreeSet<i64> = all.iter().filter(|f| f.tagged).map(|f| f.process.pid).collect();
    let mut before = 0;
    while ours.len() > before {
        before = ours.len();
        ours.extend(all.iter().filter(|f| ours.contains(&f.parent)).map(|f| f.process.pid).collect::<Vec<_>>());
    }
    all.retain(|f| ours.contains(&f.process.pid));
    all
}

fn line(text: &str) -> Option<Found> {
    let (mark, rest) = text.split_once(' ')?;
    let (pid, stat) = rest.split_once(' ')?;
    let pid: i64 = pid.parse().ok()?;
    let command = stat.split_once('(').and_then(|(_, rest)| Some(rest.rsplit_once(')')?.0)).unwrap_or("?").to_owned();
    let mut fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ');
    let state = fields.next().unwrap_or_default();
    let parent = fields.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let lives = !matches!(state, "Z" | "X");
    lives.then(|| Found { tagged: mark == "T", parent, process: PlaceProcess { pid, command } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_a_container_is_read() {
        let out = "- 1 1 (init) S 0 1\nT 7 7 (odd (name) S) S 1 7\n- 8 8 (child) R 7 7\n- 9 9 (grand) S 8 7\nT 10 10 (dead) Z 1 1\n- 11 11 (x) S 1 1\nT 12 12 (cut";
        let found = read(&Said { code: 0, out: out.into(), err: String::new() });
        let told: Vec<(i64, &str)> = found.iter().map(|f| (f.process.pid, f.process.command.as_str())).collect();
        assert_eq!(told, [(7, "odd (name) S"), (8, "child"), (9, "grand"), (12, "?")]);
    }
}
