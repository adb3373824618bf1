//! The C interface of libchdb, loaded at run time, and the only unsafe code of this crate.
//!
//! Rules of the library that the types here keep:
//! - A connection runs one statement at a time. Every method takes `&mut self`; a [`Connection`] may move to
//!   another thread but is never shared.
//! - Every result and stream handle is destroyed exactly once, before its connection is closed. The handles borrow
//!   the connection, so the compiler holds us to it.
//! - Its signal handlers are switched off before the first connection: they would replace ours. Switching them off
//!   resets the process's own handlers, here and again in every connect, so [`SignalGuard`] puts those back.
//! - `chdb_shutdown` is never called: it fails, and afterwards nothing can connect. Closing the last connection
//!   closes the storage.
//! - The library is never unloaded: its threads outlive every connection. So a process that ends must not run the
//!   library's destructors under them: see [`skip_destructors_at_exit`].

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::{Mutex, Once, OnceLock, PoisonError};

use crate::error::{EngineError, QueryError, code};

/// `chdb_connection`: opaque.
type RawConnection = *mut c_void;
/// `chdb_result *`: opaque.
type RawResult = *mut c_void;
/// `chdb_insert_stream`: opaque.
type RawInsert = *mut c_void;

/// `chdb_query_analysis_v1`.
#[repr(C)]
struct RawAnalysis {
    struct_size: u32,
    statement_count: u32,
    flags: u32,
    query_class: u32,
}

/// A connection, a statement, a format, and named parameters, all with explicit lengths.
type StatementFn<T> = unsafe extern "C" fn(
    RawConnection,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *const *const c_char,
    *const usize,
    *const *const c_char,
    *const usize,
    usize,
) -> T;

macro_rules! functions {
    ($($field:ident = $symbol:literal : $signature:ty),+ $(,)?) => {
        /// The functions of the library that we use.
        pub(crate) struct Api {
            $($field: $signature,)+
            _library: ManuallyDrop<libloading::Library>,
        }

        impl Api {
            /// # Safety
            /// `library` must be libchdb of the pinned version: the signatures below are taken on trust.
            unsafe fn resolve(library: libloading::Library) -> Result<Self, libloading::Error> {
                Ok(Self {
                    // SAFETY: the caller vouches for the library; each signature is the one in its header.
                    $($field: unsafe { *library.get::<$signature>($symbol)? },)+
                    _library: ManuallyDrop::new(library),
                })
            }
        }
    };
}

functions! {
    version = "chdb_version": unsafe extern "C" fn() -> *const c_char,
    set_signal_handlers_enabled = "chdb_set_signal_handlers_enabled": unsafe extern "C" fn(c_int),
    connect = "chdb_connect": unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut RawConnection,
    close_conn = "chdb_close_conn": unsafe extern "C" fn(*mut RawConnection),
    query = "chdb_query_with_params_n": StatementFn<RawResult>,
    stream_query = "chdb_stream_query_with_params_n": StatementFn<RawResult>,
    stream_fetch = "chdb_stream_fetch_result": unsafe extern "C" fn(RawConnection, RawResult) -> RawResult,
    stream_cancel = "chdb_stream_cancel_query": unsafe extern "C" fn(RawConnection, RawResult),
    result_destroy = "chdb_destroy_query_result": unsafe extern "C" fn(RawResult),
    result_buffer = "chdb_result_buffer": unsafe extern "C" fn(RawResult) -> *const c_char,
    result_length = "chdb_result_length": unsafe extern "C" fn(RawResult) -> usize,
    result_error = "chdb_result_error": unsafe extern "C" fn(RawResult) -> *const c_char,
    result_rows_written = "chdb_result_rows_written": unsafe extern "C" fn(RawResult) -> u64,
    result_bytes_written = "chdb_result_bytes_written": unsafe extern "C" fn(RawResult) -> u64,
    insert_open = "chdb_stream_insert_with_params_n": StatementFn<RawInsert>,
    insert_append = "chdb_stream_append": unsafe extern "C" fn(RawInsert, *const c_void, usize) -> c_int,
    insert_done = "chdb_stream_done": unsafe extern "C" fn(RawInsert) -> RawResult,
    insert_cancel = "chdb_stream_cancel_insert": unsafe extern "C" fn(RawInsert),
    insert_error = "chdb_stream_insert_error": unsafe extern "C" fn(RawInsert) -> *const c_char,
    insert_destroy = "chdb_destroy_insert_stream": unsafe extern "C" fn(RawInsert),
    classify = "chdb_classify_query_n":
        unsafe extern "C" fn(RawConnection, *const c_char, usize, *const c_char, usize, *mut RawAnalysis) -> c_int,
}

