//! What a shim that died left behind: found, stopped, told.

use std::path::Path;
use std::time::Duration;

use wharf_model::shim::{ChildRef, IdFile};

use crate::process::{cgroup, identity, shim_dir, terminate};

/// Longest grace of what has no keeper any more.
const GRACE_MS_MAX: u64 = 2_000;

/// The child that a shim named, if its number still means something: it is void after another boot.
pub fn child_of(id: &IdFile) -> Option<ChildRef> {
    id.child.filter(|_| identity::boot_id().is_ok_and(|boot| boot == id.boot_id))
}

/// Stops all that carries the tag of a directory or is in its groups, whether its spec can still be read or not, and
/// the kin of its child, which may have written over what carries the tag. Blocks for the grace and a little more.
///
/// # Errors
/// In words: there is no tag to look for, or processes cannot be looked at.
pub fn stop_left(path: &Path, dir: &str, child: Option<ChildRef>) -> Result<terminate::Terminated, String> {
    let (tag, grace_ms, keep) = match shim_dir::read_spec(path) {
        Ok(spec) => (spec.tag, spec.grace_ms.min(GRACE_MS_MAX), spec.keep),
        Err(error) => match shim_dir::named(dir) {
            Some(("operation", id, _)) => (format!("operation/{id}"), GRACE_MS_MAX, Vec::new()),
            Some((kind, id, n)) => (format!("{kind}/{id}/{n}"), GRACE_MS_MAX, Vec::new()),
            None => return Err(format!("{}: {error}", path.display())),
        },
    };
    let groups = cgroup::of_directory(path, dir);
    let grace = Duration::from_millis(grace_ms);
    let done = terminate::all_of(&tag, &groups, child, grace, &keep).map_err(|e| e.to_string());
    let left = groups.remove();
    if !left.is_empty() {
        tracing::warn!(dir, ?left, "control groups of a lost run hold processes");
    }
    done
}

/// What of it was found and stopped, and what was left alone, in the words of the end's evidence.
pub fn found_words(done: &terminate::Terminated, child: Option<ChildRef>) -> String {
    let suspects = match (done.suspects.as_slice(), child) {
        ([], _) | (_, None) => String::new(),
        (suspects, Some(child)) => format!(
            "; left alone, since nothing but the number of a group or session of its child {} speaks for them: {} \
             (look at them, and end by hand what is of this run)",
            child.pid,
            suspects.join(", ")
        ),
    };
    let mark = if done.by_group { "its tag or control group" } else { "its tag" };
    if done.asked == 0 {
        return format!("none of its processes was found by {mark}{suspects}");
    }
    let more = if done.found.len() < done.asked as usize { " …" } else { "" };
    let left = match done.survivors.as_slice() {
        [] => String::new(),
        left => format!("; {} live on", left.join(", ")),
    };
    let by = match done.untagged {
        0 => format!("by {mark}"),
        n if n == done.asked => "by its child".to_owned(),
        _ => format!("by {mark} and its child"),
    };
    format!(
        "{} of its processes were found {by} and stopped, {} by force: {}{more}{left}{suspects}",
        done.asked,
        done.killed,
        done.found.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_table() {
        let child = Some(ChildRef { pid: 100, start_ticks: 1, pgid: 100, sid: 90 });
        let done = |asked, untagged, suspects: &[&str]| terminate::Terminated {
            asked,
            untagged,
            found: vec!["sleep 101".into()],
            suspects: suspects.iter().map(|s| (*s).to_owned()).collect(),
            ..terminate::Terminated::default()
        };
        let table = [
            (done(0, 0, &[]), "none of its processes was found by its tag"),
            (done(1, 0, &[]), "1 of its processes were found by its tag and stopped, 0 by force: sleep 101"),
            (done(1, 1, &[]), "1 of its processes were found by its child and stopped, 0 by force: sleep 101"),
            (
                done(2, 1, &[]),
                "2 of its processes were found by its tag and its child and stopped, 0 by force: sleep 101 …",
            ),
            (
                done(0, 0, &["sleep 7"]),
                "none of its processes was found by its tag; left alone, since nothing but the number of a group or \
                 session of its child 100 speaks for them: sleep 7 (look at them, and end by hand what is of this run)",
            ),
        ];
        for (done, words) in table {
            assert_eq!(found_words(&done, child), words);
        }
    }
}
