//! The embedded engine for tests: one per test process, a database of its own per test.
//!
//! A process can open one storage folder, so the engine lives on a runtime of its own that
//! outlasts every test. Included by path where it is needed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Where the engine listens and what opens it.
pub struct TestEngine {
    /// Its address.
    pub url: String,
    /// Its key.
    pub key: String,
}

/// The engine of this test process, started when first asked for.
pub fn test_engine() -> &'static TestEngine {
    static ENGINE: OnceLock<TestEngine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let (report, started) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime for the engine");
            runtime.block_on(async {
                let engine = engine::Engine::start(config())
                    .await
                    .unwrap_or_else(|error| panic!("the engine does not start: {error}"));
                let reached = TestEngine { url: engine.url().to_owned(), key: engine.key().to_owned() };
                shut_down_at_exit();
                report.send(reached).expect("the test waits");
                EXIT.wanted.notified().await;
                // The process ends either way; what matters is that the engine's threads are gone.
                let _ = engine.shutdown().await;
            });
            *EXIT.done.lock().unwrap_or_else(PoisonError::into_inner) = true;
            EXIT.told.notify_all();
        });
        started.recv().expect("the engine starts; fetch it with scripts/fetch-engine.sh if it is missing")
    })
}

/// How the end of the process reaches the engine's thread and back.
struct Exit {
    wanted: tokio::sync::Notify,
    done: Mutex<bool>,
    told: Condvar,
}

static EXIT: Exit = Exit { wanted: tokio::sync::Notify::const_new(), done: Mutex::new(false), told: Condvar::new() };

/// The library's own destructors crash now and then when its threads still run, so the engine is
/// shut down before them.
fn shut_down_at_exit() {
    extern "C" fn shut_down() {
        EXIT.wanted.notify_one();
        let done = EXIT.done.lock().unwrap_or_else(PoisonError::into_inner);
        // Ten seconds are the engine's own limit; after them the process ends as it may.
        drop(EXIT.told.wait_timeout_while(done, Duration::from_secs(10), |done| !*done));
    }
    // SAFETY: `shut_down` is a plain function that unwinds nowhere; it is registered after the
    // library was loaded, so it runs before the library's destructors.
    unsafe { libc::atexit(shut_down) };
}

/// A name that no other test of this process uses.
pub fn fresh_database() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

fn config() -> engine::EngineConfig {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate lies in the workspace");
    let library = engine::find_library(&workspace.join(".cache/engine")).unwrap_or_else(|error| panic!("{error}"));
    engine::EngineConfig {
        library,
        data_dir: fresh_folder(&workspace.join("target/test-engine")),
        database: "affilitrack".to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
        max_memory_bytes: 2 << 30,
        mark_cache_bytes: 64 << 20,
        connections: 4,
        max_waiting: 200,
        query_timeout: Duration::from_secs(30),
        key: "a key of the tests only".to_owned(),
    }
}

/// A folder for this process; those of processes that ended are removed.
fn fresh_folder(parent: &Path) -> PathBuf {
    std::fs::create_dir_all(parent).expect("the target folder can be written");
    for entry in std::fs::read_dir(parent).expect("the folder was just made").flatten() {
        let is_running = Path::new("/proc").join(entry.file_name()).exists();
        if !is_running {
            // Another test process may be removing it too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    parent.join(std::process::id().to_string())
}
