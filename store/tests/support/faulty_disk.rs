//! A layer of files beneath SQLite, for this test program only: it notes writes and syncs, and refuses syncs on demand.
#![allow(unsafe_code, reason = "SQLite's file layer is a table of C functions")]

use std::ffi::{c_char, c_int, c_void};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use rusqlite::ffi::{
    SQLITE_IOERR_FSYNC, SQLITE_OK, SQLITE_OPEN_MAIN_DB, SQLITE_OPEN_WAL, sqlite3_file, sqlite3_int64,
    sqlite3_io_methods, sqlite3_vfs, sqlite3_vfs_find, sqlite3_vfs_register,
};

/// A file of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Database = 0,
    Journal = 1,
}

/// What was done to the disk, or said of it.
#[derive(Debug, Clone)]
pub enum Op {
    Write { part: Part, at: u64, bytes: Vec<u8> },
    Truncate { part: Part, length: u64 },
    Sync { part: Part },
    Acknowledged(i64),
}

struct State {
    log: Option<Vec<Op>>,
    failing: Option<(Part, u32)>,
}

static STATE: Mutex<State> = Mutex::new(State { log: None, failing: None });
static ONE_TEST: Mutex<()> = Mutex::new(());
static INSTALLED: Once = Once::new();

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The disk, for one test at a time. It is in order when taken, and when given back.
/// Every test of the program that opens a store takes it: they share one process, so what one breaks is broken for all.
pub struct Disk {
    _one: MutexGuard<'static, ()>,
}

impl Disk {
    pub fn take() -> Self {
        let one = ONE_TEST.lock().unwrap_or_else(PoisonError::into_inner);
        INSTALLED.call_once(install);
        Self { _one: one }
    }

    /// The next syncs of a part fail.
    pub fn fail_syncs(&self, part: Part, count: u32) {
        state().failing = Some((part, count));
    }

    pub fn heal(&self) {
        state().failing = None;
    }

    pub fn record(&self) {
        state().log = Some(Vec::new());
    }

    pub fn acknowledged(&self, n: i64) {
        note(|| Op::Acknowledged(n));
    }

    pub fn recorded(&self) -> Vec<Op> {
        state().log.take().unwrap_or_default()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut state = state();
        state.log = None;
        state.failing = None;
    }
}

fn note(op: impl FnOnce() -> Op) {
    if let Some(log) = &mut state().log {
        log.push(op());
    }
}

/// A file of ours; the real one lies right behind it.
#[repr(C)]
struct Shim {
    methods: *const sqlite3_io_methods,
    part: Option<Part>,
}

const REAL: usize = size_of::<Shim>();

/// The real layer.
fn base() -> *mut sqlite3_vfs {
    static BASE: Mutex<usize> = Mutex::new(0);
    let mut base = BASE.lock().unwrap_or_else(PoisonError::into_inner);
    if *base == 0 {
        // SAFETY: a null name asks for the default layer, which lives as long as the process.
        *base = unsafe { sqlite3_vfs_find(std::ptr::null()) } as usize;
    }
    *base as *mut sqlite3_vfs
}

fn install() {
    let base = base();
    // SAFETY: the default layer is a valid table; ours is leaked, so it lives as long as the process.
    unsafe {
        let mut vfs = *base;
        vfs.zName = c"faulty".as_ptr();
        vfs.szOsFile += c_int::try_from(REAL).unwrap();
        vfs.pNext = std::ptr::null_mut();
        vfs.xOpen = Some(open);
        assert_eq!(sqlite3_vfs_register(Box::leak(Box::new(vfs)), 1), SQLITE_OK);
    }
}

