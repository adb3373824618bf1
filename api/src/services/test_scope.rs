//! Scopes for tests, made as they are made in the product: by the control store.

use domain::ids::{Mode, Timestamp};
use store::control::{ControlStore, LocalAdmin, NewVendor, SqliteControlStore};
use store::scope::TenantScope;
use store::secrets::{MasterKeys, system_random};

/// A control store of its own in a folder that is gone when the guard is.
pub(crate) fn control_store() -> (tempfile::TempDir, SqliteControlStore) {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let keys = MasterKeys::from_bytes(&[[7; 32]]);
    let store =
        SqliteControlStore::open(&folder.path().join("control.db"), keys, system_random()).expect("a new file opens");
    (folder, store)
}

/// The scope of a vendor of this store.
pub(crate) async fn scope_in(store: &SqliteControlStore, slug: &str, mode: Mode) -> TenantScope {
    store.ensure_vendor(NewVendor::named(slug), "test", Timestamp(0)).await.expect("a vendor can be made");
    let scope = store.admin_scope(&LocalAdmin::for_local_socket(), slug, mode).await;
    scope.expect("the store answers").expect("the vendor was just made")
}

/// The scope of a vendor of a store of its own.
pub(crate) async fn test_scope(slug: &str, mode: Mode) -> TenantScope {
    let (_folder, store) = control_store();
    scope_in(&store, slug, mode).await
}
