//! Where the Kubernetes API server is, by the usual rules: `KUBECONFIG`, `~/.kube/config`, inside of a cluster.

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};

/// The variable that names kubeconfigs.
pub const KUBECONFIG: &str = "KUBECONFIG";

/// No cluster can be found. Holds nothing of a kubeconfig but names: there are keys in it.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The kubeconfig that was named is of no use.
    #[error("{KUBECONFIG}: {0}: name a kubeconfig with which kubectl works")]
    Kubeconfig(String),
    /// None was named, and there is no other.
    #[error("no cluster is configured: set {KUBECONFIG} to a kubeconfig, or run inside of a cluster ({0})")]
    None(String),
}

/// Finds the cluster; `named` says whether `KUBECONFIG` does.
///
/// The proxy of the environment is for the cloud: the API server is reached directly, or by the kubeconfig's
/// `proxy-url`.
pub async fn find(named: bool) -> Result<Config, ClusterError> {
    let fault = match by_kubeconfig().await {
        Ok(config) => return Ok(config),
        Err(fault) => what(&fault),
    };
    if named {
        Err(ClusterError::Kubeconfig(fault))
    } else {
        Config::incluster().map_err(|_| ClusterError::None(fault))
    }
}

async fn by_kubeconfig() -> Result<Config, KubeconfigError> {
    let kubeconfig = Kubeconfig::read()?;
    let proxied = names_proxy(&kubeconfig);
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.proxy_url = config.proxy_url.filter(|_| proxied);
    Ok(config)
}

fn names_proxy(kubeconfig: &Kubeconfig) -> bool {
    let context = kubeconfig.contexts.iter().find(|it| Some(&it.name) == kubeconfig.current_context.as_ref());
    let name = context.and_then(|it| it.context.as_ref()).map(|context| &context.cluster);
    let cluster = kubeconfig.clusters.iter().find(|it| Some(&it.name) == name).and_then(|it| it.cluster.as_ref());
    cluster.and_then(|cluster| cluster.proxy_url.as_ref()).is_some_and(|url| !url.is_empty())
}

/// What is wrong with a kubeconfig, without anything that is in it.
pub fn what(error: &KubeconfigError) -> String {
    if let KubeconfigError::ReadConfig(error, path) = error {
        return format!("{} cannot be read: {error}", path.display());
    }
    // The parser shows the lines around the fault.
    let is_garbled = matches!(error, KubeconfigError::Parse(_));
    if is_garbled { "this is no kubeconfig".to_owned() } else { error.to_string() }
}
