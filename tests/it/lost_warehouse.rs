//! The warehouse folder is taken away, or an older copy is put in its place: it is filled again and the figures are what
//! they were.

use crate::instance::{Instance, Vendor, maya, session};
use corpus::client::JsonApi;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// The vendor at the address that the instance has since its last start.
pub(crate) async fn moved(it: &Instance, vendor: &Vendor) -> Vendor {
    let ask = json!({"vendor": vendor.slug, "mode": "test", "name": "again"});
    let key = it.product.socket().post("/v1/api-keys", &ask).await.unwrap();
    let path = vendor.endpoint_url.split_once("/webhooks/").unwrap().1;
    Vendor {
        slug: vendor.slug.clone(),
        endpoint_url: format!("{}/webhooks/{path}", it.product.url()),
        api: JsonApi::new(it.http.clone(), it.product.url(), key["key"].as_str().unwrap()),
    }
}

pub(crate) async fn totals(vendor: &Vendor) -> Value {
    vendor.api.get(&["totals"], &[("group", "affiliate")]).await.unwrap()["rows"].clone()
}

async fn metrics(it: &Instance) -> String {
    let answer = it.get(&format!("{}/metrics", it.product.url())).await;
    String::from_utf8_lossy(&answer.body).into_owned()
}

async fn until_noticed(it: &Instance) {
    for _ in 0..600 {
        if metrics(it).await.contains("at_reconcile_differences_total{kind=\"warehouse\"}") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not noticed within 30 s");
}

async fn until_ready(it: &Instance) {
    let mut words = String::new();
    for _ in 0..600 {
        let answer = it.get(&format!("{}/readyz", it.product.url())).await;
        words = String::from_utf8_lossy(&answer.body).into_owned();
        if answer.status == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not ready within 30 s: {words}");
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => copy_folder(&entry.path(), &target),
            kind if kind.is_symlink() => {
                std::os::unix::fs::symlink(std::fs::read_link(entry.path()).unwrap(), target).unwrap();
            }
            _ => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[tokio::test]
async fn a_warehouse_that_was_lost_or_is_older_is_filled_again() {
    let mut it = Instance::start().await;
    let acme = it.vendor("acme", maya()).await;
    for n in 0..20 {
        it.deliver(&acme, &session(&format!("early{n}"), json!({})).to_string()).await;
    }
    acme.settle().await;
    it.product.kill().await.unwrap();
    let warehouse = it.data_dir().join("warehouse");
    let older = it.folder.path().join("older");
    copy_folder(&warehouse, &older);
    it.start_again().await;
    let acme = moved(&it, &acme).await;
    for n in 0..20 {
        it.deliver(&acme, &session(&format!("late{n}"), json!({})).to_string()).await;
    }
    acme.settle().await;
    let whole = totals(&acme).await;
    assert!(whole.to_string().contains("aff_maya"), "{whole}");

    for replacement in [Some(&older), None] {
        it.product.kill().await.unwrap();
        std::fs::remove_dir_all(&warehouse).unwrap();
        if let Some(copy) = replacement {
            copy_folder(copy, &warehouse);
        }
        it.start_again().await;
        until_noticed(&it).await;
        until_ready(&it).await;
        assert_eq!(totals(&moved(&it, &acme).await).await, whole, "{replacement:?}");
        assert!(metrics(&it).await.contains("at_sink_unverified_lines 0"));
        assert!(!it.data_dir().join("refold").exists());
    }
}
