//! The official Python and Go SDKs against the simulator: the proof that it speaks as the cloud does.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use simulator::{Account, Fault, Role, Simulator, Task};

/// A client of one SDK, as `sdk/prepare` makes it.
#[derive(Clone, Copy, Debug)]
enum Sdk {
    Python,
    Go,
}

const SDKS: [Sdk; 2] = [Sdk::Python, Sdk::Go];

/// Whom a client says it is.
#[derive(Clone, Copy)]
struct Keys<'a> {
    access: &'a str,
    secret: &'a str,
    token: &'a str,
}

const KEYS: Keys<'static> = Keys { access: Simulator::ACCESS_KEY, secret: Simulator::SECRET_KEY, token: "" };

#[tokio::test]
async fn both_sdks_read_every_field_of_tasks_in_every_status() {
    let cloud = Simulator::start().await;
    let pending = Task::export("t-1", "image-1").without("EndAt");
    let running = Task::copy("t-2", "image-2").running(40).updated_at("2022-05-06T00:03:00+08:00");
    let succeeded = Task::of_type("ImportImage", "t-3", "image-3").succeeded();
    let failed = Task::of_type("CreateImage", "t-4", "image-4").running(70).failed();
    cloud.put_all([pending, running, succeeded, failed]);

    let (created, ended) = ("2022-05-06T00:01:00+08:00", "2022-05-06T00:07:12+08:00");
    let expected = json!({ "pages": 1, "tasks": [
        task(["t-1", "ExportImage", "Pending", "image-1", created, created], 0, Value::Null),
        task(["t-2", "CopyImage", "Running", "image-2", created, "2022-05-06T00:03:00+08:00"], 40, json!("")),
        task(["t-3", "ImportImage", "Succeeded", "image-3", created, ended], 100, json!(ended)),
        task(["t-4", "CreateImage", "Failed", "image-4", created, ended], 70, json!(ended)),
    ]});
    for sdk in SDKS {
        assert_eq!(sdk.describe(&cloud, KEYS, &["t-1", "t-2", "t-3", "t-4", "t-unknown"]), expected, "{sdk:?}");
    }
}

#[tokio::test]
async fn both_sdks_follow_the_pages_of_100_ids_with_the_default_page_size() {
    let cloud = Simulator::start().await;
    let ids: Vec<_> = (1..=100).map(|number| format!("t-{number:03}")).collect();
    cloud.put_all(ids.iter().map(|id| Task::export(id, "image-1").running(1)));
    let asked: Vec<_> = ids.iter().map(String::as_str).collect();
    for sdk in SDKS {
        let read = sdk.describe(&cloud, KEYS, &asked);
        let tasks = read["tasks"].as_array().expect("the client prints the tasks it read");
        let got: Vec<_> = tasks.iter().map(|task| task["Id"].clone()).collect();
        assert_eq!((&read["pages"], json!(got)), (&json!(5), json!(ids)), "{sdk:?}");
    }
    assert_eq!(cloud.calls_of(Simulator::ACCESS_KEY).calls, 10);
}

#[tokio::test]
async fn both_sdks_are_served_over_https_with_the_test_ca_and_a_session_token() {
    let cloud = Simulator::start_tls().await;
    cloud.add(Account::new("AKTEMPORARY", "secret").session_token("token/with+chars=="));
    cloud.put(Task::export("t-1", "image-1").account("AKTEMPORARY").running(7));
    let created = "2022-05-06T00:01:00+08:00";
    let fields = task(["t-1", "ExportImage", "Running", "image-1", created, created], 7, json!(""));
    let keys = Keys { access: "AKTEMPORARY", secret: "secret", token: "token/with+chars==" };
    for sdk in SDKS {
        assert_eq!(sdk.describe(&cloud, keys, &["t-1"]), json!({ "pages": 1, "tasks": [fields] }), "{sdk:?}");
    }
}

#[tokio::test]
async fn both_sdks_are_told_why_they_are_refused() {
    let cloud = Simulator::start().await;
    cloud.add(Account::new("AKTEMPORARY", "secret").session_token("token"));
    let refusals = [
        (Keys { secret: "wrong", ..KEYS }, 401, "SignatureDoesNotMatch"),
        (Keys { access: "AKUNKNOWN", ..KEYS }, 401, "InvalidAccessKey"),
        (Keys { access: "AKTEMPORARY", secret: "secret", token: "old" }, 401, "InvalidSecretToken"),
    ];
    for sdk in SDKS {
        for (keys, status, code) in refusals {
            assert_eq!(sdk.describe(&cloud, keys, &["t-1"]), json!({ "status": status, "code": code }), "{sdk:?}");
        }
    }
}

