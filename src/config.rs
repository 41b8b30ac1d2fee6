//! The command line and the environment: as typed, then as used. Every rule is checked once, here.

mod candidacy;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::credentials::{self, Credentials, CredentialsError};
use crate::ecs::{self, Endpoint, Region};
use crate::index::{Namespaces, Own, Settings};
use crate::lease::Candidacy;
use crate::reconcile::Rules;
use crate::role::{self, Role, RoleError};
use crate::telemetry::LogFormat;
use crate::watch::Scope;
use candidacy::ElectionArgs;
pub use candidacy::Surroundings;

/// Follows asynchronous image tasks of Volcengine ECS and writes their progress into the status of ImageTasks.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; run is the default.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of `run`.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the operator.
    Run(Box<RunArgs>),
    /// Prints the CustomResourceDefinition of ImageTask as YAML.
    Crd,
}

/// The flags of `run`, as typed; flags win over the environment.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Host of the cloud's API, such as https://open.volcengineapi.com; http:// only for a loopback host. Default: by region, as the SDKs resolve it.
    #[arg(long, env = "VOLCENGINE_ENDPOINT", value_parser = endpoint)]
    endpoint: Option<Endpoint>,

    /// Region for ImageTasks that name none.
    #[arg(long, env = "VOLCENGINE_REGION", value_parser = region)]
    region: Option<Region>,

    /// Namespace to watch; may be repeated. Default: all.
    #[arg(long, env = "IMAGETASK_NAMESPACE", value_delimiter = ',', value_parser = namespace)]
    namespace: Vec<String>,

    /// Label selector of the ImageTasks to watch. Default: all.
    #[arg(long, env = "IMAGETASK_SELECTOR", value_parser = selector)]
    selector: Option<String>,

    /// Time between two looks at one running task, at least 1s.
    #[arg(long, env = "IMAGETASK_POLL_INTERVAL", default_value = "10s", value_parser = poll_interval)]
    poll_interval: Duration,

    /// Most calls a second with one set of credentials in one region.
    #[arg(long, env = "IMAGETASK_ACCOUNT_QPS", default_value = "4", value_parser = rate)]
    account_qps: f64,

    /// Most calls a second of the whole operator.
    #[arg(long, env = "IMAGETASK_TOTAL_QPS", default_value = "100", value_parser = rate)]
    total_qps: f64,

    /// How long a task that was never seen may be missing before the ImageTask counts as stuck.
    #[arg(long, env = "IMAGETASK_NOT_FOUND_GRACE", default_value = "5m", value_parser = duration)]
    not_found_grace: Duration,

    /// How long any other trouble may last before the ImageTask counts as stuck.
    #[arg(long, env = "IMAGETASK_STUCK_AFTER", default_value = "5m", value_parser = duration)]
    stuck_after: Duration,

    /// At least this between two status writes that change only the progress, or the state of a task that changes back and
    /// forth.
    #[arg(long, env = "IMAGETASK_PROGRESS_INTERVAL", default_value = "30s", value_parser = duration)]
    progress_interval: Duration,

    /// Namespaces (or *) whose ImageTasks without credentialsRef use the operator's own credentials; may be repeated.
    #[arg(long, env = "IMAGETASK_DEFAULT_CREDENTIALS_NAMESPACES", value_delimiter = ',', value_parser = namespace_or_all)]
    default_credentials_namespaces: Vec<String>,

    /// Address of /livez, /readyz and /metrics; port 0 takes a free one.
    #[arg(long, env = "IMAGETASK_LISTEN", default_value = "0.0.0.0:8080", value_parser = listen)]
    listen: SocketAddr,

    /// Who works, where there are several replicas.
    #[command(flatten)]
    election: ElectionArgs,

    /// Form of the log. Default: text on a terminal, else json.
    #[arg(long, env = "IMAGETASK_LOG_FORMAT")]
    log_format: Option<LogFormat>,
}

/// Everything the operator is told, as used.
#[derive(Debug)]
pub struct Config {
    /// The administrator's own endpoint.
    pub endpoint: Option<Endpoint>,
    /// What is watched.
    pub scopes: Vec<Scope>,
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    pub listen: SocketAddr,
    /// The role that gives the operator its own credentials, if no keys do.
    pub role: Option<Role>,
    /// What decisions rest on.
    pub settings: Settings,
}

