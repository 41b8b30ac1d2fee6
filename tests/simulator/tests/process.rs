//! The binary: its one line, its control endpoint, and that it leaves nothing behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use simulator::{Account, Fault, Script, Settings, Task};

/// A running binary; closing its input ends it.
struct Process {
    child: Child,
    cloud: String,
    control: String,
}

impl Process {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_simulator"))
            .args(arguments)
            .arg("--exit-with-stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cargo built the binary");
        let stdout = child.stdout.take().expect("its output is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("it prints text");
        let urls: Value = serde_json::from_str(&line).expect("it prints one line of JSON");
        let url = |name: &str| urls[name].as_str().expect("both URLs are there").to_owned();
        Self { cloud: url("url"), control: url("control_url"), child }
    }

    /// One call of the control endpoint; gives the status and the body.
    fn control(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let head = format!("{method} /control/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close");
        let answer = exchange(&self.control, &format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("an answer has a status"), body.to_owned())
    }

    fn read(&self, path: &str) -> Value {
        let (status, body) = self.control("GET", path, &Value::Null);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("the control endpoint answers in JSON")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().expect("it ends with its input");
    }
}

fn exchange(url: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("not zero");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers and closes");
    answer
}

const UNSIGNED: &str =
    "GET /?Action=DescribeTasks&TaskIds.1=t-1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[test]
fn a_script_file_and_the_control_endpoint_take_the_same_json() {
    let script = Script {
        accounts: vec![Account::new("AK1", "secret")],
        tasks: vec![Task::export("t-1", "image-1").account("AK1").then().succeeded()],
        roles: Vec::new(),
        faults: vec![Fault::code("FlowLimitExceeded").times(3)],
        settings: Some(Settings { calls_per_second: Some(4), clock_skew_seconds: 30 }),
    };
    let json = serde_json::to_value(&script).unwrap();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("script.json");
    std::fs::write(&file, json.to_string()).unwrap();

    let process = Process::start(&["--script", file.to_str().unwrap()]);
    assert_eq!(process.control("POST", "script", &json), (200, json!({ "faults": [2] }).to_string()));
    let fault = |id| json!({ "id": id, "struck": 0, "fault": json["faults"][0] });
    assert_eq!(process.read("faults"), json!([fault(1), fault(2)]));
}

#[test]
fn tasks_and_faults_are_steered_by_their_names() {
    let process = Process::start(&["--account", "AK1:secret"]);
    let task = Task::export("t-1", "image-1").then().running(50);
    let (status, _) = process.control("POST", "script", &json!({ "tasks": [task], "faults": [{ "effect": "hang" }] }));
    assert_eq!(status, 200);
    let steps = [
        ("POST", "tasks/t-1/advance", Value::Null, 204),
        ("PATCH", "tasks/t-1", json!({ "Process": "45%" }), 204),
        ("DELETE", "tasks/t-1", Value::Null, 204),
        ("POST", "tasks/t-1/advance", Value::Null, 404),
        ("PATCH", "tasks/t-1", json!([]), 400),
        ("DELETE", "faults/1", Value::Null, 204),
        ("DELETE", "faults/1", Value::Null, 404),
        ("DELETE", "faults", Value::Null, 204),
        ("DELETE", "accounts/AK1", Value::Null, 204),
        ("DELETE", "accounts/AK1", Value::Null, 404),
        ("POST", "script", json!({ "misspelt": [] }), 400),
    ];
    for (method, path, body, status) in steps {
        assert_eq!(process.control(method, path, &body).0, status, "{method} {path}");
    }
}

#[test]
fn the_control_endpoint_tells_what_the_cloud_was_asked() {
    let process = Process::start(&[]);
    let answer = exchange(&process.cloud, UNSIGNED);
    assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{answer}");
    let key = json!({ "calls": 1, "outcomes": { "MissingAuthenticationToken": 1 } });
    assert_eq!(process.read("counts"), json!({ "calls": 1, "keys": { "": key } }));
    assert_eq!(process.read("counts/t-1"), json!({ "asked": 1 }));
    let mut calls = process.read("calls");
    calls[0]["at_ms"].take();
    let expected = json!([{
        "at_ms": null, "access_key": "", "region": "", "action": "DescribeTasks", "task_ids": ["t-1"], "resource_ids": [],
        "max_results": null, "next_token": false, "outcome": "MissingAuthenticationToken",
    }]);
    assert_eq!(calls, expected);
    assert_eq!(process.control("DELETE", "calls", &Value::Null).0, 204);
    assert_eq!(process.read("calls"), json!([]));
}

#[test]
fn the_cloud_port_knows_nothing_of_control() {
    let process = Process::start(&[]);
    let answer = exchange(&process.cloud, &UNSIGNED.replace("GET /", "GET /control/counts"));
    assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{answer}");
}

#[test]
fn the_ca_is_written_before_the_urls_are_printed() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("process-ca.pem");
    let process = Process::start(&["--tls", "--ca-file", file.to_str().unwrap()]);
    assert!(process.cloud.starts_with("https://127.0.0.1:"), "{}", process.cloud);
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
}
