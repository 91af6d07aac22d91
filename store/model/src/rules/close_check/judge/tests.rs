use super::*;

fn found() -> Found {
    Found {
        place: Place::Ours,
        head: Some("9f3a1c2".into()),
        branch: Some("SHOP-16-search".into()),
        under_way: None,
        changed: Listed::default(),
        conflicted: Listed::default(),
        untracked: Listed::default(),
        ignored: Listed::default(),
        ignored_own: Listed::default(),
        stashed: Listed::default(),
        unpushed: Listed::default(),
        unmerged: Some(Listed::default()),
        nested: Listed::default(),
        submodules: Listed::default(),
        links_out: Listed::default(),
        open: Listed::default(),
        bytes: Some(233_000_000),
        branch_merged: Some(true),
        unknown: Vec::new(),
        fingerprint: "f1".into(),
    }
}

fn plan() -> ClosePlan {
    ClosePlan {
        snapshot: "W-7.3".into(),
        snapshot_until: Some(UnixMillis(30)),
        trash_until: Some(UnixMillis(7)),
        commands: vec![("./scripts/teardown.sh".into(), 60_000)],
        is_worktree: true,
        branch: Some("SHOP-16-search".into()),
        branch_is_ours: true,
        base: Some("main".into()),
        ..ClosePlan::default()
    }
}

fn names(all: &[&str]) -> Listed {
    Listed::of(all.iter().map(|n| (*n).to_owned()))
}

fn strings(all: &[&str]) -> Vec<String> {
    all.iter().map(|n| (*n).to_owned()).collect()
}

/// Changes what was found, or what is around it.
type Change = fn(&mut Found, &mut Around);

#[test]
fn each_finding_has_its_level_for_the_operator_and_for_the_reaper() {
    use CloseVerdict::{Blocked, Clean, Warnings};
    let table: &[(&str, Change, CloseVerdict, CloseVerdict)] = &[
        ("quiet", |_, _| {}, Clean, Clean),
        ("live_runs", |_, a| a.live_runs = strings(&["R-9"]), Blocked, Blocked),
        ("operations", |_, a| a.operations = strings(&["O-12 job"]), Blocked, Blocked),
        ("not_ours", |f, _| f.place = Place::NotOurs("it is the project's own checkout".into()), Blocked, Blocked),
        ("place_unknown", |f, _| f.place = Place::Unknown("permission denied".into()), Blocked, Blocked),
        ("services", |_, a| a.services = strings(&["S-3 web"]), Warnings, Warnings),
        ("leases", |_, a| a.leases = strings(&["L-88"]), Warnings, Warnings),
        ("open_issue", |_, a| a.open_issues = strings(&["SHOP-16, in_progress"]), Warnings, Blocked),
        ("gone", |f, _| f.place = Place::Gone, Warnings, Warnings),
        ("open_files", |f, _| f.open = names(&["4102 vim a.rs"]), Warnings, Warnings),
        ("under_way", |f, _| f.under_way = Some("rebase".into()), Warnings, Warnings),
        ("changed", |f, _| f.changed = names(&["a.rs", "b.rs"]), Warnings, Warnings),
        ("conflicted", |f, _| f.conflicted = names(&["a.rs"]), Warnings, Warnings),
        ("untracked", |f, _| f.untracked = names(&["n.md"]), Warnings, Warnings),
        ("stashed", |f, _| f.stashed = names(&["stash@{0}"]), Warnings, Warnings),
        ("nested", |f, _| f.nested = names(&["vendor/x"]), Warnings, Warnings),
        ("submodules", |f, _| f.submodules = names(&["lib"]), Warnings, Warnings),
        ("ignored", |f, _| f.ignored = names(&["target/"]), Clean, Clean),
        (
            "ignored",
            |f, _| (f.ignored, f.ignored_own) = (names(&["target/", ".env"]), names(&[".env"])),
            Clean,
            Warnings,
        ),
        ("links_out", |f, _| f.links_out = names(&["data"]), Clean, Clean),
        ("unmerged", |f, _| f.unmerged = Some(names(&["b7710de"])), Warnings, Warnings),
        ("unmerged_unknown", |f, _| f.unmerged = None, Warnings, Blocked),
        ("unknown", |f, _| f.unknown = strings(&["files of another user"]), Warnings, Blocked),
    ];
    for (code, change, operator, reaper) in table {
        let (mut found, mut around) = (found(), Around::default());
        change(&mut found, &mut around);
        for (asked, verdict) in [(AskedBy::Operator, operator), (AskedBy::Reaper, reaper)] {
            let check = judge(&found, &around, &plan(), asked);
            assert_eq!(check.verdict, *verdict, "{code} {asked:?}: {:?}", check.items);
            assert!(check.items.iter().any(|i| i.code == *code), "{code}: {:?}", check.items);
        }
    }
}

#[test]
fn what_is_merged_may_be_on_no_remote() {
    let mut merged = found();
    merged.unpushed = names(&["9f3a1c2"]);
    assert_eq!(judge(&merged, &Around::default(), &plan(), AskedBy::Reaper).verdict, CloseVerdict::Clean);
    merged.unmerged = Some(names(&["9f3a1c2"]));
    let check = judge(&merged, &Around::default(), &plan(), AskedBy::Operator);
    assert_eq!(check.warnings(), "1 commit is not in main (9f3a1c2); 1 commit is on no remote (9f3a1c2)");
}

#[test]
fn an_open_issue_of_a_shared_checkout_says_nothing() {
    let around = Around { shared: true, open_issues: strings(&["SHOP-16, in_progress"]), ..Around::default() };
    assert_eq!(judge(&found(), &around, &plan(), AskedBy::Reaper).verdict, CloseVerdict::Clean);
}