impl Api {
    /// Loads the library, once per process. A later call gets the library that is loaded already.
    ///
    /// Takes 75 to 420 ms. Call it on a thread that may block.
    pub(crate) fn load(path: &Path) -> Result<&'static Api, EngineError> {
        static API: OnceLock<Api> = OnceLock::new();
        static LOADING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(api) = API.get() {
            return Ok(api);
        }
        if !path.is_file() {
            return Err(EngineError::LibraryMissing { path: path.to_owned() });
        }
        let unusable = |error: libloading::Error| EngineError::LibraryUnusable {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        // SAFETY: loading runs the library's initialisers. The processor was checked for AVX2 before, which is all
        // they ask for; the file is the pinned package, verified by its integrity hash when it was installed.
        let library = unsafe { libloading::Library::new(path) }.map_err(unusable)?;
        // SAFETY: as above; the version is compared right below, before any other call.
        let api = unsafe { Api::resolve(library) }.map_err(unusable)?;
        let found = api.version();
        if found != crate::LIBRARY_VERSION {
            let expected = crate::LIBRARY_VERSION;
            return Err(EngineError::WrongVersion { path: path.to_owned(), found, expected });
        }
        api.disable_signal_handlers();
        skip_destructors_at_exit();
        Ok(API.get_or_init(|| api))
    }

    fn version(&self) -> String {
        // SAFETY: returns a static, NUL-terminated string.
        let text = unsafe { (self.version)() };
        text_at(text).unwrap_or_default()
    }

    fn disable_signal_handlers(&self) {
        let _handlers = SignalGuard::save();
        // SAFETY: sets a flag in the library and resets handlers, which the guard restores.
        unsafe { (self.set_signal_handlers_enabled)(0) };
    }
}

unsafe extern "C" {
    /// glibc's `atexit` that is told the status. The library needs glibc anyway.
    fn on_exit(function: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
}

extern "C" fn end_now(status: c_int, _argument: *mut c_void) {
    // SAFETY: ends the process; Rust has flushed its output before it calls `exit`, and what is stored is on disk when a
    // statement is answered.
    unsafe { libc::_exit(status) }
}

/// Ends the process, whenever it ends, before the destructors of what was registered earlier: the library's threads may
/// still use what these would take apart, and then a process that had done everything right died of SIGSEGV. What is
/// registered last runs first, so this is called again when the library has made more.
fn skip_destructors_at_exit() {
    // SAFETY: registers a function that needs no argument. There is room for more than the two calls.
    unsafe { on_exit(end_now, std::ptr::null_mut()) };
}

/// Copies a C string; `None` for null.
fn text_at(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the library returns null or a NUL-terminated string that lives as long as its handle, and the caller
    // holds the handle during this call.
    Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// Puts the process's signal handlers back after a call that resets them. One at a time, because handlers are
/// process-wide.
struct SignalGuard {
    saved: Vec<(c_int, libc::sigaction)>,
    _one_at_a_time: std::sync::MutexGuard<'static, ()>,
}

impl SignalGuard {
    /// The signals that the library resets, and SIGQUIT, which it would catch if its handlers were on.
    const SIGNALS: [c_int; 9] = [
        libc::SIGABRT,
        libc::SIGSEGV,
        libc::SIGILL,
        libc::SIGBUS,
        libc::SIGSYS,
        libc::SIGFPE,
        libc::SIGTSTP,
        libc::SIGTRAP,
        libc::SIGQUIT,
    ];

    fn save() -> Self {
        static LOCK: Mutex<()> = Mutex::new(());
        let guard = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
        let saved = Self::SIGNALS.iter().filter_map(|&signal| {
            // SAFETY: all-zero is a valid sigaction (the default action, no flags, an empty mask).
            let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
            // SAFETY: reads the current action into a struct that outlives the call.
            let result = unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) };
            (result == 0).then_some((signal, action))
        });
        Self { saved: saved.collect(), _one_at_a_time: guard }
    }
}

