//! Where groups can be made, and for which caps.

use std::io;
use std::path::{Path, PathBuf};

use super::files;
use super::mounts::{self, Found, Membership, Mount, Version};

/// What can be capped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cap {
    /// Processes, threads counted.
    Processes,
    /// Memory of all of them.
    Memory,
    /// Time on processors, in thousandths of one.
    Processors,
}

impl Cap {
    /// Those that a run can have; a sandbox can also be capped in its processors.
    pub const ALL: [Self; 2] = [Self::Memory, Self::Processes];

    /// The kernel's name for who keeps it.
    pub const fn controller(self) -> &'static str {
        match self {
            Self::Processes => "pids",
            Self::Memory => "memory",
            Self::Processors => "cpu",
        }
    }
}

/// Where one group can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Kind of hierarchy.
    pub version: Version,
    /// Group in which it is made.
    pub parent: PathBuf,
    /// Group of the process that makes it.
    pub home: PathBuf,
    /// What it caps; nothing where it only holds the processes together.
    pub caps: Vec<Cap>,
}

/// Where the groups of a process' children can be made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Places {
    /// One for each hierarchy that is needed.
    pub places: Vec<Place>,
    /// Caps that cannot be kept, and why.
    pub refused: Vec<(Cap, String)>,
}

/// What the kernel says of a process.
#[derive(Debug)]
pub(super) struct Texts {
    pub mounts: Vec<Mount>,
    pub memberships: Vec<Membership>,
}

impl Texts {
    /// Of one process, or of this one.
    pub fn of(pid: Option<i32>) -> io::Result<Self> {
        let who = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
        let words = |path: &str, e: io::Error| io::Error::new(e.kind(), format!("{path} cannot be read: {e}"));
        let read = |path: &str| std::fs::read(path).map_err(|e| words(path, e));
        Ok(Self {
            mounts: mounts::mounts(&read("/proc/self/mountinfo")?),
            memberships: mounts::memberships(&read(&format!("/proc/{who}/cgroup"))?),
        })
    }
}

/// Looks where groups for children of a process (of this one, when none is named) could be made that
/// keep these caps. Changes nothing.
pub fn places(pid: Option<i32>, caps: &[Cap]) -> Places {
    match Texts::of(pid) {
        Ok(texts) => choose(&texts, caps, &is_delegated),
        Err(error) => {
            Places { places: Vec::new(), refused: caps.iter().map(|cap| (*cap, error.to_string())).collect() }
        }
    }
}

fn choose(texts: &Texts, caps: &[Cap], delegated: &dyn Fn(&Path) -> bool) -> Places {
    let mut out = Places::default();
    let second = mounts::find(&texts.mounts, &texts.memberships, None);
    for &cap in caps {
        let name = cap.controller();
        let first = mounts::find(&texts.mounts, &texts.memberships, Some(name));
        let found = match (first, &second) {
            (Some(found), _) => {
                Ok(Place { version: Version::V1, parent: found.dir.clone(), home: found.dir, caps: vec![cap] })
            }
            (None, Some(second)) => of_second_kind(second, cap, delegated),
            (None, None) => Err(format!("the kernel offers no control group with {name} here")),
        };
        match found {
            // One hierarchy may keep both.
            Ok(place) => match out.places.iter_mut().find(|p| p.parent == place.parent) {
                Some(known) => known.caps.push(cap),
                None => out.places.push(place),
            },
            Err(why) => out.refused.push((cap, why)),
        }
    }
    // Without any cap it still holds the run's processes together, and ends them at one word.
    if let Some(found) = second
        && !caps.is_empty()
        && !out.places.iter().any(|p| p.version == Version::V2)
        && (is_ours(&found.dir, &found.top, delegated) || leaf_parent(&found, delegated).is_some())
    {
        let (version, parent, home) = (Version::V2, found.dir.clone(), found.dir);
        out.places.push(Place { version, parent, home, caps: Vec::new() });
    }
    out
}

