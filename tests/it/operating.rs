//! Starting, stopping, looking after.

use crate::instance::{Instance, binary, maya, session};
use serde_json::json;
use std::process::Command;

#[tokio::test]
async fn kill_and_start_again_keeps_everything() {
    let mut it = Instance::start().await;
    let acme = it.vendor("acme", maya()).await;
    it.deliver(&acme, &session("kept", json!({})).to_string()).await;
    acme.settle().await;
    it.kill_and_restart().await;
    let key = it
        .product
        .socket()
        .post("/v1/api-keys", &json!({"vendor": "acme", "mode": "test", "name": "again"}))
        .await
        .unwrap();
    let api = corpus::client::JsonApi::new(it.http.clone(), it.product.url(), key["key"].as_str().unwrap());
    assert_eq!(api.get(&["purchases", "pi:pi_kept"], &[]).await.unwrap()["affiliate"], "aff_maya");
    assert!(it.command(&["doctor"]).await.1.contains("OK"));
}

/// The default data folder is `data` under wherever the process was started.
#[tokio::test]
async fn a_relative_data_folder_holds_figures_too() {
    let folder = tempfile::tempdir().unwrap();
    let up: std::path::PathBuf = std::env::current_dir().unwrap().components().skip(1).map(|_| "..").collect();
    let relative = up.join(folder.path().strip_prefix("/").unwrap()).join("data");
    let it = Instance::start_at(folder, relative, &[]).await;
    let acme = it.vendor("acme", maya()).await;
    it.deliver(&acme, &session("relative", json!({})).to_string()).await;
    acme.settle().await;
    let totals = acme.api.get(&["totals"], &[("group", "affiliate")]).await.unwrap();
    assert!(totals.to_string().contains("aff_maya"), "{totals}");
}

#[tokio::test]
async fn health_readiness_and_metrics_answer() {
    let it = Instance::start().await;
    let acme = it.vendor("acme", maya()).await;
    it.deliver(&acme, &session("metric", json!({})).to_string()).await;
    acme.settle().await;
    acme.api.get(&["totals"], &[]).await.unwrap();
    for path in ["healthz", "readyz"] {
        assert_eq!(it.get(&format!("{}/{path}", it.product.url())).await.status, 200, "{path}");
    }
    let metrics = it.get(&format!("{}/metrics", it.product.url())).await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(text.contains("at_ingest_requests_total{") && text.contains("at_fold_records_total{"), "{text}");
    let visible = |name: &str| text.lines().any(|line| line.starts_with(name));
    for name in [
        "at_fold_lag_records{partition=\"0\"} 0",
        "at_fold_lag_seconds{partition=\"15\"} 0",
        "at_fold_position{partition=",
        "at_fold_waiting{reason=\"sale_unknown\"} 0",
        "at_fold_waiting_oldest_seconds{reason=\"sale_unknown\"} 0",
        "at_refused_open{reason=\"bad_currency\"} 0",
        "at_log_produce_seconds_count",
        "at_query_seconds_count{query=",
    ] {
        assert!(visible(name), "{name} is not in\n{text}");
    }
    assert!(!visible("at_reconcile_differences_total"), "the books add up");
    assert!(!text.contains("acme"), "no vendor in a metric");
}

#[tokio::test]
async fn a_second_process_on_the_same_data_and_a_taken_port_are_refused_in_words() {
    let it = Instance::start().await;
    let start = |port: &str, folder: &std::path::Path| {
        let output = Command::new(binary()).arg("run").env("DATA_DIR", folder).env("PORT", port).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let second = start("0", &it.data_dir());
    assert!(second.contains("another affilitrack process") || second.contains("lock"), "{second}");
    let taken = it.product.url().rsplit(':').next().unwrap().to_owned();
    let other = tempfile::tempdir().unwrap();
    let words = start(&taken, &other.path().join("data"));
    assert!(words.contains(&taken) && words.contains("taken"), "{words}");
}

#[tokio::test]
async fn every_file_of_the_data_folder_is_for_this_user_only() {
    use std::os::unix::fs::PermissionsExt;
    let it = Instance::start().await;
    let acme = it.vendor("acme", maya()).await;
    it.deliver(&acme, &session("private", json!({})).to_string()).await;
    acme.settle().await;
    let mut folders = vec![it.data_dir()];
    let mut names = Vec::new();
    while let Some(folder) = folders.pop() {
        let mode = std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", folder.display());
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // The engine removes parts that it merged at any moment.
            let Ok(found) = std::fs::symlink_metadata(&path) else { continue };
            if found.is_symlink() {
                continue;
            }
            if found.is_dir() {
                folders.push(path);
                continue;
            }
            let mode = found.permissions().mode() & 0o777;
            assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
            names.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    for name in ["log.db", "log.db-wal", "fold.db", "control.db", "master.key", "affilitrack.sock"] {
        assert!(names.iter().any(|found| found == name), "{name} is not in {names:?}");
    }
}

#[test]
fn a_data_folder_of_another_format_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("format-version"), "99\n").unwrap();
    let output = Command::new(binary()).arg("run").env("DATA_DIR", &data).env("PORT", "0").output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && words.contains("99") && words.contains("newer"), "{words}");
}

#[test]
fn all_problems_of_a_configuration_are_reported_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("affilitrack.toml");
    std::fs::write(&file, "[server]\nlisten = \"nowhere\"\n[edge]\nmax_body_bites = 3\n").unwrap();
    let output = Command::new(binary()).args(["check-config", "--config"]).arg(&file).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && words.contains("server.listen") && words.contains("max_body_bites"), "{words}");
}

#[tokio::test]
async fn no_personal_data_and_no_secret_is_in_any_file() {
    let it = Instance::start().await;
    let acme = it.vendor("acme", maya()).await;
    it.deliver(&acme, &session("private", json!({})).to_string()).await;
    acme.settle().await;
    let data_dir = it.data_dir();
    assert!(it.product.stop().await.unwrap(), "stops in order");
    let mut folders = vec![data_dir];
    let mut looked_at = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Ok(bytes) = std::fs::read(&path) else { continue };
            looked_at += 1;
            for needle in ["somebody@example.com", "Some Body", crate::instance::SECRET] {
                assert!(
                    !bytes.windows(needle.len()).any(|window| window == needle.as_bytes()),
                    "{needle} is in {}",
                    path.display()
                );
            }
        }
    }
    assert!(looked_at > 5);
}