impl Drop for SignalGuard {
    fn drop(&mut self) {
        for (signal, action) in &self.saved {
            // SAFETY: installs an action that was installed before, for the same signal.
            unsafe { libc::sigaction(*signal, action, std::ptr::null_mut()) };
        }
    }
}

/// What a statement would do, as the engine's own parser sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Analysis {
    /// Executable statements in the text; 0 when it does not parse.
    pub(crate) statements: u32,
    /// The strongest effect among them.
    pub(crate) effect: Effect,
}

/// What a statement leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    ReadOnly,
    /// A change to a table or a database.
    Mutating,
    /// A change to the connection (SET, USE, temporary tables), to the engine, or something unknown.
    Other,
}

/// A statement with everything that belongs to its text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sql<'a> {
    /// The statement.
    pub(crate) text: &'a str,
    /// Output format of a query, input format of an insert.
    pub(crate) format: &'a str,
    /// Values for `{name:Type}`, escaped as in a tab-separated file.
    pub(crate) parameters: &'a [(String, String)],
}

impl Sql<'_> {
    /// # Safety
    /// `connection` must be open and idle, and `function` one of the library's statement functions.
    unsafe fn call<T>(self, connection: RawConnection, function: StatementFn<T>) -> T {
        let names: Vec<_> = self.parameters.iter().map(|(name, _)| name.as_ptr().cast::<c_char>()).collect();
        let name_lengths: Vec<_> = self.parameters.iter().map(|(name, _)| name.len()).collect();
        let values: Vec<_> = self.parameters.iter().map(|(_, value)| value.as_ptr().cast::<c_char>()).collect();
        let value_lengths: Vec<_> = self.parameters.iter().map(|(_, value)| value.len()).collect();
        // SAFETY: all pointers are valid for the lengths given and outlive the call, which copies what it keeps.
        unsafe {
            function(
                connection,
                self.text.as_ptr().cast(),
                self.text.len(),
                self.format.as_ptr().cast(),
                self.format.len(),
                names.as_ptr(),
                name_lengths.as_ptr(),
                values.as_ptr(),
                value_lengths.as_ptr(),
                self.parameters.len(),
            )
        }
    }
}

/// What a finished statement wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Rows, those of dependent views included.
    pub(crate) rows: u64,
    /// Bytes of those rows.
    pub(crate) bytes: u64,
}

/// An open connection to the storage folder.
pub(crate) struct Connection {
    api: &'static Api,
    handle: NonNull<RawConnection>,
}

// SAFETY: the library ties a connection to no thread; it only forbids two statements at once, and every method that
// runs one takes `&mut self`. It is not Sync.
unsafe impl Send for Connection {}