/// In the one hierarchy of the second kind a group that holds processes gives its children no
/// controllers: only beside a leaf, in a group that was handed over to us, can there be one that has them.
fn of_second_kind(found: &Found, cap: Cap, delegated: &dyn Fn(&Path) -> bool) -> Result<Place, String> {
    let place = |parent: &Path| Place {
        version: Version::V2,
        parent: parent.to_owned(),
        home: found.dir.clone(),
        caps: vec![cap],
    };
    let name = cap.controller();
    let own = is_ours(&found.dir, &found.top, delegated);
    let has =
        |dir: &Path, file: &str| files::read(dir, file).is_some_and(|t| t.split_ascii_whitespace().any(|w| w == name));
    if own && has(&found.dir, "cgroup.subtree_control") {
        return Ok(place(&found.dir));
    }
    // The root of all has no type, and is the only one that may do both.
    if own && files::read(&found.dir, "cgroup.type").is_none() && has(&found.dir, "cgroup.controllers") {
        return Ok(place(&found.dir));
    }
    let shown = shown(found);
    match leaf_parent(found, delegated) {
        Some(parent) if has(parent, "cgroup.controllers") => Ok(place(parent)),
        Some(_) => Err(format!("the control group above {shown} was given no {name}")),
        None if own => Err(format!("control group {shown} holds wharf itself, so it gives {name} to no group below")),
        None => {
            Err(format!("control group {shown} is not wharf's to divide; a service with Delegate= has one that is"))
        }
    }
}

/// Whether groups may be made in a group: it was handed over to us, or there is nobody above.
fn is_ours(dir: &Path, top: &Path, delegated: &dyn Fn(&Path) -> bool) -> bool {
    dir == top || delegated(dir)
}

/// The group above, when it was handed over to us. That of a user's whole manager is the manager's.
fn leaf_parent<'a>(found: &'a Found, delegated: &dyn Fn(&Path) -> bool) -> Option<&'a Path> {
    let parent = found.dir.parent().filter(|p| found.dir != found.top && p.starts_with(&found.top))?;
    let is_manager = parent.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"user@"));
    (!is_manager && delegated(parent)).then_some(parent)
}

/// The group as people know it.
fn shown(found: &Found) -> String {
    let rest = found.dir.strip_prefix(&found.top).unwrap_or(&found.dir);
    format!("/{}", rest.display())
}

