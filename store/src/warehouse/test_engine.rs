//! The embedded engine for tests: at most one per test process, a database of its own per test.
//!
//! A process can open one storage folder, so tests share an engine. It is shut down when the last
//! of them lets go of it: the library's own destructors crash now and then when a process ends
//! while its threads run. Included by path where it is needed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// Where the engine listens and what opens it. The engine runs while somebody holds one of these.
pub struct TestEngine {
    /// Its address.
    pub url: String,
    /// Its key.
    pub key: String,
}

struct Running {
    users: usize,
    url: String,
    key: String,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

static RUNNING: Mutex<Option<Running>> = Mutex::new(None);

/// The engine of this test process, started when nobody uses one.
pub fn test_engine() -> TestEngine {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let engine = running.get_or_insert_with(start);
    engine.users += 1;
    TestEngine { url: engine.url.clone(), key: engine.key.clone() }
}

impl Drop for TestEngine {
    fn drop(&mut self) {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = running.as_mut() {
            engine.users -= 1;
        }
        // The lock is held until it is down: the storage folder can only be opened again then.
        if let Some(engine) = running.take_if(|engine| engine.users == 0) {
            let _ = engine.stop.send(());
            let _ = engine.thread.join();
        }
    }
}

fn start() -> Running {
    let (report, started) = std::sync::mpsc::sync_channel(1);
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime for the engine");
        runtime.block_on(async {
            let engine = engine::Engine::start(config())
                .await
                .unwrap_or_else(|error| panic!("the engine does not start: {error}"));
            report.send((engine.url().to_owned(), engine.key().to_owned())).expect("the test waits");
            let _ = stopped.await;
            engine.shutdown().await.unwrap_or_else(|error| panic!("the engine does not stop: {error}"));
        });
    });
    let (url, key) = started.recv().expect("the engine starts; fetch it with scripts/fetch-engine.sh if it is missing");
    Running { users: 0, url, key, stop, thread }
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