impl Connection {
    /// Opens a connection; the first one opens the storage, later ones ignore storage arguments. `None` when the
    /// engine refuses, with its reason on standard error. Blocks: 110 to 770 ms the first time, else below 1 ms.
    pub(crate) fn open(api: &'static Api, arguments: &[CString]) -> Option<Self> {
        let mut pointers: Vec<*mut c_char> = arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len()).ok()?;
        let _handlers = SignalGuard::save();
        // SAFETY: `pointers` holds `count` NUL-terminated strings that outlive the call; the library copies them and
        // does not write to them.
        let handle = unsafe { (api.connect)(count, pointers.as_mut_ptr()) };
        // The first connection starts most of what the library has.
        static ONCE: Once = Once::new();
        ONCE.call_once(skip_destructors_at_exit);
        NonNull::new(handle).map(|handle| Self { api, handle })
    }

    fn raw(&self) -> RawConnection {
        // SAFETY: the handle points at the connection from `open` until `drop`.
        unsafe { *self.handle.as_ptr() }
    }

    /// Says what a text holds, without running it.
    pub(crate) fn analyse(&mut self, text: &str) -> Analysis {
        let struct_size = size_of::<RawAnalysis>() as u32;
        let mut raw = RawAnalysis { struct_size, statement_count: 0, flags: 0, query_class: u32::MAX };
        // SAFETY: text and length match, no target database is given, and `raw` states its own size.
        let state =
            unsafe { (self.api.classify)(self.raw(), text.as_ptr().cast(), text.len(), std::ptr::null(), 0, &mut raw) };
        let effect = match raw.query_class {
            0 => Effect::ReadOnly,
            1 => Effect::Mutating,
            _ => Effect::Other,
        };
        let statements = if state == 0 { raw.statement_count } else { 0 };
        Analysis { statements, effect }
    }

    /// Runs a statement and returns its whole answer.
    pub(crate) fn run(&mut self, sql: Sql<'_>) -> Result<(Vec<u8>, Written), QueryError> {
        // SAFETY: `&mut self` means that nothing else runs on this connection.
        let raw = unsafe { sql.call(self.raw(), self.api.query) };
        let result = ResultHandle::new(self.api, raw)?;
        Ok((result.bytes().to_vec(), result.written()))
    }

    /// Starts a SELECT whose rows are fetched in chunks.
    pub(crate) fn stream(&mut self, sql: Sql<'_>) -> Result<Rows<'_>, QueryError> {
        // SAFETY: as in `run`; the stream borrows the connection, so nothing else runs until it is dropped.
        let raw = unsafe { sql.call(self.raw(), self.api.stream_query) };
        let handle = ResultHandle::new(self.api, raw)?;
        Ok(Rows { connection: self, handle, finished: false })
    }

    /// Starts an insert whose data is appended in chunks. The text has no FORMAT clause.
    pub(crate) fn insert(&mut self, sql: Sql<'_>) -> Result<InsertStream<'_>, QueryError> {
        let api = self.api;
        // SAFETY: as in `stream`.
        let raw = unsafe { sql.call(self.raw(), api.insert_open) };
        let handle = NonNull::new(raw).ok_or_else(|| QueryError::from_engine("The engine returned no insert."))?;
        let stream = InsertStream { api, handle, finished: false, _connection: PhantomData };
        match stream.error() {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the handle is from `connect`, closed once, and no result of it is alive (they borrow it).
        unsafe { (self.api.close_conn)(self.handle.as_ptr()) };
    }
}

/// A result of the library, destroyed when dropped.
struct ResultHandle {
    api: &'static Api,
    raw: NonNull<c_void>,
}

impl ResultHandle {
    /// Takes a result over; a result that carries an error becomes that error.
    fn new(api: &'static Api, raw: RawResult) -> Result<Self, QueryError> {
        let raw = NonNull::new(raw).ok_or_else(|| QueryError::from_engine("The engine returned no result."))?;
        let result = Self { api, raw };
        // SAFETY: `raw` is a live result.
        match text_at(unsafe { (api.result_error)(raw.as_ptr()) }) {
            Some(text) => Err(QueryError::from_engine(&text)),
            None => Ok(result),
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: `raw` is a live result.
        let (buffer, length) =
            unsafe { ((self.api.result_buffer)(self.raw.as_ptr()), (self.api.result_length)(self.raw.as_ptr())) };
        if buffer.is_null() || length == 0 {
            return &[];
        }
        // SAFETY: the library says that `length` bytes are readable there until the result is destroyed, which cannot
        // happen while `self` is borrowed.
        unsafe { std::slice::from_raw_parts(buffer.cast(), length) }
    }

    fn written(&self) -> Written {
        // SAFETY: `raw` is a live result.
        unsafe {
            Written {
                rows: (self.api.result_rows_written)(self.raw.as_ptr()),
                bytes: (self.api.result_bytes_written)(self.raw.as_ptr()),
            }
        }
    }
}

impl Drop for ResultHandle {
    fn drop(&mut self) {
        // SAFETY: destroyed once, here.
        unsafe { (self.api.result_destroy)(self.raw.as_ptr()) };
    }
}

/// A running SELECT. Dropping it before its end cancels it.
pub(crate) struct Rows<'connection> {
    connection: &'connection mut Connection,
    handle: ResultHandle,
    finished: bool,
}

impl Rows<'_> {
    /// The next chunk, or `None` at the end. Blocks until the engine has one.
    pub(crate) fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, QueryError> {
        if self.finished {
            return Ok(None);
        }
        let api = self.connection.api;
        // SAFETY: the stream is live on this connection, which `self` borrows exclusively.
        let raw = unsafe { (api.stream_fetch)(self.connection.raw(), self.handle.raw.as_ptr()) };
        let chunk = ResultHandle::new(api, raw).inspect_err(|_| self.finished = true)?;
        let bytes = chunk.bytes();
        if bytes.is_empty() {
            self.finished = true;
            return Ok(None);
        }
        Ok(Some(bytes.to_vec()))
    }
}

impl Drop for Rows<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // SAFETY: as in `next_chunk`; the handle itself is destroyed after this, by its own drop.
            unsafe { (self.connection.api.stream_cancel)(self.connection.raw(), self.handle.raw.as_ptr()) };
        }
    }
}