#[tokio::test]
async fn both_sdks_take_an_error_inside_a_200_for_an_error() {
    let cloud = Simulator::start().await;
    cloud.order(Fault::code_with_status("AccountFlowLimitExceeded", 200));
    for sdk in SDKS {
        let expected = json!({ "status": 200, "code": "AccountFlowLimitExceeded" });
        assert_eq!(sdk.describe(&cloud, KEYS, &["t-1"]), expected, "{sdk:?}");
    }
}

#[tokio::test]
async fn the_python_sdk_takes_a_role_with_a_token() {
    const TRN: &str = "trn:iam::2100000001:role/reader";
    let cloud = Simulator::start().await;
    cloud.trust(Role::new(TRN, "header.claims.signature", "demo"));
    cloud.put(Task::export("t-1", "image-1").account("demo").running(7));
    let token = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sdk-oidc-token");
    std::fs::write(&token, "header.claims.signature\n").expect("cargo's directory for test files can be written");
    let created = "2022-05-06T00:01:00+08:00";
    let fields = task(["t-1", "ExportImage", "Running", "image-1", created, created], 7, json!(""));
    let role =
        [("VOLCENGINE_OIDC_ROLE_TRN", TRN), ("VOLCENGINE_OIDC_TOKEN_FILE", token.to_str().expect("it is UTF-8"))];
    let none = Keys { access: "", secret: "", token: "" };
    assert_eq!(Sdk::Python.describe_with(&cloud, none, &role, &["t-1"]), json!({ "pages": 1, "tasks": [fields] }));
}

impl Sdk {
    /// What the client prints after asking for these tasks.
    fn describe(self, cloud: &Simulator, keys: Keys<'_>, ids: &[&str]) -> Value {
        self.describe_with(cloud, keys, &[], ids)
    }

    /// What the client prints after asking for these tasks.
    fn describe_with(self, cloud: &Simulator, keys: Keys<'_>, variables: &[(&str, &str)], ids: &[&str]) -> Value {
        let ca_file = ca_file(cloud);
        let mut command = self.command();
        command.env_clear().env("ENDPOINT", cloud.url()).env("VOLCENGINE_REGION", Simulator::REGION);
        command.env("VOLCENGINE_ACCESS_KEY", keys.access).env("VOLCENGINE_SECRET_KEY", keys.secret);
        command.env("VOLCENGINE_SESSION_TOKEN", keys.token);
        command.envs(variables.iter().copied());
        if let Some(path) = &ca_file {
            command.env("CA_FILE", path).env("VOLCSTACK_CA_BUNDLE", path);
        }
        let output = command.args(ids).output().expect("the prepared client can be run");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the {self:?} client failed: {complaint}");
        serde_json::from_slice(&output.stdout).expect("the client prints one JSON document")
    }

    fn command(self) -> Command {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk");
        let made = target().join("sdk");
        let (program, script) = match self {
            Self::Python => (made.join("python/bin/python"), Some(sources.join("python/client.py"))),
            Self::Go => (made.join("go-client"), None),
        };
        assert!(program.exists(), "{} is missing: run `make sdk-clients`", program.display());
        let mut command = Command::new(program);
        command.args(script);
        command
    }
}

fn task([id, kind, status, image, created, updated]: [&str; 6], process: i64, ended: Value) -> Value {
    json!({
        "Id": id, "Type": kind, "Status": status, "Process": process, "ResourceId": image,
        "CreatedAt": created, "UpdatedAt": updated, "EndAt": ended,
    })
}

/// The CA's certificate in a file of this cloud's own, if it has one.
fn ca_file(cloud: &Simulator) -> Option<PathBuf> {
    let pem = cloud.ca_pem()?;
    let port = cloud.url().rsplit(':').next().map(str::to_owned)?;
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("simulator-ca-{port}.pem"));
    std::fs::write(&path, pem).expect("cargo's directory for test files can be written");
    Some(path)
}

/// Cargo's target directory, which holds the directory for test files.
fn target() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().expect("cargo puts it under the target directory").to_owned()
}
