//! What the chart gives the operator: its account, with exactly the rules that helm renders, and its flags.

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, Config};
use serde_json::Value;
use tokio::process::Command;
use tokio::sync::OnceCell;

use super::{ControlPlane, PATIENCE, repository};

/// Stands for a world's namespace in what helm renders once for all of them.
const ANY_NAMESPACE: &str = "namespace-of-a-world";

/// What the chart of the repository asks for: no release has told it where the image is.
pub(crate) const IMAGE: &str = "image.repository=registry.example.com/imagetask-operator";

/// The chart in the repository.
pub(crate) fn path() -> PathBuf {
    repository().join("charts/imagetask-operator")
}

/// Objects that `helm template` renders from the chart with values in JSON, without those of `helm test`.
pub(crate) async fn rendered(release: &str, namespace: &str, values: &[&str]) -> Vec<Value> {
    objects(&render(release, namespace, values).await)
}

async fn render(release: &str, namespace: &str, values: &[&str]) -> String {
    let chart = path();
    let mut arguments = vec!["template", release, chart.to_str().unwrap(), "--namespace", namespace, "--no-hooks"];
    arguments.extend(["--set", IMAGE]);
    arguments.extend(values.iter().flat_map(|value| ["--set-json", value]));
    helm(Path::new("/dev/null"), &arguments).await.unwrap()
}

/// What helm prints, or why it fails, with no settings of whoever runs the test.
pub(crate) async fn helm(kubeconfig: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(built("helm"));
    command.args(arguments).env_clear().env("KUBECONFIG", kubeconfig).kill_on_drop(true);
    command.env("HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("waiting"));
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("helm ends in time").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text([output.stdout, output.stderr].concat())) }
}

/// The objects of a stream of YAML documents; one that is empty or all comment is none.
pub(crate) fn objects(text: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// A program that tests/waiting/build or tests/chart/build builds.
pub(crate) fn built(name: &str) -> PathBuf {
    let program = repository().join("target/controlplane/bin").join(name);
    assert!(program.exists(), "{} is missing: run `make waiting chart-tools`", program.display());
    program
}

/// What the chart renders for the operator of one namespace that may also read its Secrets.
pub(crate) async fn for_namespace(namespace: &str) -> Vec<Value> {
    static TEXT: OnceCell<String> = OnceCell::const_new();
    let text = TEXT.get_or_init(|| render_for(ANY_NAMESPACE, &[ANY_NAMESPACE])).await;
    objects(&text.replace(ANY_NAMESPACE, namespace))
}

/// What it renders for an operator in one namespace that does the same for several.
pub(crate) async fn for_namespaces(own: &str, namespaces: &[&str]) -> Vec<Value> {
    objects(&render_for(own, namespaces).await)
}

async fn render_for(own: &str, namespaces: &[&str]) -> String {
    let set = |value| format!("{value}={}", Value::from(namespaces));
    let lists = ["watch.namespaces", "rbac.secrets", "credentials.lentTo"].map(set);
    let [watched, secrets, lent] = lists.each_ref().map(String::as_str);
    render("imagetask-operator", own, &["crds.install=false", "rbac.aggregate=false", watched, secrets, lent]).await
}

/// The flags of the operator in a rendered Deployment.
pub(crate) fn flags(objects: &[Value]) -> Vec<String> {
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").expect("the chart has a Deployment");
    let flags = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    let (run, flags) = flags.as_array().and_then(|flags| flags.split_first()).expect("it has flags");
    assert_eq!(run, "run");
    flags.iter().map(|flag| flag.as_str().expect("a flag is a string").to_owned()).collect()
}

/// An account of the API server and how to act as it.
pub(crate) struct Account {
    pub(crate) config: Config,
    pub(crate) kubeconfig: PathBuf,
}

impl Account {
    /// Creates the rendered ServiceAccount with its roles and bindings, and waits until the API server heeds them.
    pub(crate) async fn create(plane: &ControlPlane, objects: &[Value]) -> Self {
        let client = plane.client().await;
        let of_kind = |kinds: &'static [&str]| {
            objects.iter().filter(move |object| kinds.iter().any(|kind| object["kind"] == *kind))
        };
        let account = of_kind(&["ServiceAccount"]).next().expect("the chart has a ServiceAccount");
        for object in of_kind(&["ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"]) {
            create(&client, object).await;
        }
        let word = |field: &str| account["metadata"][field].as_str().expect("it has a name and a namespace");
        let (namespace, name) = (word("namespace"), word("name"));
        for role in of_kind(&["Role", "ClusterRole"]) {
            let rules: Vec<PolicyRule> = serde_json::from_value(role["rules"].clone()).unwrap();
            until_allowed(&client, (namespace, name), role["metadata"]["namespace"].as_str(), &rules).await;
        }
        Self::of(plane, namespace, name).await
    }

    /// Acts as a ServiceAccount that is there.
    pub(crate) async fn of(plane: &ControlPlane, namespace: &str, name: &str) -> Self {
        let accounts: Api<ServiceAccount> = Api::namespaced(plane.client().await, namespace);
        let wanted = TokenRequest { spec: TokenRequestSpec::default(), ..TokenRequest::default() };
        let token = accounts.create_token_request(name, &PostParams::default(), &wanted).await.unwrap();
        let token = token.status.expect("the answer holds the token").token;
        let kubeconfig = plane.kubeconfig_with(&format!("{namespace}-{name}"), |config| {
            config["users"][0]["user"]["token"] = token.into();
            config["contexts"][0]["context"]["namespace"] = namespace.into();
        });
        let config = Kubeconfig::read_from(&kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
        Self { config, kubeconfig }
    }
}

/// Creates an object of whatever kind.
pub(crate) async fn create(client: &Client, object: &Value) {
    let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
    let types = object.types.as_ref().expect("it has a kind");
    let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(types).unwrap());
    let api: Api<DynamicObject> = match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    api.create(&PostParams::default(), &object).await.unwrap();
}

/// Waits until a ServiceAccount may do what rules say; the API server hears of its own rules a moment after they are
/// stored.
pub(crate) async fn until_allowed(
    client: &Client,
    (of, name): (&str, &str),
    namespace: Option<&str>,
    rules: &[PolicyRule],
) {
    let user = format!("system:serviceaccount:{of}:{name}");
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    let allowed = async {
        for (rule, verb) in rules.iter().flat_map(|rule| rule.verbs.iter().map(move |verb| (rule, verb))) {
            while !is_allowed(client, &user, namespace, rule, verb).await {
                looks.tick().await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, allowed).await.expect("the API server heeds its rules in time");
}

async fn is_allowed(client: &Client, user: &str, namespace: Option<&str>, rule: &PolicyRule, verb: &str) -> bool {
    let first = |words: &Option<Vec<String>>| words.as_ref().and_then(|words| words.first().cloned());
    let resource = first(&rule.resources).expect("the rules of the chart name resources");
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource.to_owned(), Some(subresource.to_owned())),
        None => (resource, None),
    };
    let attributes = ResourceAttributes {
        group: first(&rule.api_groups),
        namespace: namespace.map(str::to_owned),
        resource: Some(resource),
        subresource,
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        resource_attributes: Some(attributes),
        user: Some(user.to_owned()),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    api.create(&PostParams::default(), &review).await.unwrap().status.is_some_and(|status| status.allowed)
}