/// The environment and the flags together make no sense.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Credentials are lent that there are not.
    #[error(
        "--default-credentials-namespaces lends the operator's own credentials, but there are none: set {key} and {secret}, or {trn} and {file}, or lend nothing",
        key = credentials::ACCESS_KEY,
        secret = credentials::SECRET_KEY,
        trn = role::ROLE_TRN,
        file = role::TOKEN_FILE
    )]
    NothingToLend,
    /// Own credentials are malformed.
    #[error("the environment variable {0}")]
    Credentials(#[source] CredentialsError),
    /// A proxy that is none. It is not repeated, it may hold a password.
    #[error(
        "the environment variable {0} is not usable: give the URL of a proxy such as http://proxy.example.com:3128"
    )]
    Proxy(&'static str),
    /// The own role is malformed.
    #[error("the environment variable {0}")]
    Role(#[source] RoleError),
    /// Replicas would not find each other.
    #[error("--lease-namespace is needed: neither a pod nor the kubeconfig's context names a namespace for the Lease")]
    NoLeaseNamespace,
}

impl RunArgs {
    /// The form of the log, needed before anything can be said.
    pub fn log_format(&self) -> LogFormat {
        self.log_format.unwrap_or_else(LogFormat::detect)
    }

    /// The election that this replica stands for; `None`: there is no other one.
    pub fn candidacy(&self, surroundings: &Surroundings) -> Result<Option<Candidacy>, ConfigError> {
        self.election.candidacy(&self.scopes(), surroundings)
    }

    fn scopes(&self) -> Vec<Scope> {
        let scope = |namespace| Scope { namespace, selector: self.selector.clone() };
        // A namespace that is named twice is watched once.
        let namespaces: BTreeSet<String> = self.namespace.iter().cloned().collect();
        match namespaces.is_empty() {
            true => vec![scope(None)],
            false => namespaces.into_iter().map(|namespace| scope(Some(namespace))).collect(),
        }
    }

    /// Checks what only shows together, and reads own credentials through `variable`.
    pub fn into_config(self, variable: impl Fn(&str) -> Option<Vec<u8>>) -> Result<Config, ConfigError> {
        let scopes = self.scopes();
        let lent_to = namespaces(self.default_credentials_namespaces);
        check_proxies(&variable)?;
        let lends = lent_to != Namespaces::Named([].into());
        let (own, role) = own_credentials(&variable)?;
        if own.is_none() && lends {
            return Err(ConfigError::NothingToLend);
        }
        Ok(Config {
            endpoint: self.endpoint,
            scopes,
            listen: self.listen,
            role,
            settings: Settings {
                rules: Rules { not_found_grace: self.not_found_grace, stuck_after: self.stuck_after },
                poll_interval: self.poll_interval,
                account_qps: self.account_qps,
                total_qps: self.total_qps,
                progress_interval: self.progress_interval,
                default_region: self.region,
                own_credentials: own,
                lent_to,
                lease_duration: self.election.lease_duration(),
            },
        })
    }
}

fn check_proxies(variable: impl Fn(&str) -> Option<Vec<u8>>) -> Result<(), ConfigError> {
    let is_bad = |value: Vec<u8>| !value.is_empty() && !String::from_utf8(value).is_ok_and(|url| ecs::is_proxy(&url));
    match ecs::PROXY_VARIABLES.into_iter().find(|name| variable(name).is_some_and(is_bad)) {
        Some(name) => Err(ConfigError::Proxy(name)),
        None => Ok(()),
    }
}

/// Keys win over a role, as they do in the SDKs' default chain.
fn own_credentials(variable: impl Fn(&str) -> Option<Vec<u8>>) -> Result<(Option<Own>, Option<Role>), ConfigError> {
    if [credentials::ACCESS_KEY, credentials::SECRET_KEY].into_iter().any(|key| variable(key).is_some()) {
        let keys = Credentials::from_pairs(&variable).map_err(ConfigError::Credentials)?;
        return Ok((Some(Own::Keys(Arc::new(keys))), None));
    }
    let role = Role::from_variables(&variable).map_err(ConfigError::Role)?;
    Ok((role.is_some().then_some(Own::Role), role))
}

fn namespaces(names: Vec<String>) -> Namespaces {
    if names.iter().any(|name| name == "*") { Namespaces::All } else { Namespaces::Named(names.into_iter().collect()) }
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    Endpoint::parse(text).map_err(|error| error.to_string())
}

fn region(text: &str) -> Result<Region, String> {
    Region::parse(text).map_err(|error| error.to_string())
}

fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "give a duration such as 10s, 2m or 1h".to_owned();
    let parsed: kube::core::Duration = text.parse().map_err(|_| expected())?;
    // More than a year is a slip of the keyboard, and keeps all sums of durations far from overflow.
    let year = Duration::from_secs(365 * 24 * 3600);
    let parsed = Duration::from(parsed);
    if text.is_empty() || parsed > year || text.starts_with('-') { Err(expected()) } else { Ok(parsed) }
}

fn poll_interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    let least = Duration::from_secs(1);
    if interval < least { Err("give 1s or more".to_owned()) } else { Ok(interval) }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "give a number of calls a second".to_owned())?;
    let accepted = 0.01..=100_000.0;
    if accepted.contains(&rate) { Ok(rate) } else { Err("give a number from 0.01 to 100000".to_owned()) }
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "give an IP address and a port, such as 0.0.0.0:8080".to_owned())
}

fn namespace(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = text.len() <= 63 && text.starts_with(edge) && text.ends_with(edge) && text.chars().all(allowed);
    if good {
        Ok(text.to_owned())
    } else {
        Err("give the name of a namespace: lower-case letters, digits and -".to_owned())
    }
}

/// Checks the form of a label selector; the API server would refuse a bad one over and over.
fn selector(text: &str) -> Result<String, String> {
    let word = |text: &str| {
        let edge = |c: char| c.is_ascii_alphanumeric();
        let inner = |c: char| edge(c) || matches!(c, '-' | '_' | '.' | '/');
        text.starts_with(edge) && text.ends_with(edge) && text.chars().all(inner)
    };
    let value = |text: &str| text.is_empty() || (word(text) && !text.contains('/'));
    let set = |text: &str| {
        let values = text.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        values.is_some_and(|values| values.split(',').all(|it| value(it.trim())))
    };
    let requirement = |text: &str| {
        let text = text.trim();
        let pairs = [" notin ", " in ", "!=", "==", "="].into_iter().filter_map(|by| Some((by, text.split_once(by)?)));
        match pairs.into_iter().next() {
            Some((" notin " | " in ", (key, values))) => word(key.trim()) && set(values),
            Some((_, (key, right))) => word(key.trim()) && value(right.trim()),
            None => word(text.strip_prefix('!').unwrap_or(text)),
        }
    };
    let mut depth = 0;
    let outside = |c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    };
    match text.split(outside).all(requirement) {
        true => Ok(text.to_owned()),
        false => Err("give a label selector such as team=a or shard in (1,2)".to_owned()),
    }
}

fn namespace_or_all(text: &str) -> Result<String, String> {
    if text == "*" { Ok(text.to_owned()) } else { namespace(text) }
}
