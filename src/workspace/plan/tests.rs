use proptest::prelude::*;
use uuid::Uuid;
use wharf_model::UnixMillis;

use super::*;
use crate::workspace::inspect::Head;
use crate::workspace::mark::Mark;

const PROJECT: ProjectId = ProjectId(Uuid::from_u128(1));
const OURS: WorkspaceId = WorkspaceId(Uuid::from_u128(2));
const OTHER: WorkspaceId = WorkspaceId(Uuid::from_u128(3));

fn entries() -> impl Strategy<Value = WorktreeEntry> {
    let paths = prop_oneof![Just("/p/w/b"), Just("/p/w/c"), Just("/p/w"), Just("/p/w/b/x")];
    let branch = prop_oneof![Just(None), Just(Some("b".to_owned())), Just(Some("c".to_owned()))];
    let reason = |workspace, new_branch| Some(LockReason { workspace, new_branch }.text());
    let locked = prop_oneof![
        Just(None),
        Just(Some("by hand".to_owned())),
        Just(reason(OURS, true)),
        Just(reason(OURS, false)),
        Just(reason(OTHER, true))
    ];
    let mark = |workspace| MarkState::Present(Mark::new(PROJECT, workspace, None, UnixMillis(0)));
    let marks = prop_oneof![
        Just(MarkState::Absent),
        Just(MarkState::Damaged("x".to_owned())),
        Just(mark(OURS)),
        Just(mark(OTHER))
    ];
    (paths, branch, locked, marks, any::<bool>(), any::<bool>()).prop_map(
        |(path, branch, locked, mark, missing, unfinished)| WorktreeEntry {
            unknown: false,
            path: path.into(),
            private_dir: "/p/.git/worktrees/x".into(),
            main: false,
            branch,
            locked,
            missing,
            unfinished,
            mark,
        },
    )
}

fn at_paths() -> impl Strategy<Value = AtPath> {
    let checkout = |common: &str, top: &str, branch: Option<&str>| AtPath::Checkout {
        common_dir: common.into(),
        top_level: Some(top.into()),
        branch: branch.map(str::to_owned),
    };
    prop_oneof![
        Just(AtPath::Free),
        Just(AtPath::EmptyDirectory),
        Just(AtPath::NotADirectory("a file")),
        Just(AtPath::OtherDirectory),
        Just(AtPath::BrokenCheckout("x".to_owned())),
        Just(checkout("/p/.git", "/p/w/b", Some("b"))),
        Just(checkout("/p/.git", "/p/w/b", Some("c"))),
        Just(checkout("/p/.git", "/p/w/b", None)),
        Just(checkout("/p/.git", "/elsewhere", Some("b"))),
        Just(checkout("/q/.git", "/p/w/b", Some("b"))),
    ]
}

prop_compose! {
    fn any_facts()(
        list in proptest::collection::vec(entries(), 0..3),
        at_path in at_paths(),
        exists in any::<bool>(),
        blocked in any::<bool>(),
        based in any::<bool>(),
    ) -> Facts {
        let mut worktrees = vec![WorktreeEntry {
            path: "/p".into(),
            private_dir: "/p/.git".into(),
            main: true,
            branch: Some("main".into()),
            locked: None,
            missing: false,
            unfinished: false,
            unknown: false,
            mark: MarkState::Absent,
        }];
        // A path is registered once.
        for entry in list {
            if worktrees.iter().all(|w| w.path != entry.path) {
                worktrees.push(entry);
            }
        }
        Facts {
            project: PROJECT,
            workspace: OURS,
            repo: RepositoryFacts {
                top_level: Some("/p".into()),
                prefix: PathBuf::new(),
                git_dir: "/p/.git".into(),
                common_dir: "/p/.git".into(),
                main_checkout: Some("/p".into()),
                linked: false,
                head: Head::Branch { name: "main".into(), commit: "0".into() },
                origin_url: None,
            },
            worktrees,
            branch: "b".into(),
            branch_facts: BranchFacts {
                commit: exists.then(|| "1".to_owned()),
                blocked_by: blocked.then(|| "b/x".to_owned()),
            },
            parent: "/p/w".into(),
            path: "/p/w/b".into(),
            at_path,
            base: if based {
                Ok(BaseRef { name: "HEAD".into(), commit: "0".into(), from: "test" })
            } else {
                Err("no base".into())
            },
        }
    }
}

