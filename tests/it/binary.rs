//! The program as a process: over HTTPS, killed, and before its CRD.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use imagetask_operator::api::Phase;
use serde_json::json;
use simulator::{Simulator, Task};

use crate::PROGRAM;
use crate::world::{ControlPlane, World, chart, get, reason, status};

/// The release binary, which `make test` builds before.
fn release() -> String {
    let target = Path::new(PROGRAM).ancestors().nth(2).expect("the program is in a profile's folder of the target");
    let program = target.join("release/imagetask-operator");
    let built = std::fs::metadata(&program).and_then(|program| program.modified());
    let built = built.unwrap_or_else(|error| panic!("{}: {error}: run `cargo build --release`", program.display()));
    assert!(newest_source() <= built, "{} is older than src: run `cargo build --release`", program.display());
    program.to_str().expect("the path is UTF-8").to_owned()
}

fn newest_source() -> SystemTime {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut newest = SystemTime::UNIX_EPOCH;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if entry.path().file_name().is_some_and(|name| name != "tests.rs") {
                newest = newest.max(entry.metadata().unwrap().modified().unwrap());
            }
        }
    }
    newest
}

/// A file with a certificate, in the folder that cargo gives to tests.
fn ca_file(name: &str, pem: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, pem).unwrap();
    path
}

#[tokio::test]
async fn the_release_binary_trusts_the_ca_in_ssl_cert_file_over_https() {
    let world = World::with(Simulator::start_tls().await).await;
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    let ca = ca_file("trusted.pem", world.cloud.ca_pem().expect("it speaks TLS"));
    let variables = [("SSL_CERT_FILE", ca.to_str().unwrap())];
    let _operator = world.process(&release(), &["--poll-interval=1s"], &variables).await;
    world.follow("t-1").await;
    world.until_phase("t-1", Phase::Succeeded).await;
}

#[tokio::test]
async fn an_untrusted_certificate_is_cloud_unavailable() {
    let stranger = Simulator::start_tls().await;
    let world = World::with(Simulator::start_tls().await).await;
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    let ca = ca_file("untrusted.pem", stranger.ca_pem().expect("it speaks TLS"));
    let variables = [("SSL_CERT_FILE", ca.to_str().unwrap())];
    let _operator = world.process(&release(), &["--poll-interval=1s"], &variables).await;
    world.follow("t-1").await;
    // It is told after a minute of trouble.
    let told = world.until_within(Duration::from_secs(150), "t-1", "told of", |object| reason(object).is_some()).await;
    assert_eq!(reason(&told), Some("CloudUnavailable"));
    assert_eq!(world.cloud.call_count(), 0);
}

#[tokio::test]
async fn a_killed_operator_loses_nothing() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(10));
    let mut operator = world.process(PROGRAM, &["--poll-interval=1s"], &[]).await;
    world.follow("t-1").await;
    world.until_phase("t-1", Phase::Running).await;
    operator.child.kill().await.unwrap();
    world.cloud.change("t-1", &json!({"Status": "Succeeded", "Process": 100}));
    let _operator = world.process(PROGRAM, &["--poll-interval=1s"], &[]).await;
    world.until_phase("t-1", Phase::Succeeded).await;
}

#[tokio::test]
async fn a_missing_crd_is_waited_for() {
    let plane = Box::leak(Box::new(ControlPlane::start().await));
    let world = World::on(plane, Simulator::start().await).await;
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    let operator = world.process(PROGRAM, &["--poll-interval=1s"], &[]).await;
    let (ready, why) = get(&operator.address, "/readyz").await;
    assert_eq!((ready, why.contains("CRD")), (503, true), "{why}");
    assert_eq!(get(&operator.address, "/livez").await.0, 200);
    operator.log_until("is not installed: waiting for it").await;
    plane.install_crd().await;
    world.follow("t-1").await;
    world.until_phase("t-1", Phase::Succeeded).await;
    assert_eq!(get(&operator.address, "/readyz").await, (200, "ok\n".into()));
}

#[tokio::test]
async fn an_api_server_that_restarts_is_watched_and_written_anew() {
    let plane = Box::leak(Box::new(ControlPlane::start().await));
    plane.install_crd().await;
    let world = World::on(plane, Simulator::start().await).await;
    world.cloud.put(Task::export("t-1", "image-1").running(10));
    world.cloud.put(Task::export("t-2", "image-2").running(10));
    let operator = world.process(PROGRAM, &["--poll-interval=1s"], &[]).await;
    world.follow("t-1").await;
    world.until_phase("t-1", Phase::Running).await;
    plane.restart();
    world.cloud.change("t-1", &json!({"Status": "Succeeded", "Process": 100}));
    world.until_phase("t-1", Phase::Succeeded).await;
    world.follow("t-2").await;
    world.until_phase("t-2", Phase::Running).await;
    assert_eq!(get(&operator.address, "/readyz").await.0, 200);
}

#[tokio::test]
async fn a_clean_stop_exits_with_zero() {
    let world = World::new().await;
    let mut operator = world.process(PROGRAM, &["--poll-interval=1s"], &[]).await;
    operator.signal("TERM").await;
    assert_eq!(operator.ended().await, Some(0));
}

#[tokio::test]
async fn the_metrics_of_the_contract_are_there() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    world.cloud.put(Task::export("t-2", "image-2").running(3));
    let operator = world.operator().await;
    world.follow("t-1").await;
    world.follow("t-2").await;
    world.until_phase("t-1", Phase::Succeeded).await;
    let running = world.until_phase("t-2", Phase::Running).await;
    assert_eq!(status(&running).process, Some(3));
    let (code, text) = operator.get("/metrics").await;
    assert_eq!(code, 200);
    for line in [
        r#"imagetask_cloud_requests_total{code="ok"} "#,
        r#"imagetask_cloud_requests_total{code="throttled"} 0"#,
        "imagetask_cloud_request_seconds_count ",
        "imagetask_cloud_ids_per_request_sum ",
        "imagetask_poll_lag_seconds_count ",
        "imagetask_first_status_seconds_count 2",
        r#"imagetask_tasks{phase="Running"} 1"#,
        r#"imagetask_ends_total{reason="TaskSucceeded"} 1"#,
        r#"imagetask_ends_total{reason="TaskFailed"} 0"#,
        r#"imagetask_status_writes_total{kind="end",outcome="stored"} 1"#,
        r#"imagetask_status_writes_total{kind="end",outcome="failed"} 0"#,
        "imagetask_status_queue 0",
        "imagetask_watch_restarts_total 0",
        "imagetask_invalid_objects 0",
        r#"imagetask_lanes{state="steady"} 1"#,
        "imagetask_leader 1",
        "process_cpu_seconds_total ",
        "process_resident_memory_bytes ",
    ] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line} is missing in\n{text}");
    }
}

/// The metrics that a text names, as they stand in a scrape.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("imagetask_")).collect()
}

#[tokio::test]
async fn the_metrics_of_alerts_are_in_a_scrape() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    let operator = world.operator().await;
    world.follow("t-1").await;
    world.until_phase("t-1", Phase::Succeeded).await;
    let (_, scrape) = operator.get("/metrics").await;
    let scraped: BTreeSet<_> = scrape.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
    let text = std::fs::read_to_string(chart::path().join("files/alerts.yaml")).unwrap();
    let missing: Vec<_> = metrics_in(&text).difference(&scraped).copied().collect();
    assert!(metrics_in(&text).len() > 5 && missing.is_empty(), "alerts.yaml names {missing:?}");
}
