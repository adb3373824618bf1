//! A backup that is taken while deliveries and decisions go on, and put back after the disk is lost: the figures are those
//! of a run that nothing happened to. Files of two backups are brought together, or refused in words.

use crate::instance::{Instance, Vendor, binary, maya, session};
use crate::lost_warehouse::{moved, totals};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// An affiliate with a code of their own.
fn affiliate(number: usize) -> Value {
    json!([
        {"decide": "affiliate", "key": format!("aff_{number}"), "name": format!("Number {number}")},
        {"decide": "map", "provider": "stripe", "code": format!("CODE{number}"), "promotion_code_id": format!("promo_{number}"), "affiliate": format!("aff_{number}")},
        {"decide": "rule", "scope": {"affiliate": format!("aff_{number}")}, "percent": (10 + number % 50).to_string()},
    ])
}

/// A sale with the code of an affiliate, delivered until it is acknowledged.
async fn sell(it: &Instance, vendor: &Vendor, number: usize) {
    let discounts = json!([{"coupon": null, "promotion_code": format!("promo_{}", number % 40)}]);
    let body = session(&format!("b{number}"), json!({"discounts": discounts})).to_string();
    let reply = it.deliver(vendor, &body).await;
    assert!(reply.status < 300, "{}", reply.excerpt());
}

async fn decide(it: &Instance, number: usize) {
    let decisions = json!({"vendor": "acme", "decisions": affiliate(number)});
    it.product.socket().post("/v1/decide", &decisions).await.unwrap();
}

/// Affiliates and sales with these numbers.
async fn go_on(it: &Instance, acme: &Vendor, affiliates: std::ops::Range<usize>, sales: std::ops::Range<usize>) {
    let decisions = async {
        for number in affiliates {
            decide(it, number).await;
        }
    };
    let deliveries = async {
        for number in sales {
            sell(it, acme, number).await;
        }
    };
    tokio::join!(decisions, deliveries);
}

async fn back_up(it: &Instance, target: &Path) {
    let (done, words) = it.command(&["backup", target.to_str().unwrap(), "--with-key"]).await;
    assert!(done && words.contains("To restore"), "{words}");
}

/// An instance on files that are put back.
async fn started_on(files: &[(&Path, &[&str])]) -> Instance {
    let folder = tempfile::tempdir().unwrap();
    let data = put_back(folder.path(), files);
    Instance::start_at(folder, data, &[]).await
}

fn put_back(folder: &Path, files: &[(&Path, &[&str])]) -> PathBuf {
    let data = folder.join("data");
    std::fs::create_dir(&data).unwrap();
    for (backup, names) in files {
        for name in *names {
            std::fs::copy(backup.join(name), data.join(name)).unwrap();
        }
    }
    data
}

