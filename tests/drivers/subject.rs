//! What is tried: a driver, with what it needs around it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use wharf::environment::Site;
use wharf::environment::driver::Driver;
use wharf::environment::registry::{self, NoDriver};
use wharf_model::Driver as Kind;

pub const WHARF: &str = env!("CARGO_BIN_EXE_wharf");

/// A driver that is to keep the contract.
pub trait Subject: Sync {
    /// As it is printed.
    fn name(&self) -> &'static str;

    /// Makes what it needs below `root`, or says why it cannot be tried here.
    fn make(&self, root: &Path) -> Result<Made, String>;
}

/// A subject that can be tried. What it started ends when this is dropped.
pub struct Made {
    /// Makes its driver anew, as every action of an orchestrator does: what must be remembered is not in it.
    pub driver: Box<dyn Fn() -> Arc<dyn Driver>>,
    /// What the operator has in the environment; commands get a part of it.
    pub operator: BTreeMap<String, String>,
    /// Cuts it off from what it reaches, where that can be done.
    pub reach: Option<Box<dyn Reach>>,
    /// A path that means another file in each place; none where a place has no files of its own.
    pub private: Option<String>,
    /// Names of the places that exist, asked beside the driver; none where nobody but the driver can tell.
    pub places: Option<Box<dyn Fn() -> Vec<String>>>,
    /// Whether a process may go on when no call is under way: a connection that is shared, a plugin that serves.
    pub stays: fn(&str) -> bool,
    /// What it started; ends with it.
    pub _keep: Box<dyn std::any::Any>,
}

/// The way to what a driver reaches.
pub trait Reach {
    /// Nothing gets through from now on.
    fn cut(&self);
    /// Everything gets through again.
    fn mend(&self);
}

impl Made {
    /// The driver of settings, as the registry makes it; the reason where this program does not have it.
    pub fn of(kind: Kind, config: Value, root: &Path, operator: BTreeMap<String, String>) -> Result<Self, String> {
        let site = site(root, &operator);
        has(kind, &config, &site)?;
        let driver = move || registry::driver(kind, &config, &site).unwrap();
        Ok(Self {
            driver: Box::new(driver),
            operator,
            reach: None,
            private: None,
            places: None,
            stays: |_| false,
            _keep: Box::new(()),
        })
    }
}

/// Whether this program has the driver.
fn has(kind: Kind, config: &Value, site: &Site) -> Result<(), String> {
    match registry::driver(kind, config, site) {
        Ok(_) => Ok(()),
        Err(absent @ NoDriver::Absent(_)) => Err(absent.to_string()),
        Err(invalid) => panic!("the settings of the subject {kind}: {invalid}"),
    }
}

/// What surrounds a driver that is tried below `root`.
pub fn site(root: &Path, operator: &BTreeMap<String, String>) -> Site {
    Site {
        data: root.join("data"),
        operator: Arc::new(operator.clone()),
        program: PathBuf::from(WHARF),
        base: root.to_owned(),
        plugins: std::sync::Arc::default(),
    }
}

/// An operator whose home is below `root`.
pub fn operator(root: &Path) -> BTreeMap<String, String> {
    let home = root.join("home");
    for dir in [&home, &root.join("data")] {
        std::fs::create_dir_all(dir).unwrap();
    }
    let mut all: BTreeMap<String, String> = ["PATH", "USER", "LOGNAME"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
        .collect();
    all.insert("HOME".into(), home.display().to_string());
    // By this its processes are found.
    all.insert("LC_CONTRACT".into(), root.display().to_string());
    all
}

/// Whether a program is there.
pub fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|dir| dir.join(program).is_file())
}
