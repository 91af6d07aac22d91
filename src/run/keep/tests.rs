//! What is judged of directories in which a shim is missing, late or just beginning.

use std::collections::BTreeMap;
use std::fs::File;

use wharf_model::shim::{LogSpec, PROTOCOL, ShimKind, StdinMode};

use super::*;
use crate::process::lock;

const DIR: &str = "runs/aa/0190a6c0-0000-7000-8000-0000000000aa/a1";

struct Site {
    data: tempfile::TempDir,
    keeper: Keeper,
}

impl Site {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let keeper = Keeper { data: data.path().to_owned(), epoch: 1 };
        Self { data, keeper }
    }

    fn path(&self) -> PathBuf {
        self.keeper.path(DIR)
    }

    /// A directory as an earlier reign left it before it spawned.
    fn prepare(&self) {
        shim_dir::write_shim_dir(&self.path(), &spec()).unwrap();
        shim_dir::link_live(&self.data.path().join("live"), &spec(), &self.path()).unwrap();
    }

    /// Links under `live`.
    fn links(&self) -> usize {
        std::fs::read_dir(self.data.path().join("live")).map_or(0, Iterator::count)
    }
}

fn spec() -> Spec {
    Spec {
        v: 1,
        kind: ShimKind::Run,
        id: "0190a6c0-0000-7000-8000-0000000000aa".into(),
        attempt: 1,
        epoch: 1,
        argv: vec!["true".into()],
        cwd: "/".into(),
        env_names: Vec::new(),
        shell: false,
        tty: None,
        stdin: StdinMode::None,
        timeout_ms: None,
        grace_ms: 0,
        log: LogSpec::default(),
        limits: BTreeMap::new(),
        tag: format!("t-{}", uuid::Uuid::now_v7()),
        redact_count: 0,
        stop_signal: None,
        keep: Vec::new(),
        boot_id: None,
    }
}

fn cannot() -> Result<(Spec, StartMessage), CannotStart> {
    Err(CannotStart { code: "adapter_failed".into(), message: "no secret".into() })
}

fn nothing_seen(_: Seen) -> std::future::Ready<()> {
    std::future::ready(())
}

#[tokio::test]
async fn a_run_that_is_said_not_to_have_started_cannot_start_later() {
    let site = Site::new();
    site.prepare();
    // Its start is refused, and a shim of the earlier reign may still be on its way.
    let end = site.keeper.keep(DIR, false, cannot, nothing_seen).await;
    assert!(matches!(&end, End::NotStarted { code, .. } if code == "adapter_failed"), "{end:?}");
    assert!(!shim_dir::forbid(&site.path()).unwrap(), "the lock's name is taken");
    assert_eq!(site.links(), 0);

    // The same for one that did not show itself in time.
    let site = Site::new();
    site.prepare();
    let watched = site.keeper.watch(&site.path(), true, false, &mut nothing_seen).await;
    assert!(matches!(watched, Watched::NeverStarted));
    assert!(!shim_dir::forbid(&site.path()).unwrap());
}

#[tokio::test]
async fn the_link_of_another_boot_goes_too() {
    let site = Site::new();
    site.prepare();
    let id = IdFile {
        v: 1,
        shim: wharf_model::shim::ProcessRef { pid: 1, start_ticks: 1 },
        boot_id: "another".into(),
        child: None,
        cgroups: Vec::new(),
        stopped: None,
        version: String::new(),
        protocol: PROTOCOL,
    };
    shim_dir::replace_file(&site.path(), shim_dir::names::ID, &serde_json::to_vec(&id).unwrap(), false).unwrap();
    assert!(shim_dir::forbid(&site.path()).unwrap());
    let end = site.keeper.keep(DIR, true, cannot, nothing_seen).await;
    assert!(matches!(&end, End::Lost(why) if why.contains("restarted")), "{end:?}");
    assert_eq!(site.links(), 0);
}

#[tokio::test]
async fn force_does_not_pass_over_a_shim_that_has_not_said_who_it_is() {
    let site = Site::new();
    site.prepare();
    let file = File::create(site.path().join(shim_dir::names::LOCK)).unwrap();
    assert!(lock::try_lock(&file).unwrap());
    let error = site.keeper.stop_by_force(DIR).await.unwrap_err();
    assert!(error.contains("just beginning"), "{error}");
    drop(file);
    site.keeper.stop_by_force(DIR).await.unwrap();
}

#[tokio::test]
async fn a_directory_that_cannot_be_looked_at_is_not_one_that_is_missing() {
    let site = Site::new();
    site.prepare();
    // A link that leads to itself: the kernel gives up on it, whoever asks.
    let above = site.path().parent().unwrap().to_owned();
    let aside = site.data.path().join("aside");
    std::fs::rename(&above, &aside).unwrap();
    std::os::unix::fs::symlink(&above, &above).unwrap();
    let answer = verdict(&site.path()).await;
    assert!(answer.is_err(), "{answer:?}");
    let staying = tokio::spawn({
        let keeper = site.keeper.clone();
        async move { keeper.stay(DIR, nothing_seen).await }
    });
    // It has been looked at by then, and again.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!staying.is_finished(), "unknown is not gone");
    std::fs::remove_file(&above).unwrap();
    std::fs::rename(&aside, &above).unwrap();
    let end = staying.await.unwrap();
    assert!(matches!(end, Some(End::NotStarted { .. })), "{end:?}");
}
