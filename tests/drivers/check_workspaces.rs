//! Workspaces: what of the project is there, what comes back.

use super::bench::Bench;
use super::command::{Command, sh};

pub fn the_project_is_there_with_what_nobody_committed(b: &Bench) {
    let scene = b.scene();
    let held = b.acquire(&b.ask(&scene));
    let before = scene.state();
    let realised = b.realise(&held, &scene.ask());
    let known = ["none", "ssh_git_import_export", "provider_defined"];
    b.holds("realise says how it came there", known.contains(&realised.sync.as_str()), &realised);
    b.holds("shared files need no carrying", (realised.sync == "none") == b.can().shared_files, &realised);
    let read = Command::new(&["cat", "tracked", "added", "sub/deep"]).run(b, &held, Some(&realised));
    b.holds("the files are there as they are here", read.out == b"as changed\nnot tracked\ndeep\n", &read);
    b.holds("realise changes nothing here", scene.state() == before, scene.state());
    b.release(&held);
}

pub fn making_it_again_changes_nothing(b: &Bench) {
    let scene = b.scene();
    let held = b.acquire(&b.ask(&scene));
    let first = b.realise(&held, &scene.ask());
    let second = b.realise(&held, &scene.ask());
    b.holds("realise, repeated, gives the same directory", first.cwd == second.cwd, (&first, &second));
    let read = Command::new(&["cat", "tracked", "added"]).run(b, &held, Some(&second));
    b.holds("the files are there once more", read.out == b"as changed\nnot tracked\n", &read);
    b.release(&held);
}

pub fn two_places_have_files_of_their_own(b: &Bench) {
    // Where files are shared and a place has none of its own, there is nothing to be kept apart.
    if b.can().shared_files && b.made.private.is_none() {
        return;
    }
    let (one, other) = (b.scene(), b.scene());
    let (first, second) = (b.acquire(&b.ask(&one)), b.acquire(&b.ask(&other)));
    let (at_first, at_second) = (b.realise(&first, &one.ask()), b.realise(&second, &other.ask()));
    let private = b.made.private.clone().unwrap_or_else(|| "private".into());
    let wrote = sh("echo secret > \"$1\" && cat \"$1\"").arg(&private).run(b, &first, Some(&at_first));
    b.holds("a file of its own can be written", wrote.out == b"secret\n", &wrote);
    let seen = sh("cat \"$1\" || echo nothing").arg(&private).run(b, &second, Some(&at_second));
    b.holds("another place does not see it", seen.text() == "nothing", &seen);
    b.release(&first);
    b.release(&second);
}

pub fn what_was_made_there_is_brought_back(b: &Bench) {
    let scene = b.scene();
    let held = b.acquire(&b.ask(&scene));
    let ask = scene.ask();
    let realised = b.realise(&held, &ask);
    let nothing = b.done("collect", b.driver().collect(&held, &ask, &realised));
    b.holds("collect of what nobody changed", !nothing.changed && nothing.warnings.is_empty(), &nothing);
    // A provider may carry files and no history.
    let git = Command::new(&["git", "rev-parse", "HEAD"]).run(b, &held, Some(&realised)).code == Some(0);
    b.holds("where the project is carried by git, git is there", git || realised.sync != "ssh_git_import_export", ());
    if git {
        let commit = sh("echo committed > sub/deep && git -c user.name=r -c user.email=r@example.org \
                         commit -q -m 'made there' -- sub/deep && git log -1 --format=%s")
        .run(b, &held, Some(&realised));
        b.holds("git commit there", commit.text() == "made there", &commit);
    } else {
        sh("echo committed > sub/deep").run(b, &held, Some(&realised));
    }
    let removes = if git { "rm added" } else { ":" };
    let script = "echo 'as changed there' > tracked; echo new > 'made there'; mkdir -p build; echo x > build/x";
    let ran = sh(&format!("{script}; {removes}")).run(b, &held, Some(&realised));
    b.holds("files are changed there", ran.code == Some(0), &ran);
    let collected = b.done("collect", b.driver().collect(&held, &ask, &realised));
    b.holds("collect has nothing to warn of", collected.warnings.is_empty(), &collected);
    b.holds("collect says that something changed", collected.changed != b.can().shared_files, &collected);
    for (name, text) in [
        ("sub/deep", Some("committed\n")),
        ("tracked", Some("as changed there\n")),
        ("made there", Some("new\n")),
        ("added", Some("not tracked\n").filter(|_| !git)),
    ] {
        let found = scene.read(name);
        b.holds(&format!("{name:?} is as it was made there"), found.as_deref() == text, (&found, &collected));
    }
    let state = scene.state();
    b.holds("the commit is on the branch", !git || state.contains(" made there\n"), &state);
    let again = b.done("collect", b.driver().collect(&held, &ask, &realised));
    b.holds("collect, repeated, changes nothing", scene.state() == state && again.warnings.is_empty(), &again);
    b.release(&held);
    b.holds("release takes nothing away here", scene.state() == state, scene.state());
}
