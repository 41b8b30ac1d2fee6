//! No secret shows anywhere: an operator that says all it can goes through good and bad days, and everything that it
//! printed, serves, and wrote is searched for every secret of that time.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use imagetask_operator::api::{ImageTaskSpec, Phase};
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};
use kube::config::Kubeconfig;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret as _;
use serde_json::json;
use simulator::{Account, Fault, Role, Simulator, Task};

use crate::PROGRAM;
use crate::world::{ControlPlane, Process, World, get, task};

const TRN: &str = "trn:iam::2100000001:role/imagetask-operator";

/// Everything, and the crates by name that are silent unless they are named.
const EVERYTHING: &str = "trace,kube_client=trace,kube_runtime=trace,hyper=trace,hyper_util=trace,h2=trace,\
    reqwest=trace,rustls=trace,tower=trace,tower_http=trace";

const TENANT: &str = "tenant+secret/key==";
const TEMPORARY: &str = "temporary+secret/key==";
const SESSION: &str = "session+token/of.tenant==";
const WRONG: &str = "wrong+secret/key==";
const PADDED: &str = "padded+secret/key==";
const BARE: &str = "bare+secret/without.key==";
const FIRST_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJmaXJzdCJ9.first_signature-1";
const SECOND_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzZWNvbmQifQ.second_signature-2";

/// The forms in which a secret could show: as it is, in JSON, in a URL, as bytes, and in Base64 wherever it begins.
fn forms(secret: &str) -> Vec<String> {
    let bytes: Vec<_> = secret.bytes().map(|byte| byte.to_string()).collect();
    let mut forms = vec![
        secret.to_owned(),
        secret.escape_default().to_string(),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        secret.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"),
        bytes.join(", "),
        secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
    ];
    for offset in 0..3 {
        let encoded = STANDARD_NO_PAD.encode([&vec![b'x'; offset], secret.as_bytes()].concat());
        // The characters at the ends also depend on what stands beside the secret.
        let inner = &encoded[[0, 2, 3][offset]..encoded.len() - 2];
        forms.extend([inner.to_owned(), inner.replace('+', "-").replace('/', "_")]);
    }
    forms
}

/// Where a secret shows, if it does; the places, never the secret.
fn leaks(places: &[(String, String)], secrets: &[(&str, &str)]) -> Vec<String> {
    let mut found = Vec::new();
    for (place, text) in places {
        for (name, secret) in secrets {
            let shows = forms(secret).iter().any(|form| text.contains(form));
            found.extend(shows.then(|| format!("{name} in {place}")));
        }
    }
    found
}

fn with_secret(id: &str) -> ImageTaskSpec {
    serde_json::from_value(json!({
        "taskId": id, "region": Simulator::REGION, "credentialsRef": {"name": id},
    }))
    .unwrap()
}

/// Everything that anybody can see of an operator and its world.
async fn places(world: &World, operator: &Process) -> Vec<(String, String)> {
    let mut places: Vec<_> = operator.log().into_iter().map(|line| ("the log".to_owned(), line)).collect();
    for path in ["/metrics", "/livez", "/readyz"] {
        places.push((path.to_owned(), get(&operator.address, path).await.1));
    }
    for object in world.tasks().list(&ListParams::default()).await.unwrap() {
        places.push(("an ImageTask".to_owned(), serde_json::to_string(&object).unwrap()));
    }
    let events: Api<Event> = Api::namespaced(world.client.clone(), &world.namespace);
    for event in events.list(&ListParams::default()).await.unwrap() {
        places.push(("an Event".to_owned(), serde_json::to_string(&event).unwrap()));
    }
    places
}

async fn bearer_token() -> String {
    let kubeconfig = Kubeconfig::read_from(&ControlPlane::shared().await.kubeconfig).unwrap();
    let token = kubeconfig.auth_infos[0].auth_info.as_ref().and_then(|user| user.token.as_ref());
    token.expect("the administrator has a token").expose_secret().to_owned()
}