/// A running INSERT. Dropping it before [`InsertStream::finish`] cancels it.
pub(crate) struct InsertStream<'connection> {
    api: &'static Api,
    handle: NonNull<c_void>,
    finished: bool,
    _connection: PhantomData<&'connection mut Connection>,
}

impl InsertStream<'_> {
    fn error(&self) -> Option<QueryError> {
        // SAFETY: the handle is live.
        text_at(unsafe { (self.api.insert_error)(self.handle.as_ptr()) }).map(|text| QueryError::from_engine(&text))
    }

    /// Hands over data in the insert's format. Blocks while the engine is behind.
    pub(crate) fn append(&mut self, data: &[u8]) -> Result<(), QueryError> {
        // SAFETY: the handle is live, and the library copies the bytes before it returns.
        let state = unsafe { (self.api.insert_append)(self.handle.as_ptr(), data.as_ptr().cast(), data.len()) };
        if state == 0 {
            return Ok(());
        }
        Err(self.error().unwrap_or_else(|| QueryError::new(code::ABORTED, "The engine ended the insert.")))
    }

    /// Commits what was appended.
    pub(crate) fn finish(mut self) -> Result<Written, QueryError> {
        self.finished = true;
        // SAFETY: the handle is live; the result is separate from it and destroyed on its own.
        let raw = unsafe { (self.api.insert_done)(self.handle.as_ptr()) };
        Ok(ResultHandle::new(self.api, raw)?.written())
    }
}

impl Drop for InsertStream<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // SAFETY: the handle is live.
            unsafe { (self.api.insert_cancel)(self.handle.as_ptr()) };
        }
        // SAFETY: destroyed once, here.
        unsafe { (self.api.insert_destroy)(self.handle.as_ptr()) };
    }
}