/// Whether the service manager marked a group as handed over.
fn is_delegated(dir: &Path) -> bool {
    ["user.delegate", "trusted.delegate"].iter().any(|name| {
        let mut value = [0_u8; 8];
        rustix::fs::getxattr(dir, *name, &mut value[..]).is_ok_and(|n| value[..n] == *b"1")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A made-up tree of the second kind: groups with what they have and what they give.
    fn tree(groups: &[(&str, &str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, has, gives) in groups {
            let dir = root.path().join(path);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("cgroup.controllers"), has).unwrap();
            std::fs::write(dir.join("cgroup.subtree_control"), gives).unwrap();
            if !path.is_empty() {
                std::fs::write(dir.join("cgroup.type"), "domain\n").unwrap();
            }
        }
        root
    }

    fn texts(root: &Path, own: &str) -> Texts {
        let mounts = format!("31 24 0:27 / {} rw - cgroup2 cgroup2 rw\n", root.display());
        let memberships = mounts::memberships(format!("0::{own}\n").as_bytes());
        Texts { mounts: mounts::mounts(mounts.as_bytes()), memberships }
    }

    #[test]
    fn where_the_second_kind_can_be_divided() {
        let both = "cpu memory pids";
        let root = tree(&[
            ("", both, both),
            ("user.slice/user@1.service/wharf.service/serve", both, ""),
            ("user.slice/user@1.service/wharf.service", both, ""),
            ("user.slice/user@1.service/poor.service/serve", "cpu", ""),
            ("user.slice/user@1.service/poor.service", "cpu", ""),
            ("user.slice/user@1.service/app.service", both, ""),
            ("user.slice/session-3.scope", both, ""),
        ]);
        let manager = "/user.slice/user@1.service";
        let delegated =
            |dir: &Path| ["user@1.service", "wharf.service", "poor.service"].iter().any(|name| dir.ends_with(name));
        // Own group, where the caps are kept, words of the reason.
        let table: [(String, Option<&str>, &str); 7] = [
            (format!("{manager}/wharf.service/serve"), Some("user.slice/user@1.service/wharf.service"), ""),
            (format!("{manager}/wharf.service"), None, "holds wharf itself"),
            (format!("{manager}/poor.service/serve"), None, "was given no"),
            // That group is handed over to the user's manager, not to us.
            (format!("{manager}/app.service"), None, "is not wharf's to divide"),
            ("/user.slice/session-3.scope".to_owned(), None, "/user.slice/session-3.scope is not wharf's"),
            ("/".to_owned(), Some(""), ""),
            ("/../elsewhere".to_owned(), None, "the kernel offers no control group with"),
        ];
        for (own, kept, why) in table {
            let places = choose(&texts(root.path(), &own), &Cap::ALL, &delegated);
            let with_caps: Vec<&Place> = places.places.iter().filter(|p| !p.caps.is_empty()).collect();
            match kept {
                Some(dir) => {
                    assert_eq!(with_caps.len(), 1, "{own}: {places:?}");
                    assert_eq!(
                        (with_caps[0].parent.clone(), with_caps[0].caps.len()),
                        (root.path().join(dir), 2),
                        "{own}"
                    );
                    assert_eq!(places.refused, [], "{own}");
                }
                None => {
                    assert!(with_caps.is_empty(), "{own}: {places:?}");
                    assert!(places.refused.iter().all(|(_, words)| words.contains(why)), "{own}: {places:?}");
                    assert_eq!(places.refused.len(), 2, "{own}");
                }
            }
        }
    }

    #[test]
    fn the_mark_of_the_service_manager_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_delegated(dir.path()));
        let set =
            |value: &[u8]| rustix::fs::setxattr(dir.path(), "user.delegate", value, rustix::fs::XattrFlags::empty());
        if set(b"0").is_err() {
            // The file system keeps no such marks.
            return;
        }
        assert!(!is_delegated(dir.path()));
        set(b"1").unwrap();
        assert!(is_delegated(dir.path()));
        set(b"1 and much more than a mark").unwrap();
        assert!(!is_delegated(dir.path()));
    }

    #[test]
    fn the_root_of_a_container_holds_processes_and_divides_nothing() {
        let root = tree(&[("", "memory pids", "")]);
        std::fs::write(root.path().join("cgroup.type"), "domain\n").unwrap();
        let places = choose(&texts(root.path(), "/"), &[Cap::Memory], &|_| false);
        assert!(places.refused[0].1.contains("holds wharf itself"), "{places:?}");
        // It still may hold a run's processes together.
        assert_eq!(places.places.len(), 1);
        assert_eq!(places.places[0].caps, []);
    }

    #[test]
    fn hierarchies_of_the_first_kind_are_used_for_what_they_have() {
        let mounts = "20 1 0:18 / /c/both rw - cgroup none rw,memory,pids\n";
        let memberships = mounts::memberships(b"1:memory,pids:/a\n");
        let texts = Texts { mounts: mounts::mounts(mounts.as_bytes()), memberships };
        let places = choose(&texts, &Cap::ALL, &|_| false);
        let both = PathBuf::from("/c/both/a");
        let place = Place { version: Version::V1, parent: both.clone(), home: both, caps: Cap::ALL.to_vec() };
        assert_eq!(places, Places { places: vec![place], refused: Vec::new() });
        assert_eq!(choose(&texts, &[], &|_| false), Places::default());
    }
}