/// Good and bad days of tenants with Secrets.
async fn tenants(world: &World) {
    let cloud = &world.cloud;
    cloud.add(Account::new("AKTENANT", TENANT));
    cloud.add(Account::new("AKTEMPORARY", TEMPORARY).session_token(SESSION));
    cloud.add(Account::new("AKWRONG", "right"));
    cloud.put(Task::export("good", "image-1").account("AKTENANT").running(10));
    cloud.put(Task::export("temporary", "image-2").account("AKTEMPORARY").running(10));
    let pair = |key: &str, secret: &str| json!({"VOLCENGINE_ACCESS_KEY": key, "VOLCENGINE_SECRET_KEY": secret});
    let mut temporary = pair("AKTEMPORARY", TEMPORARY);
    temporary["VOLCENGINE_SESSION_TOKEN"] = json!(SESSION);
    for (name, data, reason) in [
        ("good", pair("AKTENANT", TENANT), "TaskRunning"),
        ("temporary", temporary, "TaskRunning"),
        ("wrong", pair("AKWRONG", WRONG), "CredentialsInvalid"),
        ("padded", pair("AKPADDED", &format!("{PADDED}\n")), "CredentialsInvalid"),
        ("bare", json!({"VOLCENGINE_SECRET_KEY": BARE}), "CredentialsInvalid"),
    ] {
        world.secret(name, data).await;
        world.create(name, with_secret(name)).await;
        world.until_reason(name, reason).await;
    }
    // A proxy on the way that sends back what it was sent.
    cloud.order(Fault::text(502, &format!("{TENANT} {SESSION}")).only_key("AKTENANT").times(2));
    cloud.order(Fault::code("FlowLimitExceeded").only_key("AKTENANT").times(2));
    cloud.order(Fault::code("AccessDenied").only_key("AKTEMPORARY"));
    world.until_reason("temporary", "AccessDenied").await;
    cloud.clear_faults();
    cloud.change("good", &json!({"Status": "Succeeded", "Process": 100}));
    world.until_phase("good", Phase::Succeeded).await;
}

/// Good and bad days of the operator's own role.
async fn role(world: &World, token_file: &Path) {
    let trust = |token: &str| world.cloud.trust(Role::new(TRN, token, "demo").max_session_seconds(4));
    world.cloud.put(Task::export("own", "image-9").account("demo").running(10));
    world.create("own", task("own")).await;
    // The role is not trusted yet.
    world.until_reason("own", "CredentialsInvalid").await;
    trust(FIRST_TOKEN);
    world.until_reason("own", "TaskRunning").await;
    std::fs::write(token_file, SECOND_TOKEN).unwrap();
    trust(SECOND_TOKEN);
    world.cloud.order(Fault::text(500, SECOND_TOKEN).only_action("AssumeRoleWithOIDC").times(1));
    world.cloud.change("own", &json!({"Status": "Failed"}));
    world.until_phase("own", Phase::Failed).await;
    std::fs::write(token_file, format!("{SECOND_TOKEN} {SECOND_TOKEN}")).unwrap();
    world.cloud.put(Task::export("again", "image-8").account("demo").running(10));
    world.create("again", task("again")).await;
    world.until_reason("again", "CredentialsInvalid").await;
}

#[tokio::test]
async fn whatever_happens_no_secret_is_printed_served_or_written() {
    let world = World::with(Simulator::start().await).await;
    let token_file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("secrets-token");
    std::fs::write(&token_file, FIRST_TOKEN).unwrap();
    let sts = world.cloud.url();
    let variables = [
        ("RUST_LOG", EVERYTHING),
        ("VOLCENGINE_OIDC_ROLE_TRN", TRN),
        ("VOLCENGINE_OIDC_TOKEN_FILE", token_file.to_str().unwrap()),
        ("VOLCENGINE_OIDC_STS_ENDPOINT", &sts),
    ];
    let flags = ["--poll-interval=1s", "--stuck-after=1s"];
    let operator = world.process_without_keys(PROGRAM, &flags, &variables).await;
    tenants(&world).await;
    role(&world, &token_file).await;
    let bearer = bearer_token().await;
    let places = places(&world, &operator).await;
    let kinds = ["the log", "/metrics", "an ImageTask", "an Event"];
    assert!(kinds.iter().all(|kind| places.iter().any(|(place, _)| place == kind)), "everything is searched");
    assert!(places.iter().any(|(_, text)| text.contains("\"level\":\"DEBUG\"")), "the log says more than usual");
    let secrets = [
        ("a Secret's key", TENANT),
        ("a Secret's temporary key", TEMPORARY),
        ("a Secret's session token", SESSION),
        ("a wrong key", WRONG),
        ("a padded key", PADDED),
        ("a key alone", BARE),
        ("an OIDC token", FIRST_TOKEN),
        ("a newer OIDC token", SECOND_TOKEN),
        ("the key of a session", "session-secret-"),
        ("the token of a session", "session-token-"),
        ("the API server's bearer token", &bearer),
        ("a signature", "Signature="),
        ("a bearer token", "Bearer "),
    ];
    assert_eq!(leaks(&places, &secrets), Vec::<String>::new());
}

