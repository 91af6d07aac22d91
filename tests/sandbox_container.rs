//! Containers for real, by podman; and what is said of an engine that does not answer.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod sandbox_common;

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use sandbox_common::podman::{IMAGE, Podman};
use sandbox_common::*;
use serde_json::json;
use wharf::environment::driver::{Acquired, Answer, Outcome, Resumed, Seen};

#[test]
fn commands_run_in_a_container_with_the_worktree() {
    let Some(podman) = Podman::new() else { return };
    let world = &podman.world;
    let (main, tree) = world.repository();
    std::fs::create_dir(world.path("cache")).unwrap();
    let config = podman.config(&json!({
        "mounts": [{ "source": world.path("cache"), "target": "/cache", "writable": true }],
        "env": { "MODE": "box" },
        "limits": { "memory": "64MiB", "processes": 30, "cpus": 0.5 },
    }));
    let checks = done(wait(world.driver(&config).probe()));
    assert!(errors(&checks).is_empty(), "{checks:?}");
    let inside = Box::new(world, &config, &tree, Some(&main.join(".git")));
    assert_eq!(inside.out("echo made > made; echo x > /cache/x; cat file; echo $MODE"), "1\nbox\n");
    assert_eq!(std::fs::read_to_string(tree.join("made")).unwrap(), "made\n");
    assert!(world.path("cache/x").exists());

    let git = main.join(".git").display().to_string();
    let wanted = [
        format!("{git}/config"),
        format!("{git}/hooks/post-commit"),
        format!("{git}/commondir"),
        format!("{git}/packed-refs"),
        format!("{git}/objects/info/alternates"),
        format!("{git}/logs/HEAD"),
        format!("{git}/worktrees/fix/commondir"),
        format!("{git}/worktrees/fix/config.worktree"),
        format!("{}/.git", tree.display()),
        main.join("file").display().to_string(),
    ];
    for path in &wanted {
        let out = inside.sh(&format!("echo x >> {path}"));
        assert!(!out.status.success() || path.ends_with("/shop/file"), "{path} can be written");
    }
    assert_eq!(std::fs::read_to_string(main.join("file")).unwrap(), "1\n", "it is written inside alone");
    inside.out(&format!("echo x > {git}/objects/x && echo x > {git}/refs/x && echo x > {git}/worktrees/fix/x"));
    let seen =
        inside.sh(&format!("cat {} {}", world.path("home/.ssh/id").display(), world.path("data/wharf.db").display()));
    assert!(!seen.status.success() && seen.stdout.is_empty());
    // Only the loopback is there.
    assert_eq!(inside.out("tail -n +3 /proc/net/dev | grep -v ' lo:' | cat"), "");

    // Variables come by their names, and one that the engine has itself is the command's all the same.
    let own = [("KEY", "hidden value"), ("HOME", "/work"), ("PATH", "/bin")];
    let mut command = inside.command(&["/bin/sh", "-c", "echo $KEY $HOME $PATH; exit 7"], &own);
    assert!(!command.get_args().any(|word| word.to_string_lossy().contains("hidden value")));
    let out = command.output().unwrap();
    assert_eq!((text(&out.stdout).as_str(), out.status.code()), ("hidden value /work /bin\n", Some(7)), "{out:?}");
    assert_eq!(inside.sh("kill -9 $$").status.code(), Some(137));

    // The files of a run are shown under other names.
    let dir = world.path("data/runs/aa/x");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("prompt.md"), "do it").unwrap();
    let file = dir.join("prompt.md").display().to_string();
    let out =
        inside.command(&["sh", "-c", "cat $WHARF_PROMPT_FILE"], &[("WHARF_PROMPT_FILE", &file)]).output().unwrap();
    assert_eq!(text(&out.stdout), "do it", "{out:?}");

    let out = inside.sh("head -c 300000000 /dev/zero | tail -c 290000000 > /dev/null");
    assert_eq!(out.status.code(), Some(137), "the kernel ends who takes more memory: {out:?}");
    let caps = inside.out("cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; true");
    assert_eq!(caps.lines().next(), Some("30"), "{caps}");
    done(wait(inside.driver.release(&inside.held, Outcome::Released)));
    assert_eq!(podman.containers(), "");
}