/// What a start on files says that it refuses.
async fn refusal_of(files: &[(&Path, &[&str])]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let data = put_back(folder.path(), files);
    let run = tokio::process::Command::new(binary()).arg("run").env("DATA_DIR", data).env("PORT", "0").output();
    let output = run.await.unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The totals of the affiliates. What was nobody's before it was mapped comes to nothing.
async fn earned(vendor: &Vendor) -> Value {
    let mut rows = totals(vendor).await;
    let list = rows.as_array_mut().unwrap();
    list.retain(|row| row["group"] != "" || row["totals"][0]["revenue_minor"] != 0);
    rows
}

const ALL: &[&str] = &["backup.json", "control.db", "format-version", "log.db", "master.key"];
const WITHOUT_LIST: &[&str] = &["control.db", "format-version", "log.db", "master.key"];

#[tokio::test]
async fn a_backup_of_a_running_process_is_one_moment_and_comes_back_to_the_cent() {
    let mut it = Instance::start().await;
    let acme = it.vendor("acme", maya()).await;
    go_on(&it, &acme, 0..5, 0..40).await;
    let backups: Vec<PathBuf> = (0..4).map(|number| it.folder.path().join(format!("backup-{number}"))).collect();
    let taking = async {
        for backup in &backups {
            back_up(&it, backup).await;
        }
    };
    // Decisions and deliveries all the while.
    tokio::join!(taking, go_on(&it, &acme, 5..30, 40..240));
    go_on(&it, &acme, 30..40, 240..300).await;
    acme.settle().await;
    let whole = earned(&acme).await;
    assert_eq!(whole.as_array().unwrap().len(), 40, "{whole}");
    it.product.kill().await.unwrap();
    std::fs::remove_dir_all(it.data_dir()).unwrap();

    for backup in &backups {
        let (right, words) = it.command(&["backup", "--check", backup.to_str().unwrap()]).await;
        assert!(right && words.contains("whole"), "{words}");
        let restored = started_on(&[(backup, ALL)]).await;
        let (_, words) = restored.command(&["doctor"]).await;
        assert!(!words.contains("FAIL  backup"), "{words}");
        let acme = moved(&restored, &acme).await;
        acme.settle().await;
        assert_ne!(earned(&acme).await, whole, "what came after the backup is not in it");
        // People decide again, the provider sends again.
        go_on(&restored, &acme, 0..40, 0..300).await;
        acme.settle().await;
        assert_eq!(earned(&acme).await, whole);
        let refused = restored.command(&["refused", "list", "--vendor", "acme"]).await.1;
        assert!(refused.contains("0 open"), "no number stands over a gap: {refused}");
    }
}

#[tokio::test]
async fn files_of_two_backups_are_brought_together_or_refused_in_words() {
    let it = Instance::start().await;
    let acme = it.vendor("acme", maya()).await;
    go_on(&it, &acme, 0..2, 0..10).await;
    let (older, newer) = (it.folder.path().join("older"), it.folder.path().join("newer"));
    back_up(&it, &older).await;
    go_on(&it, &acme, 2..40, 10..60).await;
    it.vendor("younger", maya()).await;
    back_up(&it, &newer).await;
    acme.settle().await;
    let whole = totals(&acme).await;

    let rest: &[&str] = &["format-version", "master.key"];
    let words = refusal_of(&[(&older, &["log.db"]), (&newer, &["control.db"]), (&newer, rest)]).await;
    assert!(words.contains("the log is older than the control store: it lacks decisions"), "{words}");
    let mixed: [(&Path, &[&str]); 3] =
        [(&newer, &["log.db", "backup.json"]), (&older, &["control.db"]), (&older, rest)];
    let words = refusal_of(&mixed).await;
    assert!(
        words.contains("control.db is not the file that was written") && words.contains("Nothing was started"),
        "{words}"
    );
    let (right, words) = it.command(&["backup", "--check", it.data_dir().to_str().unwrap()]).await;
    assert!(!right && words.contains("is no backup"), "{words}");
    let (done, words) = it.command(&["backup", newer.to_str().unwrap()]).await;
    assert!(!done && words.contains("is not empty"), "{words}");

    // The log is the truth: an older control store takes from it what it lacks.
    let restored = started_on(&[(&newer, &["log.db"]), (&older, &["control.db"]), (&older, rest)]).await;
    let acme = moved(&restored, &acme).await;
    acme.settle().await;
    assert_eq!(totals(&acme).await, whole, "names too");
    let log = std::fs::read_to_string(restored.folder.path().join("output.log")).unwrap();
    assert!(log.contains("acme: the control store was older than the log"), "{log}");
    assert!(log.contains("is in the log and not in the control store"), "the younger vendor: {log}");
    // New numbers are new: this affiliate, and this vendor, have nothing of anybody else's.
    decide(&restored, 40).await;
    let body = session("new", json!({"discounts": [{"coupon": null, "promotion_code": "promo_40"}]})).to_string();
    assert!(restored.deliver(&acme, &body).await.status < 300);
    acme.settle().await;
    let rows = totals(&acme).await;
    let row = rows.as_array().unwrap().iter().find(|row| row.to_string().contains("aff_40")).unwrap().clone();
    assert_eq!(rows.as_array().unwrap().len(), whole.as_array().unwrap().len() + 1, "{row}");
    let new = restored.vendor("fresh", maya()).await;
    assert_eq!(totals(&new).await, json!([]));
    let plain = started_on(&[(&newer, WITHOUT_LIST)]).await;
    let acme = moved(&plain, &acme).await;
    acme.settle().await;
    assert_eq!(totals(&acme).await, whole, "a backup without its list starts too");
}