unsafe extern "C" fn open(
    _vfs: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives room for the shim and the real file behind it.
    unsafe {
        let shim = file.cast::<Shim>();
        let real = real(file);
        (*real).pMethods = std::ptr::null();
        let code = (*base()).xOpen.unwrap()(base(), name, real, flags, out);
        let part = if flags & SQLITE_OPEN_MAIN_DB != 0 {
            Some(Part::Database)
        } else if flags & SQLITE_OPEN_WAL != 0 {
            Some(Part::Journal)
        } else {
            None
        };
        let methods = if (*real).pMethods.is_null() { std::ptr::null() } else { &raw const METHODS };
        shim.write(Shim { methods, part });
        code
    }
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

unsafe fn real(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: the room behind the shim was asked for in `szOsFile`.
    unsafe { file.cast::<u8>().add(REAL).cast() }
}

unsafe fn part(file: *mut sqlite3_file) -> Option<Part> {
    // SAFETY: every file that reaches a method was opened above.
    unsafe { (*file.cast::<Shim>()).part }
}

/// Passes a call on to the real file.
macro_rules! pass {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        // SAFETY: the real file is open, and its methods are those of the real layer.
        unsafe {
            let real = real($file);
            (*(*real).pMethods).$method.unwrap()(real $(, $argument)*)
        }
    }};
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    pass!(file, xClose)
}
unsafe extern "C" fn read(file: *mut sqlite3_file, to: *mut c_void, n: c_int, at: sqlite3_int64) -> c_int {
    pass!(file, xRead, to, n, at)
}
unsafe extern "C" fn write(file: *mut sqlite3_file, from: *const c_void, n: c_int, at: sqlite3_int64) -> c_int {
    let code = pass!(file, xWrite, from, n, at);
    // SAFETY: SQLite gives `n` bytes at `from`.
    let (part, bytes) = unsafe { (part(file), std::slice::from_raw_parts(from.cast::<u8>(), n as usize)) };
    if let (Some(part), SQLITE_OK) = (part, code) {
        note(|| Op::Write { part, at: at.cast_unsigned(), bytes: bytes.to_vec() });
    }
    code
}
unsafe extern "C" fn truncate(file: *mut sqlite3_file, length: sqlite3_int64) -> c_int {
    let code = pass!(file, xTruncate, length);
    // SAFETY: see `part`.
    if let (Some(part), SQLITE_OK) = (unsafe { part(file) }, code) {
        note(|| Op::Truncate { part, length: length.cast_unsigned() });
    }
    code
}
unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: see `part`.
    let part = unsafe { part(file) };
    if let (Some(this), Some((failing, left))) = (part, &mut state().failing)
        && this == *failing
        && *left > 0
    {
        *left -= 1;
        return SQLITE_IOERR_FSYNC;
    }
    let code = pass!(file, xSync, flags);
    if let (Some(part), SQLITE_OK) = (part, code) {
        note(|| Op::Sync { part });
    }
    code
}
unsafe extern "C" fn file_size(file: *mut sqlite3_file, size: *mut sqlite3_int64) -> c_int {
    pass!(file, xFileSize, size)
}
unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    pass!(file, xLock, level)
}
unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    pass!(file, xUnlock, level)
}
unsafe extern "C" fn check_reserved(file: *mut sqlite3_file, out: *mut c_int) -> c_int {
    pass!(file, xCheckReservedLock, out)
}
unsafe extern "C" fn control(file: *mut sqlite3_file, op: c_int, argument: *mut c_void) -> c_int {
    pass!(file, xFileControl, op, argument)
}
unsafe extern "C" fn sector_size(file: *mut sqlite3_file) -> c_int {
    pass!(file, xSectorSize)
}
unsafe extern "C" fn characteristics(file: *mut sqlite3_file) -> c_int {
    pass!(file, xDeviceCharacteristics)
}
unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    page: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    pass!(file, xShmMap, page, size, extend, out)
}
unsafe extern "C" fn shm_lock(file: *mut sqlite3_file, at: c_int, n: c_int, flags: c_int) -> c_int {
    pass!(file, xShmLock, at, n, flags)
}
unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    pass!(file, xShmBarrier);
}
unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, delete: c_int) -> c_int {
    pass!(file, xShmUnmap, delete)
}