#[test]
fn it_reads_as_the_sketch_does() {
    let mut dirty = found();
    dirty.changed = names(&["src/search/synonyms.rs", "a", "b"]);
    dirty.untracked = names(&["notes/todo.md", "data/words.tsv", "c", "d"]);
    dirty.unpushed = names(&["9f3a1c2", "b7710de"]);
    dirty.unmerged = Some(names(&["9f3a1c2", "b7710de"]));
    dirty.branch_merged = Some(false);
    let around = Around {
        open_issues: strings(&["SHOP-16, in_progress"]),
        services: strings(&["S-3 web"]),
        ..Around::default()
    };
    let check = judge(&dirty, &around, &plan(), AskedBy::Operator);
    let lines: Vec<(Level, &str)> = check.items.iter().map(|i| (i.level, i.words.as_str())).collect();
    assert_eq!(
        lines,
        [
            (Level::Warning, "a service runs for it"),
            (Level::Warning, "issue SHOP-16 is still in progress"),
            (Level::Warning, "3 changed files"),
            (Level::Warning, "4 untracked"),
            (Level::Warning, "2 commits are not in main"),
            (Level::Warning, "2 commits are on no remote"),
            (Level::Fine, "made by wharf, mark and path agree"),
        ]
    );
    let effects: Vec<(&str, &str)> = check.effects.iter().map(|e| (e.verb.word(), e.words.as_str())).collect();
    assert_eq!(
        effects,
        [
            ("stops", "S-3 web"),
            ("keeps", "all of it as snapshot W-7.3"),
            ("runs", "./scripts/teardown.sh"),
            ("removes", "the worktree"),
            ("keeps", "the branch: it has 2 commits that are not merged"),
        ]
    );
    assert_eq!(check.effects[3].bytes, Some(233_000_000));
}

#[test]
fn what_no_snapshot_has_is_not_said_to_be_in_it() {
    let keeps = |found: &Found, plan: &ClosePlan| -> Vec<(String, Option<UnixMillis>)> {
        let check = judge(found, &Around::default(), plan, AskedBy::Operator);
        let keeps = check.effects.into_iter().filter(|e| e.verb == CloseVerb::Keeps);
        keeps.map(|e| (e.words, e.until)).filter(|(words, _)| !words.starts_with("the branch")).collect()
    };
    let (mut one, mut plan) = (found(), plan());
    let at = |ms| Some(UnixMillis(ms));
    assert_eq!(keeps(&one, &plan), [("all of it as snapshot W-7.3".to_owned(), at(30))]);
    one.ignored = names(&["target"]);
    let but = ("all but ignored files as snapshot W-7.3".to_owned(), at(30));
    let left = "what these leave of the ignored files in the trash".to_owned();
    assert_eq!(keeps(&one, &plan), [but.clone(), (left, at(7))]);
    plan.commands.clear();
    assert_eq!(keeps(&one, &plan), [but.clone(), ("the ignored files in the trash".to_owned(), at(7))]);
    plan.trash_until = None;
    assert_eq!(keeps(&one, &plan), [but, ("its files: they stay in the trash".to_owned(), None)]);
}

#[test]
fn no_more_is_promised_than_what_can_be_had_back() {
    let back = |found: &Found, plan: &ClosePlan| judge(found, &Around::default(), plan, AskedBy::Operator).way_back();
    let quiet = ClosePlan { commands: Vec::new(), ..plan() };
    assert_eq!(back(&found(), &quiet), WayBack::Everything);
    assert_eq!(back(&found(), &plan()), WayBack::BeforeCommands);
    assert_eq!(back(&Found { head: None, ..found() }, &plan()), WayBack::AfterCommands);
    assert_eq!(back(&Found { place: Place::Gone, ..found() }, &plan()), WayBack::OlderSnapshot);
}

#[test]
fn the_snapshot_is_made_before_any_command_runs() {
    let mut one = found();
    one.ignored = names(&[".env"]);
    let check = judge(&one, &Around::default(), &plan(), AskedBy::Operator);
    let effects: Vec<(&str, &str)> = check.effects.iter().map(|e| (e.verb.word(), e.words.as_str())).take(4).collect();
    let expected = [
        ("keeps", "all but ignored files as snapshot W-7.3"),
        ("runs", "./scripts/teardown.sh"),
        ("keeps", "what these leave of the ignored files in the trash"),
        ("removes", "the worktree"),
    ];
    assert_eq!(effects, expected);
}

#[test]
fn nothing_is_done_to_what_is_not_ours_and_no_command_runs_where_nothing_is() {
    let mut other = found();
    other.place = Place::NotOurs("it contains the project".into());
    assert!(judge(&other, &Around::default(), &plan(), AskedBy::Operator).effects.is_empty());
    other.place = Place::Gone;
    let check = judge(&other, &Around::default(), &plan(), AskedBy::Operator);
    assert!(check.effects.iter().all(|e| e.verb != CloseVerb::Runs), "{:?}", check.effects);
}

#[test]
fn a_branch_goes_only_when_it_is_ours_and_merged() {
    let branch = |ours: bool, merged: Option<bool>| {
        let mut one = found();
        one.branch_merged = merged;
        let plan = ClosePlan { branch_is_ours: ours, ..plan() };
        judge(&one, &Around::default(), &plan, AskedBy::Operator).effects.last().map(|e| e.verb)
    };
    assert_eq!(branch(true, Some(true)), Some(CloseVerb::Removes));
    for (ours, merged) in [(false, Some(true)), (true, Some(false)), (true, None), (false, None)] {
        assert_eq!(branch(ours, merged), Some(CloseVerb::Keeps), "{ours} {merged:?}");
    }
}
