//! The flags of the leader election: as typed, then as used.

use std::time::Duration;

use clap::Args;
use sha2::{Digest, Sha256};

use super::{ConfigError, duration, namespace};
use crate::election::Terms;
use crate::lease::Candidacy;
use crate::watch::Scope;

/// The flags of the leader election.
#[derive(Debug, Args)]
pub struct ElectionArgs {
    /// Whether replicas elect one that works while the others stand by. Default: true inside a cluster.
    #[arg(long, env = "IMAGETASK_LEADER_ELECT", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    leader_elect: Option<bool>,

    /// Name of the Lease that replicas share. Default: imagetask-operator, with a hash of --namespace and --selector where they are given.
    #[arg(long, env = "IMAGETASK_LEASE_NAME", value_parser = lease_name)]
    lease_name: Option<String>,

    /// Namespace of the Lease. Default: the pod's, outside a cluster that of the kubeconfig's context.
    #[arg(long, env = "IMAGETASK_LEASE_NAMESPACE", value_parser = namespace)]
    lease_namespace: Option<String>,

    /// How long a leader may be silent before another takes over, in whole seconds, at least 2s.
    #[arg(long, env = "IMAGETASK_LEASE_DURATION", default_value = "15s", value_parser = lease_duration)]
    lease_duration: Duration,
}

/// What a process finds around it.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The namespace of the pod, where its service account leads to the cluster.
    pub pod_namespace: Option<String>,
    /// The namespace of the kubeconfig's current context.
    pub context_namespace: Option<String>,
    /// The name of the host, which in a pod is the pod's.
    pub host: String,
    /// Tells this process from all others.
    pub random: [u8; 10],
}

impl ElectionArgs {
    /// How long a replica is believed to lead that is silent.
    pub(super) fn lease_duration(&self) -> Duration {
        self.lease_duration
    }

    /// The election to stand for in a shard; `None`: this process is alone.
    pub(super) fn candidacy(
        &self,
        scopes: &[Scope],
        surroundings: &Surroundings,
    ) -> Result<Option<Candidacy>, ConfigError> {
        let Surroundings { pod_namespace, context_namespace, host, random } = surroundings;
        if !self.leader_elect.unwrap_or(pod_namespace.is_some()) {
            return Ok(None);
        }
        let namespace = [&self.lease_namespace, pod_namespace, context_namespace].into_iter().flatten().next();
        let jitter = f64::from(random[0]) / f64::from(u8::MAX);
        Ok(Some(Candidacy {
            namespace: namespace.ok_or(ConfigError::NoLeaseNamespace)?.clone(),
            name: self.lease_name.clone().unwrap_or_else(|| default_name(scopes)),
            identity: format!("{host}_{}", hex::encode(random)),
            terms: Terms::of(self.lease_duration, jitter),
        }))
    }
}

/// Shards follow different tasks, so each elects a leader of its own; all replicas of one find the same name.
fn default_name(scopes: &[Scope]) -> String {
    const NAME: &str = "imagetask-operator";
    if scopes.iter().all(|scope| scope.namespace.is_none() && scope.selector.is_none()) {
        return NAME.to_owned();
    }
    let mut hash = Sha256::new();
    for part in scopes.iter().flat_map(|scope| [&scope.namespace, &scope.selector]) {
        // Neither byte is in a namespace or a selector, so no two lists of parts look alike.
        hash.update(part.as_deref().unwrap_or("\u{1}"));
        hash.update([0]);
    }
    format!("{NAME}-{}", hex::encode(&hash.finalize()[..5]))
}

fn lease_name(text: &str) -> Result<String, String> {
    let label = |label: &str| namespace(label).is_ok();
    let good = text.len() <= 253 && text.split('.').all(label);
    if good { Ok(text.to_owned()) } else { Err("give a name such as imagetask-operator".to_owned()) }
}