fn entry_of<'a>(facts: &'a Facts, path: &Path) -> Option<&'a WorktreeEntry> {
    facts.worktrees.iter().find(|w| w.path == path)
}

fn marked_ours(entry: &WorktreeEntry) -> bool {
    matches!(&entry.mark, MarkState::Present(m) if m.workspace == OURS)
}

fn begun_by_us(entry: &WorktreeEntry) -> bool {
    entry.mark == MarkState::Absent && entry.locked.as_deref().is_some_and(|l| l.contains(&OURS.text()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_of_others_is_ever_used_or_overwritten(facts in any_facts()) {
        let free = matches!(facts.at_path, AtPath::Free | AtPath::EmptyDirectory);
        let registered = entry_of(&facts, &facts.path);
        match decide(&facts) {
            Plan::Refused(refusal) => {
                prop_assert_eq!(refusal.code, CODE);
                prop_assert!(refusal.reason.contains("/p/w/b") && refusal.reason.contains("branch b"), "{}", refusal.reason);
            }
            Plan::Reuse { path, complete_mark, .. } => {
                let entry = entry_of(&facts, &path).unwrap();
                prop_assert!(!entry.missing && !entry.main);
                match complete_mark {
                    None => prop_assert!(marked_ours(entry)),
                    Some(_) => prop_assert!(begun_by_us(entry) && !entry.unfinished),
                }
                if path == facts.path {
                    let right = matches!(&facts.at_path, AtPath::Checkout { common_dir, top_level: Some(top), branch: Some(b) }
                        if common_dir == Path::new("/p/.git") && *top == path && b == "b");
                    prop_assert!(right);
                } else {
                    prop_assert_eq!(entry.branch.as_deref(), Some("b"));
                }
            }
            Plan::Redo { path, then } => {
                prop_assert_eq!(&path, &facts.path);
                prop_assert!(begun_by_us(registered.unwrap()) && registered.unwrap().unfinished);
                let plain = matches!(*then, Plan::Create { over_missing: false, .. } | Plan::AttachBranch { over_missing: false, .. });
                prop_assert!(plain);
            }
            Plan::Create { over_missing, .. } => {
                prop_assert!(free && facts.branch_facts == BranchFacts::default());
                prop_assert_eq!(over_missing, registered.is_some());
                prop_assert!(registered.is_none_or(|e| e.missing && (marked_ours(e) || begun_by_us(e))));
            }
            Plan::AttachBranch { over_missing, .. } => {
                prop_assert!(free && facts.branch_facts.commit.is_some());
                prop_assert!(facts.worktrees.iter().all(|w| w.branch.as_deref() != Some("b") || w.path == facts.path));
                prop_assert_eq!(over_missing, registered.is_some());
                prop_assert!(registered.is_none_or(|e| e.missing && (marked_ours(e) || begun_by_us(e))));
            }
        }
    }

    #[test]
    fn bad_names_and_places_are_refused(facts in any_facts()) {
        let named = Facts { branch: "-b".into(), ..facts.clone() };
        prop_assert!(matches!(decide(&named), Plan::Refused(_)));
        let outside = Facts { path: "/p/v/b".into(), ..facts.clone() };
        prop_assert!(matches!(decide(&outside), Plan::Refused(_)));
        let same = Facts { path: "/p/w".into(), ..facts };
        prop_assert!(matches!(decide(&same), Plan::Refused(_)));
    }
}
