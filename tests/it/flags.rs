//! Bad flags and variables: one line that names the flag or variable, what was given and what is accepted; exit code 2.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use clap::CommandFactory;
use imagetask_operator::config::Cli;

use crate::PROGRAM;

/// A flag, values that it does not take, and words that say what it takes.
type Row = (&'static str, &'static [&'static str], &'static str);

/// Every flag of the program; the test below sees to it.
const FLAGS: &[Row] = &[
    ("endpoint", &["", "http://example.com", "https://host/path", "ftp://host"], "an endpoint is https://host[:port]"),
    ("region", &["", "CN", "a/b", "a.evil.example"], "a region is 1 to 32 lower-case letters"),
    ("namespace", &["", "A_B", "-a", "a,,b", "a/b"], "give the name of a namespace"),
    ("selector", &["", "a b", "a in (1,2", "=x"], "give a label selector such as"),
    ("poll-interval", &["", "soon", "0s", "0.5s", "-10s", "10", "9999999h"], "give "),
    ("account-qps", &["", "fast", "0", "-1", "NaN", "inf", "1e99"], "give a number"),
    ("total-qps", &["", "fast", "0", "-1", "NaN", "inf", "1e99"], "give a number"),
    ("not-found-grace", &["", "soon", "-1s", "9999999h"], "give a duration such as"),
    ("stuck-after", &["", "soon", "-1s", "9999999h"], "give a duration such as"),
    ("progress-interval", &["", "soon", "-1s", "9999999h"], "give a duration such as"),
    ("default-credentials-namespaces", &["", "A_B", "**", "a,*b"], "give the name of a namespace"),
    ("listen", &["", "nowhere", "localhost:80", ":8080", "0.0.0.0:99999"], "give an IP address and a port"),
    ("leader-elect", &["", "maybe", "1"], "give true or false"),
    ("lease-name", &["", "A_B", "a/b"], "give "),
    ("lease-namespace", &["", "A_B", "-a"], "give the name of a namespace"),
    ("lease-duration", &["", "soon", "1s", "0s", "2.5s", "-15s"], "give "),
    ("log-format", &["", "xml", "JSON"], "give text or json"),
];

/// A variable and its value.
type Variable = (&'static str, &'static [u8]);

/// A value that must not be repeated.
const SECRET: &str = "hunter2";

/// Runs the program until it complains; its one line.
#[track_caller]
fn complaint(arguments: &[&str], variables: &[(&str, &[u8])]) -> String {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_clear().envs(variables.iter().map(|(name, value)| (name, OsStr::from_bytes(value))));
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    let lines = told.lines().count();
    assert_eq!((output.status.code(), lines), (Some(2), 1), "{arguments:?} {variables:?}: {told}");
    assert!(told.starts_with("error: ") && told.len() < 500, "{told}");
    assert!(!told.contains(SECRET), "{told}");
    assert_eq!(output.stdout, b"");
    told
}

#[track_caller]
fn assert_told(told: &str, words: &[&str]) {
    assert!(words.iter().all(|words| told.contains(words)), "{words:?} are not in {told}");
}

#[test]
fn every_flag_is_refused_a_bad_value_from_the_command_line_and_from_its_variable() {
    let command = Cli::command();
    for argument in command.get_arguments() {
        let flag = argument.get_long().expect("every argument is a flag");
        let row = FLAGS.iter().find(|(name, ..)| *name == flag);
        let (_, values, accepted) = row.unwrap_or_else(|| panic!("--{flag} has no row in FLAGS"));
        let variable = argument.get_env().expect("every flag has a variable").to_str().unwrap();
        for value in *values {
            for told in [
                complaint(&[&format!("--{flag}={value}")], &[]),
                complaint(&["run", &format!("--{flag}={value}")], &[]),
                complaint(&[], &[(variable, value.as_bytes())]),
            ] {
                assert_told(&told, &[&format!("--{flag}"), variable, "does not take", accepted]);
            }
        }
        assert_told(&complaint(&[], &[(variable, b"\xff")]), &[variable]);
    }
    assert_eq!(FLAGS.len(), command.get_arguments().count(), "a row is of no flag");
}

#[test]
fn own_credentials_that_cannot_be_used_are_told_by_variable_and_never_by_value() {
    const KEY: Variable = ("VOLCENGINE_ACCESS_KEY", b"AKEXAMPLE");
    const FILE: Variable = ("VOLCENGINE_OIDC_TOKEN_FILE", b"/token");
    const TRN: Variable = ("VOLCENGINE_OIDC_ROLE_TRN", b"trn:iam::1:role/r");
    let cases: &[(&[Variable], &str, &str)] = &[
        (&[KEY], "VOLCENGINE_SECRET_KEY", "is missing"),
        (&[("VOLCENGINE_SECRET_KEY", b"hunter2")], "VOLCENGINE_ACCESS_KEY", "is missing"),
        (&[KEY, ("VOLCENGINE_SECRET_KEY", b"")], "VOLCENGINE_SECRET_KEY", "is empty"),
        (&[KEY, ("VOLCENGINE_SECRET_KEY", b"hunter2\n")], "VOLCENGINE_SECRET_KEY", "line break"),
        (&[KEY, ("VOLCENGINE_SECRET_KEY", b"hunter2\xff")], "VOLCENGINE_SECRET_KEY", "no key has"),
        (
            &[KEY, ("VOLCENGINE_SECRET_KEY", b"x"), ("VOLCENGINE_SESSION_TOKEN", b"hunter2 ")],
            "VOLCENGINE_SESSION_TOKEN",
            "white space",
        ),
        (&[TRN], "VOLCENGINE_OIDC_TOKEN_FILE", "is missing: set it beside VOLCENGINE_OIDC_ROLE_TRN"),
        (&[FILE], "VOLCENGINE_OIDC_ROLE_TRN", "is missing: set it beside VOLCENGINE_OIDC_TOKEN_FILE"),
        (&[FILE, ("VOLCENGINE_OIDC_ROLE_TRN", b"role/r")], "VOLCENGINE_OIDC_ROLE_TRN", "give a role such as trn:iam::"),
        (&[TRN, ("VOLCENGINE_OIDC_TOKEN_FILE", b"\xff")], "VOLCENGINE_OIDC_TOKEN_FILE", "give the path of a file"),
        (
            &[TRN, FILE, ("VOLCENGINE_OIDC_ROLE_SESSION_NAME", b"a b")],
            "VOLCENGINE_OIDC_ROLE_SESSION_NAME",
            "give 1 to 64 visible ASCII characters",
        ),
        (
            &[TRN, FILE, ("VOLCENGINE_OIDC_ROLE_POLICY", b"\xff")],
            "VOLCENGINE_OIDC_ROLE_POLICY",
            "give a policy in JSON",
        ),
        (
            &[TRN, FILE, ("VOLCENGINE_OIDC_STS_ENDPOINT", b"http://u:hunter2@example.com")],
            "VOLCENGINE_OIDC_STS_ENDPOINT",
            "an endpoint is https://host[:port]",
        ),
    ];
    for (variables, name, fault) in cases {
        assert_told(&complaint(&[], variables), &[name, fault]);
    }
    let told = complaint(&["--default-credentials-namespaces=*"], &[]);
    assert_told(&told, &["--default-credentials-namespaces", "VOLCENGINE_ACCESS_KEY", "VOLCENGINE_OIDC_ROLE_TRN"]);
}

#[test]
fn a_password_in_an_endpoint_is_not_repeated() {
    let endpoint = format!("https://user:{SECRET}@host");
    assert_told(&complaint(&["--endpoint", &endpoint], &[]), &["--endpoint", "an endpoint is"]);
    assert_told(&complaint(&[], &[("VOLCENGINE_ENDPOINT", endpoint.as_bytes())]), &["VOLCENGINE_ENDPOINT"]);
}

#[test]
fn what_is_no_flag_and_no_command_is_told() {
    for (arguments, words) in [
        (&["--what"][..], "'--what'"),
        (&["--secret-key=hunter2"], "'--secret-key'"),
        (&["walk"], "'walk'"),
        (&["run", "walk"], "'walk'"),
        (&["crd", "--region=x"], "'--region'"),
        (&["--region"], "--region (or VOLCENGINE_REGION) needs a value"),
        (&["--region=a", "--region=b"], "'--region <REGION>'"),
        (&["--region=a", "run"], "'run'"),
    ] {
        assert_told(&complaint(arguments, &[]), &[words, "see --help"]);
    }
}

#[test]
fn a_proxy_that_is_none_is_told_and_not_repeated() {
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        for bad in [&b"http://user:hunter2@:x"[..], b"http://", b"\xff", b"a b"] {
            assert_told(&complaint(&[], &[(variable, bad)]), &[variable, "give the URL of a proxy such as"]);
        }
    }
}

