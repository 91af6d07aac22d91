//! Where a process stands among control groups, read from the kernel's two texts. Nothing here
//! touches a file, and no text makes it panic.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// Which of the kernel's two kinds a hierarchy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// A hierarchy for each controller or few.
    V1,
    /// The one hierarchy for all controllers.
    V2,
}

impl Version {
    /// In words for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::V1 => "cgroup v1",
            Self::V2 => "cgroup v2",
        }
    }
}

/// One mount of a hierarchy, from `/proc/<pid>/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Kind of hierarchy.
    pub version: Version,
    /// Controllers of it; always empty for the second kind, which says them in each group.
    pub controllers: Vec<String>,
    /// Group that is to be seen at the mount's place.
    pub root: PathBuf,
    /// Its place in the file system.
    pub point: PathBuf,
}

/// One line of `/proc/<pid>/cgroup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Kind of hierarchy.
    pub version: Version,
    /// Controllers of it.
    pub controllers: Vec<String>,
    /// The group, as seen from the root of the reader's namespace.
    pub path: PathBuf,
}

/// A group found in the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Kind of hierarchy.
    pub version: Version,
    /// Place of the hierarchy: nothing above it can be reached.
    pub top: PathBuf,
    /// Directory of the group; `top` or below it.
    pub dir: PathBuf,
}

/// Reads mounts of control groups; lines that are something else or broken are passed over.
pub fn mounts(text: &[u8]) -> Vec<Mount> {
    text.split(|b| *b == b'\n').filter_map(mount).collect()
}

fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|b| *b == b' ');
    let root = path(fields.nth(3)?);
    let point = path(fields.next()?);
    // Options of the mount, then optional fields up to a dash.
    fields.by_ref().skip(1).find(|field| *field == b"-")?;
    let version = match fields.next()? {
        b"cgroup" => Version::V1,
        b"cgroup2" => Version::V2,
        _ => return None,
    };
    let options = fields.nth(1).unwrap_or_default();
    let controllers = match version {
        Version::V1 => words(options),
        Version::V2 => Vec::new(),
    };
    (root.is_absolute() && point.is_absolute()).then_some(Mount { version, controllers, root, point })
}

/// Reads which groups a process is in; broken lines are passed over.
pub fn memberships(text: &[u8]) -> Vec<Membership> {
    text.split(|b| *b == b'\n').filter_map(membership).collect()
}

fn membership(line: &[u8]) -> Option<Membership> {
    // A path may hold colons, the other two may not.
    let mut fields = line.splitn(3, |b| *b == b':');
    let number = fields.next()?;
    let controllers = fields.next()?;
    let path = PathBuf::from(OsString::from_vec(fields.next()?.to_vec()));
    let version = if number == b"0" && controllers.is_empty() { Version::V2 } else { Version::V1 };
    path.is_absolute().then(|| Membership { version, controllers: words(controllers), path })
}

/// Where the group of a process is that a controller of the first kind has, or (without one) its
/// group in the hierarchy of the second kind.
///
/// `None` when there is no such hierarchy, or its group is not to be seen from here: in a container
/// that was given another part of the tree, or whose namespace begins elsewhere.
pub fn find(mounts: &[Mount], memberships: &[Membership], controller: Option<&str>) -> Option<Found> {
    let version = if controller.is_some() { Version::V1 } else { Version::V2 };
    let has = |names: &[String]| controller.is_none_or(|wanted| names.iter().any(|name| name == wanted));
    let member = memberships.iter().find(|m| m.version == version && has(&m.controllers))?;
    // A later mount covers an earlier one at the same place.
    mounts.iter().rev().filter(|m| m.version == version && has(&m.controllers)).find_map(|mount| {
        let rest = member.path.strip_prefix(&mount.root).ok()?;
        // A group outside of the namespace is named by steps upwards; they lead nowhere here.
        let is_plain = |path: &Path| path.components().all(|c| matches!(c, Component::Normal(_) | Component::RootDir));
        (is_plain(rest) && is_plain(&mount.root)).then(|| {
            let dir = if rest.as_os_str().is_empty() { mount.point.clone() } else { mount.point.join(rest) };
            Found { version, top: mount.point.clone(), dir }
        })
    })
}

fn words(list: &[u8]) -> Vec<String> {
    list.split(|b| *b == b',').filter(|w| !w.is_empty()).map(|w| String::from_utf8_lossy(w).into_owned()).collect()
}

