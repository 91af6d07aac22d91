//! The provider of a simulated engine: a pool with few places, a queue of its own, ends that it keeps, and a
//! controller that can be lost. It stands in memory, shared by every driver that is made for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use wharf::environment::driver::{Queue, Seen};
use wharf_model::{LeaseId, UnixMillis};

/// How much later than its first end a place may be held at most.
pub const LONGEST_MS: i64 = 60 * 60_000;

/// One place, or one that waits to be.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Whose it is.
    pub lease: LeaseId,
    /// Order of asking.
    pub ticket: u64,
    pub is_held: bool,
    /// Laid by: nothing runs there.
    pub is_kept: bool,
    pub expires_at: UnixMillis,
    /// The latest end that is given.
    pub latest: UnixMillis,
}

/// What the provider has.
#[derive(Debug)]
pub struct World {
    pub slots: BTreeMap<String, Slot>,
    /// Places that can be held at once.
    pub size: usize,
    pub now: UnixMillis,
    is_lost: bool,
    tickets: u64,
    /// Releases that still fail.
    failing: u32,
    pause: Duration,
    /// Calls that reached it, by name.
    pub calls: BTreeMap<&'static str, u32>,
}

#[derive(Debug)]
pub struct Provider {
    world: Mutex<World>,
    /// Directories of the places.
    pub root: PathBuf,
}

impl Provider {
    /// One with room for many, whose clock is this machine's.
    pub fn new(root: &Path) -> Arc<Self> {
        std::fs::create_dir_all(root).unwrap();
        let world = World {
            slots: BTreeMap::new(),
            size: 64,
            now: wharf::clock::now(),
            is_lost: false,
            tickets: 0,
            failing: 0,
            pause: Duration::ZERO,
            calls: BTreeMap::new(),
        };
        Arc::new(Self { world: Mutex::new(world), root: root.to_owned() })
    }

    /// Looks at it from outside, or changes it.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// One call that reaches it: after its pause, unless its controller is lost.
    pub async fn call(&self, name: &'static str) -> Result<MutexGuard<'_, World>, String> {
        let pause = self.world().pause;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let mut world = self.world();
        if world.is_lost {
            return Err(format!("{name}: the controller of the pool does not answer"));
        }
        *world.calls.entry(name).or_default() += 1;
        world.advance();
        Ok(world)
    }

    /// Ids of all places, held or queued.
    pub fn ids(&self) -> Vec<String> {
        self.world().slots.keys().cloned().collect()
    }

    pub fn path(&self, id: &str) -> PathBuf {
        self.root.join(id)
    }

    /// Its controller is lost, or found again.
    pub fn lose(&self, is_lost: bool) {
        self.world().is_lost = is_lost;
    }

    pub fn resize(&self, size: usize) {
        self.world().size = size;
    }

    /// Every call takes so long.
    pub fn slow_down(&self, pause: Duration) {
        self.world().pause = pause;
    }

    /// The next releases fail.
    pub fn fail_releases(&self, count: u32) {
        self.world().failing = count;
    }

    /// What its clock says.
    pub fn now(&self) -> UnixMillis {
        self.world().now
    }

    /// Time passes there.
    pub fn pass(&self, ms: i64) {
        let mut world = self.world();
        world.now = world.now.plus(ms);
    }
}

impl World {
    /// Takes back what is over, and gives what became free to those who wait, in their order.
    fn advance(&mut self) {
        let now = self.now;
        self.slots.retain(|_, slot| !slot.is_held || slot.expires_at > now);
        let held = self.slots.values().filter(|slot| slot.is_held).count();
        let mut waiting: Vec<&mut Slot> = self.slots.values_mut().filter(|slot| !slot.is_held).collect();
        waiting.sort_by_key(|slot| slot.ticket);
        waiting.into_iter().take(self.size.saturating_sub(held)).for_each(|slot| slot.is_held = true);
    }

    /// The place of a lease.
    pub fn of(&self, lease: LeaseId) -> Option<String> {
        self.slots.iter().find(|(_, slot)| slot.lease == lease).map(|(id, _)| id.clone())
    }

    /// Asks for a place; the same one for the same lease.
    pub fn ask(&mut self, lease: LeaseId, id: String, ttl_ms: i64) {
        self.tickets += 1;
        let (ticket, expires_at) = (self.tickets, self.now.plus(ttl_ms));
        let latest = self.now.plus(LONGEST_MS);
        let slot = Slot { lease, ticket, is_held: false, is_kept: false, expires_at, latest };
        self.slots.entry(id).or_insert(slot);
        self.advance();
    }

    /// Whether this release is one of those that fail.
    pub fn fails_to_release(&mut self) -> bool {
        let fails = self.failing > 0;
        self.failing = self.failing.saturating_sub(1);
        fails
    }

    /// What is said of a place.
    pub fn see(&self, id: &str) -> Seen {
        let Some(slot) = self.slots.get(id) else { return Seen::Gone };
        if slot.is_held {
            return Seen::Held(Some(slot.expires_at));
        }
        let before = self.slots.values().filter(|other| !other.is_held && other.ticket < slot.ticket).count();
        Seen::Queued(Queue {
            provider_lease_id: Some(id.to_owned()),
            reason: format!("all {} places of the pool are held", self.size),
            position: Some(before as u32 + 1),
            expected_at: self.slots.values().filter(|other| other.is_held).map(|other| other.expires_at).min(),
        })
    }
}