#[test]
fn a_container_is_kept_found_again_made_anew_and_removed() {
    let Some(podman) = Podman::new() else { return };
    let world = &podman.world;
    for dir in ["home/src/a", "home/src/b"] {
        std::fs::create_dir_all(world.path(dir)).unwrap();
    }
    let config = podman.config(&json!({}));
    let driver = world.driver(&config);
    let ask = world.ask();
    for _ in 0..2 {
        let Acquired::Held(place) = done(wait(driver.acquire(&ask))) else { panic!("queued") };
        assert_eq!(place.provider_lease_id, Some(format!("podman:wharf-{}", ask.lease)));
    }
    assert_eq!(podman.containers(), "", "nothing is made before the workspace is known");
    let id = format!("podman:wharf-{}", ask.lease);
    let never = format!("podman:wharf-{}", uuid::Uuid::now_v7());
    let look = || done(wait(driver.observe(&[id.clone(), never.clone()])));
    assert_eq!((&look()[&id], &look()[&never]), (&Seen::Held(None), &Seen::Gone));

    let Acquired::Held(place) = done(wait(driver.acquire(&ask))) else { panic!("queued") };
    let mut inside = Box::of(world, driver.clone(), held(&ask, place));
    inside.realise(&world.path("home/src/a"), None);
    inside.out("echo kept > /marker");
    inside.realise(&world.path("home/src/a"), None);
    assert_eq!(inside.realised.as_ref().unwrap().record["sandbox"]["made_anew"], json!(false));

    done(wait(driver.release(&inside.held, Outcome::Kept)));
    assert!(text(&podman.podman(&["ps", "--format", "{{.Names}}"]).stdout).is_empty(), "it is stopped");
    assert_eq!(done(wait(driver.list(&inside.held, "run/x/1"))), []);
    let next = world.ask();
    let Resumed::Held(place) = done(wait(driver.resume(&next, &id, &inside.held.facts))) else { panic!("gone") };
    inside.held = held(&next, place);
    inside.realise(&world.path("home/src/a"), None);
    assert_eq!(inside.out("cat /marker"), "kept\n");
    // Another workspace needs other mounts, and so another container.
    inside.realise(&world.path("home/src/b"), None);
    assert_eq!(inside.realised.as_ref().unwrap().record["sandbox"]["made_anew"], json!(true));
    assert!(!inside.sh("cat /marker").status.success());

    for _ in 0..2 {
        done(wait(driver.release(&inside.held, Outcome::Released)));
    }
    assert_eq!((podman.containers().as_str(), &look()[&id]), ("", &Seen::Gone));
    assert_eq!(done(wait(driver.resume(&next, &id, &inside.held.facts))), Resumed::Gone);
    assert!(!world.path("data/environments").join(world.environment.to_string()).exists());

    // One of that name that is another's is neither used nor removed.
    let other = world.ask();
    let name = format!("wharf-{}", other.lease);
    assert!(podman.podman(&["create", "--name", &name, IMAGE, "/bin/sh"]).status.success());
    let Acquired::Held(place) = done(wait(driver.acquire(&other))) else { panic!("queued") };
    let foreign = held(&other, place);
    let answer = wait(driver.realise(&foreign, &realise_ask(&world.path("home/src/a"), None)));
    assert!(!matches!(answer, Answer::Done(_)), "{answer:?}");
    assert!(matches!(wait(driver.release(&foreign, Outcome::Released)), Answer::Refused { .. }));
    assert_eq!(podman.containers().trim(), name);
}