/// The record of a Lease counts in seconds.
fn lease_duration(text: &str) -> Result<Duration, String> {
    let lasts = duration(text)?;
    let good = lasts >= Duration::from_secs(2) && lasts.subsec_nanos() == 0;
    if good { Ok(lasts) } else { Err("give whole seconds, 2s or more".to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Cli;
    use super::*;

    fn candidacy(flags: &[&str], surroundings: &Surroundings) -> Result<Option<Candidacy>, String> {
        let cli = Cli::try_parse_from([&["imagetask-operator"], flags].concat()).map_err(|error| error.to_string())?;
        cli.run.candidacy(surroundings).map_err(|error| error.to_string())
    }

    fn pod() -> Surroundings {
        Surroundings { pod_namespace: Some("system".into()), host: "pod-1".into(), random: [255; 10], ..outside() }
    }

    fn outside() -> Surroundings {
        Surroundings { host: "laptop".into(), ..Surroundings::default() }
    }

    fn name(flags: &[&str]) -> String {
        candidacy(flags, &pod()).unwrap().unwrap().name
    }

    #[test]
    fn in_a_cluster_replicas_elect_a_leader_and_elsewhere_when_they_are_told() {
        let elected = Candidacy {
            namespace: "system".into(),
            name: "imagetask-operator".into(),
            identity: "pod-1_ffffffffffffffffffff".into(),
            terms: Terms::of(Duration::from_secs(15), 1.0),
        };
        assert_eq!(candidacy(&[], &pod()), Ok(Some(elected.clone())));
        assert_eq!(candidacy(&["--leader-elect"], &pod()), Ok(Some(elected)));
        assert_eq!(candidacy(&["--leader-elect=false"], &pod()), Ok(None));
        assert_eq!(candidacy(&[], &outside()), Ok(None));
        let named = ["--leader-elect", "--lease-namespace=a", "--lease-name=b.c", "--lease-duration=3s"];
        let told = candidacy(&named, &outside()).unwrap().unwrap();
        let terms = Terms::of(Duration::from_secs(3), 0.0);
        assert_eq!((told.namespace, told.name, told.terms), ("a".into(), "b.c".into(), terms));
    }

    #[test]
    fn outside_a_cluster_the_lease_is_in_the_contexts_namespace_or_must_be_given_one() {
        let context = Surroundings { context_namespace: Some("team".into()), ..outside() };
        assert_eq!(candidacy(&["--leader-elect"], &context).unwrap().unwrap().namespace, "team");
        let error = candidacy(&["--leader-elect"], &outside()).unwrap_err();
        assert!(error.starts_with("--lease-namespace is needed"), "{error}");
    }

    #[test]
    fn every_shard_has_a_lease_of_its_own_and_its_replicas_find_the_same() {
        let shards: [&[&str]; 7] = [
            &[],
            &["--namespace=a"],
            &["--namespace=b"],
            &["--namespace=a", "--namespace=b"],
            &["--selector=shard=1"],
            &["--selector=shard=2"],
            &["--namespace=a", "--selector=shard=1"],
        ];
        let names: std::collections::BTreeSet<_> = shards.map(name).into_iter().collect();
        assert_eq!(names.len(), shards.len());
        assert_eq!(name(&["--namespace=a", "--namespace=b"]), name(&["--namespace=b,a"]));
        // Replicas of two versions must find the same during an update.
        assert_eq!(name(&["--selector=shard=1"]), "imagetask-operator-92b3447fdc");
    }

    #[test]
    fn what_no_lease_can_be_is_refused() {
        for (flag, complaint) in [
            ("--lease-duration=1s", "give whole seconds, 2s or more"),
            ("--lease-duration=2500ms", "give whole seconds, 2s or more"),
            ("--lease-name=A b", "give a name such as imagetask-operator"),
            ("--lease-namespace=a.b", "give the name of a namespace"),
            ("--leader-elect=maybe", "'--leader-elect[=<LEADER_ELECT>]'"),
        ] {
            let error = candidacy(&[flag], &pod()).unwrap_err();
            assert!(error.contains(complaint), "{flag}: {error}");
        }
    }
}
