//! Rules about the source itself: who may know whom, where `unsafe` may stand, what must not be left behind.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a source directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

fn all() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for dir in ["src", "ui/src", "store/src", "store/model/src", "tests"] {
        sources(&root().join(dir), &mut files);
    }
    files.into_iter().map(|p| (p.clone(), std::fs::read_to_string(&p).expect("a source file"))).collect()
}

fn dependencies(manifest: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join(manifest)).expect("a manifest");
    let table: toml::Table = text.parse().expect("a manifest is TOML");
    table.get("dependencies").and_then(toml::Value::as_table).map(|t| t.keys().cloned().collect()).unwrap_or_default()
}

#[test]
fn packages_know_only_who_they_may() {
    let forbidden: [(&str, &[&str]); 3] = [
        (
            "store/model/Cargo.toml",
            &["tokio", "rusqlite", "rustix", "ratatui", "crossterm", "wharf-store", "wharf-ui", "libc"],
        ),
        ("ui/Cargo.toml", &["tokio", "rusqlite", "rustix", "libc", "wharf-store", "git2"]),
        ("store/Cargo.toml", &["tokio", "ratatui", "crossterm", "wharf-ui", "git2"]),
    ];
    for (manifest, names) in forbidden {
        let has = dependencies(manifest);
        for name in names {
            assert!(!has.contains(*name), "{manifest} must not depend on {name}");
        }
    }
}

#[test]
fn the_screens_touch_nothing() {
    for (path, text) in all().iter().filter(|(p, _)| p.starts_with(root().join("ui/src"))) {
        for word in ["std::fs", "std::net", "std::process::Command", "SystemTime::now", "Instant::now", "std::thread"] {
            assert!(!text.contains(word), "{} uses {word}", path.display());
        }
    }
}

#[test]
fn only_the_process_room_is_unsafe() {
    for (path, text) in all() {
        let here = path.strip_prefix(root()).expect("below the root").to_owned();
        if here.starts_with("src/process") || here == Path::new("tests/tidy.rs") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            assert!(!code.contains("unsafe {"), "{}:{} has unsafe code", here.display(), number + 1);
        }
    }
}

#[test]
fn only_the_worktree_room_uses_libgit2() {
    for (path, text) in all() {
        let here = path.strip_prefix(root()).expect("below the root").to_owned();
        let may = ["src/workspace", "src/config/find.rs", "src/process/libgit2.rs", "tests"]
            .iter()
            .any(|p| here.starts_with(p));
        assert!(
            may || !text.split("#[cfg(test)]").next().is_some_and(|code| code.contains("git2::")),
            "{} uses git2",
            here.display()
        );
        // These take every id for one of SHA-1.
        let short =
            ["Oid::from_str(", "Oid::hash_object(", "Oid::hash_file(", "Index::open(", "Index::new()", "<Oid>()"];
        let short = short.into_iter().chain(["<git2::Oid>()"]).find(|word| {
            here.starts_with("src/workspace")
                && text.split("#[cfg(test)]").next().is_some_and(|code| code.contains(word))
        });
        assert_eq!(short, None, "{} knows no SHA-256", here.display());
        // Elsewhere libgit2 would not have been told what it may open.
        let opens = ["Repository::open", "Repository::discover"];
        assert!(
            here.starts_with("src/workspace/opening.rs")
                || here.starts_with("tests")
                || !text.split("#[cfg(test)]").next().is_some_and(|code| opens.iter().any(|o| code.contains(o))),
            "{} opens a repository by itself",
            here.display()
        );
    }
}

#[test]
fn the_core_reads_no_clock_and_does_no_io() {
    for (path, text) in all().iter().filter(|(p, _)| {
        p.starts_with(root().join("src/dispatch/decide")) || p.starts_with(root().join("store/model/src"))
    }) {
        for word in ["clock::now", "SystemTime::now", "std::fs", "tokio::", "Uuid::now_v7", "rusqlite"] {
            assert!(!text.contains(word), "{} uses {word}", path.display());
        }
    }
}

#[test]
fn nobody_opens_what_sqlite_locks() {
    for (path, text) in all() {
        let here = path.strip_prefix(root()).expect("below the root").to_owned();
        if here.starts_with("tests") || here.to_string_lossy().contains("test") {
            continue;
        }
        for (number, line) in text.split("#[cfg(test)]").next().unwrap_or_default().lines().enumerate() {
            let names = line.contains("wharf.db\"") || line.contains("wharf.db-shm") || line.contains("database(dir)");
            let opens = ["File::open(", "fs::read(", ".open(", "fs::copy("].iter().any(|word| line.contains(word));
            assert!(
                !(names && opens),
                "{}:{} opens a file that SQLite holds locks on: closing it drops them all; use store/src/probe.rs",
                here.display(),
                number + 1
            );
        }
    }
}

#[test]
fn nothing_is_left_undone() {
    for (path, text) in all() {
        if path.ends_with("tests/tidy.rs") {
            continue;
        }
        for word in [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("FIX", "ME"), concat!("XX", "X ")] {
            assert!(!text.contains(word), "{} has {word}", path.display());
        }
    }
}

#[test]
fn only_the_clock_reads_the_wall_clock() {
    for (path, text) in all() {
        let here = path.strip_prefix(root()).expect("below the root").to_owned();
        let may = here == Path::new("src/clock.rs")
            || here.starts_with("src/shim")
            || here.starts_with("tests")
            || here.to_string_lossy().contains("test");
        assert!(may || !text.contains("SystemTime::now"), "{} reads the wall clock", here.display());
    }
}

#[test]
fn every_request_kind_is_reachable() {
    let text: String =
        all().iter().filter(|(p, _)| p.starts_with(root().join("src/cli"))).map(|(_, t)| t.as_str()).collect();
    let ui: String =
        all().iter().filter(|(p, _)| p.starts_with(root().join("ui/src"))).map(|(_, t)| t.as_str()).collect();
    for kind in wharf_model::RequestKind::ALL {
        let word = kind.as_str();
        let from_a_run = word.starts_with("agent.");
        assert!(
            from_a_run || text.contains(word) || ui.contains(word) || word == "orchestrator.stop",
            "{word} has no subcommand and no key"
        );
    }
}