#[test]
fn processes_in_a_container_are_found_asked_and_stopped() {
    let Some(podman) = Podman::new() else { return };
    let world = &podman.world;
    let inside = Box::new(world, &podman.config(&json!({})), &world.path("home/src"), None);
    let tag = format!("run/{}/1", uuid::Uuid::now_v7());

    // Asked to end, as a shim asks the group: the command has its time, and what it says then is not lost.
    let script = "trap 'sleep 0.3; echo tidied; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child =
        inside.command(&["sh", "-c", script], &[("WHARF_TAG", &tag)]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let group = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process_group(group, rustix::process::Signal::TERM).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "tidied");
    assert_eq!(child.wait().unwrap().code(), Some(5));

    // Forked twice, a session of its own, deaf to the request, and with a child that hides its tag.
    let script = "(setsid sh -c 'trap \"\" TERM; env -i /bin/sh -c \"while :; do /bin/sleep 1; done\" & echo up; while :; do sleep 1; done' &) ; sleep 300";
    let mut child =
        inside.command(&["sh", "-c", script], &[("WHARF_TAG", &tag)]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    let listed = eventually("three processes", || {
        let listed = done(wait(inside.driver.list(&inside.held, &tag)));
        (listed.iter().filter(|p| p.command == "sh").count() >= 3).then_some(listed)
    });
    assert!(done(wait(inside.driver.list(&inside.held, &tag[..tag.len() - 1]))).is_empty(), "{listed:?}");
    assert_eq!(done(wait(inside.driver.stop(&inside.held, &tag, Duration::from_millis(100)))), []);
    assert_eq!(done(wait(inside.driver.list(&inside.held, &tag))), []);
    // What was started in the container ended, and with it the client.
    assert!(!child.wait().unwrap().success());

    done(wait(inside.driver.destroy(&inside.held)));
    done(wait(inside.driver.destroy(&inside.held)));
    assert_eq!(podman.containers(), "");
}

#[test]
fn an_engine_that_does_not_answer_is_unknown_and_an_image_that_is_not_there_is_said() {
    let mut world = World::new();
    let bin = world.path("bin");
    std::fs::create_dir(&bin).unwrap();
    let say = |script: &str| {
        std::fs::write(bin.join("docker"), format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(bin.join("docker"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    let operator = std::sync::Arc::make_mut(&mut world.site.operator);
    operator.insert("PATH".into(), format!("{}:/usr/bin:/bin", bin.display()));
    say("exit 1");
    let driver = world.driver(&json!({ "provider": "docker", "image": "debian:13" }));
    let ask = world.ask();
    let place = wharf::environment::driver::Place {
        provider_lease_id: Some(format!("docker:wharf-{}", ask.lease)),
        expires_at: None,
        facts: json!({}),
    };
    let held = held(&ask, place);
    let id = held.provider_lease_id.clone().unwrap();

    say(
        "[ \"$1\" = --version ] && echo 'Docker version 99' && exit 0\necho 'Cannot connect to the Docker daemon at unix:///x. Is it running?' >&2; exit 1",
    );
    assert!(matches!(wait(driver.acquire(&ask)), Answer::Unknown { .. }));
    assert!(matches!(wait(driver.resume(&ask, &id, &json!({}))), Answer::Unknown { .. }));
    assert!(matches!(wait(driver.observe(std::slice::from_ref(&id))), Answer::Unknown { .. }));
    assert!(matches!(wait(driver.list(&held, "run/x/1")), Answer::Unknown { .. }));
    assert!(matches!(wait(driver.stop(&held, "run/x/1", Duration::ZERO)), Answer::Unknown { .. }));
    assert!(matches!(wait(driver.release(&held, Outcome::Released)), Answer::Unknown { .. }));
    let checks = done(wait(driver.probe()));
    assert!(errors(&checks)[0].message.contains("Cannot connect"), "{checks:?}");

    say("case $1 in image) echo 'Error: No such image: debian:13' >&2; exit 1;; *) exit 0;; esac");
    let answer = wait(driver.acquire(&ask));
    assert!(
        matches!(&answer, Answer::Refused { code, hint } if code == "lease_acquire_failed" && hint.contains("docker pull debian:13")),
        "{answer:?}"
    );

    // A question that is dropped leaves nothing running.
    let mark = format!("wharf-mark-{}", uuid::Uuid::now_v7());
    say(&format!("exec -a {mark} sleep 300 & sleep 300"));
    std::fs::write(bin.join("docker"), format!("#!/bin/bash\n(exec -a {mark} sleep 300) & sleep 300\n")).unwrap();
    let lives = || {
        std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .any(|e| std::fs::read(e.path().join("cmdline")).is_ok_and(|words| words.starts_with(mark.as_bytes())))
    };
    wait(async {
        let call = driver.observe(std::slice::from_ref(&id));
        assert!(tokio::time::timeout(Duration::from_secs(1), call).await.is_err());
    });
    eventually("the end of what was asked", || (!lives()).then_some(()));
}
