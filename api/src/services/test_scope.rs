//! Scopes for tests, made as they are made in the product: by the control store.

use domain::ids::{Mode, Timestamp};
use store::control::input::{AffiliateInput, DecisionInput};
use store::control::{ControlStore, LocalAdmin, NewMail, NewVendor, Portal, PortalGuest, SqliteControlStore};
use store::scope::TenantScope;
use store::secrets::{MasterKeys, SecretText, system_random};

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

/// What an affiliate of a vendor of this store sees at the portal.
pub(crate) async fn affiliate_scope_in(store: &SqliteControlStore, slug: &str, key: &str, mode: Mode) -> TenantScope {
    let vendor = scope_in(store, slug, mode).await;
    let affiliate = AffiliateInput { key: key.into(), email: Some(format!("{key}@example.com")), ..Default::default() };
    let decided = store.decide(vendor.vendor(), vec![DecisionInput::Affiliate(affiliate)], "test", Timestamp(0)).await;
    decided.expect("an affiliate can be made");
    let (sender, mut links) = tokio::sync::mpsc::channel(1);
    let mail = move |guest: &PortalGuest, vendor, link: &SecretText, cause| {
        sender.try_send(link.clone()).expect("there is room for one link");
        NewMail { vendor: Some(vendor), cause, kind: "test", recipient: guest.email.to_string(), content: link.clone() }
    };
    store.invite(&vendor, key, Box::new(mail), "test", Timestamp(0)).await.expect("they can be invited");
    let link = links.recv().await.expect("a mail was written");
    let session = store.open_portal(link.expose(), Timestamp(0)).await.expect("the store answers");
    session.expect("the link is new").scope(mode)
}

/// The scope of a vendor of a store of its own.
pub(crate) async fn test_scope(slug: &str, mode: Mode) -> TenantScope {
    let (_folder, store) = control_store();
    scope_in(&store, slug, mode).await
}
