//! A worktree of a large repository, made for a run, beside `git worktree add` by hand.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wharf_model::{RunId, Step};

use crate::measure::{self, Target};
use crate::place::directory;
use crate::runs::Reigning;

/// Files of one directory.
const IN_DIRECTORY: usize = 100;
/// Longest time for one run.
const LONGEST: Duration = Duration::from_mins(14);

/// Files of the repository: 50,000, or as many as `WHARF_BENCH_FILES` says where the disk is busy.
fn files() -> usize {
    std::env::var("WHARF_BENCH_FILES").ok().and_then(|n| n.parse().ok()).unwrap_or(50_000)
}

fn git(at: &Path, args: &[&str]) {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=b", "-c", "user.email=b@example.org", "-c", "gc.auto=0"]).args(args);
    let status = command.current_dir(at).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success(), "git {args:?}");
}

fn fill(at: &Path) {
    git(at, &["init", "-q", "-b", "main"]);
    for file in 0..files() {
        let directory = at.join(format!("d{}/e{}", file / 5_000, file / IN_DIRECTORY));
        if file % IN_DIRECTORY == 0 {
            std::fs::create_dir_all(&directory).unwrap();
        }
        std::fs::write(directory.join(format!("f{file}.rs")), format!("fn f{file}() {{}}\n").repeat(20)).unwrap();
    }
    git(at, &["add", "-A"]);
    git(at, &["commit", "-q", "-m", "all"]);
}

/// Time that a run's workspace took: from the step's begin to its end, as both were committed.
fn realised(reign: &Reigning, run: RunId) -> f64 {
    let steps = reign.steps(run);
    let step = steps.iter().find(|s| s.step == Step::Realise).unwrap();
    step.started_at.unwrap().until(step.finished_at.unwrap()) as f64 / 1e3
}

/// W1.
pub fn large() {
    let root = directory();
    let mut reign = Reigning::begin_in(2, &["/bin/true"], "mode = \"isolated_workspace\"", fill);
    let repo: PathBuf = reign.project();
    let mut by_hand = 0;
    // As much in a second, so that more is better.
    let limit = || {
        by_hand += 1;
        let (at, branch) = (root.path().join(format!("w{by_hand}")), format!("by-hand-{by_hand}"));
        let began = Instant::now();
        git(&repo, &["worktree", "add", "-q", "-b", &branch, at.to_str().unwrap()]);
        let took = began.elapsed().as_secs_f64();
        git(&repo, &["worktree", "remove", "--force", at.to_str().unwrap()]);
        files() as f64 / took
    };
    let product = || {
        let request = reign.start(0);
        let run = reign.ended_within(&request, LONGEST);
        let took = realised(&reign, run);
        for tree in std::fs::read_dir(repo.join(".wharf/worktrees")).unwrap().flatten() {
            if tree.path().is_dir() {
                git(&repo, &["worktree", "remove", "--force", "--force", tree.path().to_str().unwrap()]);
            }
        }
        files() as f64 / took
    };
    let what = format!("{} files in a worktree for a run, beside git worktree add", files());
    measure::rate("W1", &what, "files/s", Target::Least(1.0 / 1.1), limit, product);
}