#[test]
fn log_levels_that_are_none_are_told() {
    for bad in [&b"info,a=b=c"[..], b"imagetask_operator=loud", b"\xff", b"[[["] {
        assert_told(&complaint(&[], &[("RUST_LOG", bad)]), &["RUST_LOG", "give levels such as info"]);
    }
}

#[test]
fn a_cluster_that_cannot_be_found_is_told_and_nothing_of_a_kubeconfig_is_shown() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("broken-kubeconfig");
    std::fs::write(&file, format!("users:\n- name: admin\n  user: {{token: {SECRET}\n")).unwrap();
    let broken = file.to_str().unwrap().as_bytes();
    assert_told(&complaint(&[], &[("KUBECONFIG", broken)]), &["KUBECONFIG", "no kubeconfig", "kubectl works"]);
    assert_told(&complaint(&[], &[("KUBECONFIG", b"/nowhere")]), &["KUBECONFIG", "/nowhere", "kubectl works"]);
    assert_told(&complaint(&[], &[("HOME", b"/nowhere")]), &["set KUBECONFIG", "inside of a cluster"]);
}

#[test]
fn an_address_that_is_taken_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("some-kubeconfig");
    let kubeconfig = serde_json::json!({
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": SECRET}}],
    });
    std::fs::write(&file, kubeconfig.to_string()).unwrap();
    let told = complaint(&["--listen", &address], &[("KUBECONFIG", file.to_str().unwrap().as_bytes())]);
    assert_told(&told, &["--listen", &address, "give an address that is free"]);
}