/// A path as mountinfo writes it: blanks, tabs, newlines and backslashes as three octal digits.
fn path(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|d| first == b'\\' && d.iter().all(|b| (b'0'..=b'7').contains(b)));
        let byte = digits.map(|d| d.iter().fold(0_u32, |n, b| n * 8 + u32::from(b - b'0')));
        match byte.and_then(|n| u8::try_from(n).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A machine: its mounts, the groups of a process, and where memory, pids and the second kind are.
    type Machine = (&'static str, &'static str, &'static str, [Option<(&'static str, &'static str)>; 3]);

    const MACHINES: &[Machine] = &[
        (
            "systemd, second kind only",
            "31 24 0:27 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n",
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/wharf.service/serve\n",
            [
                None,
                None,
                Some((
                    "/sys/fs/cgroup",
                    "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/wharf.service/serve",
                )),
            ],
        ),
        (
            "systemd, hybrid",
            "30 23 0:25 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:8 - tmpfs tmpfs ro,mode=755\n\
             31 30 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n\
             32 30 0:27 / /sys/fs/cgroup/systemd rw,nosuid shared:10 - cgroup cgroup rw,xattr,name=systemd\n\
             36 30 0:31 / /sys/fs/cgroup/memory rw,nosuid shared:15 - cgroup cgroup rw,memory\n\
             37 30 0:32 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:16 - cgroup cgroup rw,cpu,cpuacct\n\
             38 30 0:33 / /sys/fs/cgroup/pids rw,nosuid shared:17 - cgroup cgroup rw,pids\n",
            "12:cpu,cpuacct:/user.slice\n9:pids:/user.slice/user-0.slice/session-3.scope\n\
             4:memory:/user.slice/user-0.slice/session-3.scope\n1:name=systemd:/user.slice/user-0.slice/session-3.scope\n\
             0::/user.slice/user-0.slice/session-3.scope\n",
            [
                Some(("/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/user.slice/user-0.slice/session-3.scope")),
                Some(("/sys/fs/cgroup/pids", "/sys/fs/cgroup/pids/user.slice/user-0.slice/session-3.scope")),
                Some(("/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/user.slice/user-0.slice/session-3.scope")),
            ],
        ),
        (
            "first kind only, two controllers in one place, without systemd",
            "20 1 0:18 / /cgroup rw - cgroup none rw,memory,pids\n",
            "1:memory,pids:/\n",
            [Some(("/cgroup", "/cgroup")), Some(("/cgroup", "/cgroup")), None],
        ),
        (
            "container of the first kind that sees its own part only",
            "900 890 0:31 /docker/4f2a /sys/fs/cgroup/memory ro,nosuid master:15 - cgroup cgroup rw,memory\n\
             901 890 0:33 /docker/4f2a /sys/fs/cgroup/pids ro,nosuid master:17 - cgroup cgroup rw,pids\n",
            "9:pids:/docker/4f2a\n4:memory:/docker/4f2a/inner\n",
            [
                Some(("/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/inner")),
                Some(("/sys/fs/cgroup/pids", "/sys/fs/cgroup/pids")),
                None,
            ],
        ),
        (
            "container with a namespace of its own",
            "700 690 0:27 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n",
            "0::/\n",
            [None, None, Some(("/sys/fs/cgroup", "/sys/fs/cgroup"))],
        ),
        (
            "a mount made outside of the namespace",
            "700 690 0:27 /../../system.slice /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
            "0::/\n",
            [None, None, None],
        ),
        (
            "a process outside of the namespace",
            "700 690 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
            "0::/../other\n",
            [None, None, None],
        ),
        (
            "another part than the one mounted, and a name that only begins alike",
            "9 8 0:31 /docker/4f /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
            "4:memory:/docker/4f2a\n",
            [None, None, None],
        ),
        (
            "a place with blanks, a group with colons, a mount over another",
            "9 8 0:31 / /old rw shared:1 master:2 - cgroup2 none rw\n\
             10 8 0:31 / /my\\040groups\\134x rw - cgroup2 none rw\n",
            "0::/a:b/c d\n",
            [None, None, Some(("/my groups\\x", "/my groups\\x/a:b/c d"))],
        ),
        ("no control groups at all", "22 1 0:20 / /proc rw - proc proc rw\n", "", [None, None, None]),
    ];

    #[test]
    fn machines_table() {
        for (name, mountinfo, cgroup, expected) in MACHINES {
            let (mounts, memberships) = (mounts(mountinfo.as_bytes()), memberships(cgroup.as_bytes()));
            let found = [Some("memory"), Some("pids"), None].map(|wanted| find(&mounts, &memberships, wanted));
            for (found, expected) in found.iter().zip(expected) {
                let found = found.as_ref().map(|f| (f.top.to_str().unwrap(), f.dir.to_str().unwrap()));
                assert_eq!(found, *expected, "{name}");
            }
        }
    }

    #[test]
    fn broken_lines_are_passed_over() {
        let whole = "31 24 0:27 / /g rw - cgroup2 cgroup2 rw";
        assert_eq!(mounts(whole.as_bytes()).len(), 1);
        for broken in
            ["", "-", "31 24 0:27", "31 24 0:27 / /g rw cgroup2 x rw", "a b c d e - cgroup2 x rw", "1 2 3 / /g rw -"]
        {
            assert_eq!(mounts(broken.as_bytes()), [], "{broken:?}");
        }
        // Not even controllers: then it has none that anyone asks for.
        assert_eq!(mounts(b"9 8 0:31 / /m rw - cgroup cgroup")[0].controllers, Vec::<String>::new());
        for broken in ["", ":", "0:", "0::", "0::relative", "4:memory"] {
            assert_eq!(memberships(broken.as_bytes()), [], "{broken:?}");
        }
        assert_eq!(path(b"\\04"), Path::new("\\04"));
        assert_eq!(path(b"\\777\\\\"), Path::new("\\777\\\\"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(a in proptest::collection::vec(any::<u8>(), 0..300), b in proptest::collection::vec(any::<u8>(), 0..300)) {
            let (mounts, memberships) = (mounts(&a), memberships(&b));
            for wanted in [Some("memory"), None] {
                let _ = find(&mounts, &memberships, wanted);
            }
        }

        #[test]
        fn what_is_found_is_below_its_mount(cut in 0usize..900, which in 0usize..10, swap in 0usize..10) {
            let (_, mountinfo, ..) = MACHINES[which];
            let (_, _, cgroup, _) = MACHINES[swap];
            let mounts = mounts(&mountinfo.as_bytes()[..cut.min(mountinfo.len())]);
            let memberships = memberships(cgroup.as_bytes());
            for wanted in [Some("memory"), Some("pids"), None] {
                if let Some(found) = find(&mounts, &memberships, wanted) {
                    prop_assert!(found.dir.starts_with(&found.top));
                    let has_steps_up = found.dir.components().any(|c| c == Component::ParentDir);
                    prop_assert!(!has_steps_up);
                }
            }
        }
    }
}