#[tokio::test]
async fn own_keys_show_no_more() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(10));
    let variables = [("RUST_LOG", EVERYTHING)];
    let operator = world.process(PROGRAM, &["--poll-interval=1s"], &variables).await;
    world.follow("t-1").await;
    world.until_phase("t-1", Phase::Running).await;
    world.cloud.add_account(Simulator::ACCESS_KEY, "changed");
    world.until_reason("t-1", "CredentialsInvalid").await;
    let bearer = bearer_token().await;
    let secrets = [("the own key", Simulator::SECRET_KEY), ("the bearer token", &bearer)];
    assert_eq!(leaks(&places(&world, &operator).await, &secrets), Vec::<String>::new());
}

/// An API server that is out of its mind: whoever reads a Secret gets its key where no key belongs.
async fn mad_api_server() -> String {
    let object = json!({
        "apiVersion": "ecs.volcengine.com/v1alpha1", "kind": "ImageTask",
        "metadata": {
            "name": "t-1", "namespace": "team", "uid": "u", "resourceVersion": "1", "generation": 1,
            "creationTimestamp": "2026-11-25T00:00:00Z",
        },
        "spec": {"taskId": "t-1", "region": "cn-beijing", "credentialsRef": {"name": "keys"}},
    });
    let list = json!({"kind": "ImageTaskList", "metadata": {"resourceVersion": "1"}, "items": [object]}).to_string();
    let secret = json!({"kind": "Secret", "metadata": {"name": "keys"}, "data": TENANT}).to_string();
    let answer = move |uri: http::Uri| async move {
        let watches = uri.query().unwrap_or_default().contains("watch=");
        match uri.path().rsplit('/').next() {
            Some("imagetasks") if watches => std::future::pending().await,
            Some("imagetasks") => (http::StatusCode::OK, list),
            Some("keys") => (http::StatusCode::OK, secret),
            _ => (http::StatusCode::NOT_FOUND, TENANT.to_owned()),
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, axum::Router::new().fallback(answer)).await.unwrap() });
    url
}

#[tokio::test]
async fn an_answer_about_a_secret_that_cannot_be_read_is_not_shown() {
    let world = World::new().await;
    let kubeconfig = json!({
        "current-context": "mad",
        "contexts": [{"name": "mad", "context": {"cluster": "mad", "user": "mad"}}],
        "clusters": [{"name": "mad", "cluster": {"server": mad_api_server().await}}],
        "users": [{"name": "mad", "user": {"token": WRONG}}],
    });
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mad-kubeconfig");
    std::fs::write(&file, kubeconfig.to_string()).unwrap();
    let variables = [("RUST_LOG", EVERYTHING), ("KUBECONFIG", file.to_str().unwrap())];
    let operator = world.process(PROGRAM, &["--poll-interval=1s"], &variables).await;
    operator.log_until("secret not read").await;
    let places: Vec<_> = operator.log().into_iter().map(|line| ("the log".to_owned(), line)).collect();
    assert_eq!(leaks(&places, &[("a key", TENANT), ("the bearer token", WRONG)]), Vec::<String>::new());
}

#[test]
fn a_secret_is_found_in_whatever_form_it_shows() {
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    for text in [
        TENANT.to_owned(),
        format!("&token={}", TENANT.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")),
        format!("{:?}", TENANT.as_bytes()),
        base64(TENANT),
        base64(&format!("user:{TENANT}\n")),
        base64(&format!("x:{TENANT}")),
        base64(&format!("xy:{TENANT}, and more")),
    ] {
        let place = ("here".to_owned(), text.clone());
        assert_eq!(leaks(&[place], &[("it", TENANT)]), ["it in here"], "{text}");
    }
}
