//! Which cluster this is: asked once for all attachments, of the nodes and of Azure.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use acr_attach_azure::Reader;
use acr_attach_core::api::{REQUESTED_AT, RegistryAttachment};
use acr_attach_core::ids::{ClusterId, eq_ignore_case};
use acr_attach_core::platform::{
    KUBELET_CLIENT, Node, NodeAges, NodeResourceGroup, Platform, PlatformHint, hint,
    oldest_versions,
};
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::roles::credential_provider::{
    KubeletVersion, NODE_IMAGE, NodeImage, OldestVersions,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node as Stored;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use uuid::Uuid;

use crate::attachment::context::Context;
use crate::cluster::kubernetes::within;

/// What was found out, for all attachments.
#[derive(Debug, Default)]
pub struct Shared {
    state: Mutex<State>,
    /// What the nodes alone told, and when they were listed.
    nodes: Mutex<Option<(Timestamp, NodeFacts)>>,
}

/// What the nodes alone tell.
#[derive(Clone, Debug)]
pub struct NodeFacts {
    /// Whether the cluster is AKS.
    pub hint: PlatformHint,
    /// The client ids of the kubelet identity.
    pub kubelet_clients: BTreeSet<Uuid>,
    /// Their oldest versions.
    pub oldest: OldestVersions,
    /// When they joined the cluster.
    pub ages: Option<NodeAges>,
}

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Unknown,
    /// A reconcile is finding out.
    Asked,
    /// Asked at that time.
    Findings(Timestamp, Platform),
}

/// How long nobody asks again what nobody could tell.
const SOON: SignedDuration = SignedDuration::from_secs(10);
/// How many nodes one answer of the API server holds.
const PAGE: u32 = 500;

impl Context {
    /// Which cluster this is. It is asked anew after a resync, since nodes come and go, and for a check
    /// that somebody has asked for, or changed the spec for: then what was found out before `since` does
    /// not serve it. The attachment is called when there is a place at Azure Resource Manager, if there is
    /// none now.
    ///
    /// # Errors
    /// When the API server or Azure does not answer or refuses; `Busy` while another reconcile asks.
    pub async fn platform(
        &self,
        object: &RegistryAttachment,
        since: Option<Timestamp>,
    ) -> Result<Platform, Problem> {
        let now = Timestamp::now();
        let resync = now - self.intervals.resync;
        let since = since.filter(|_| is_asked_for(object) || is_changed(object)).unwrap_or(resync);
        if let Some(known) = self.platform.known(since, now)? {
            return Ok(known);
        }
        let asked = Asked(&self.platform);
        let platform = self.ask(&object.name_any()).await?;
        asked.0.set(State::Findings(now, platform.clone()));
        Ok(platform)
    }

    /// The cluster of AKS that the nodes are of, where that was found out for another reason.
    pub fn known_cluster(&self) -> Option<ClusterId> {
        let state = self.platform.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Findings(_, Platform::Aks(cluster)) => Some(cluster.clone()),
            _ => None,
        }
    }

    /// What the nodes alone tell, listed once a resync for all; `None` where they cannot be listed.
    pub async fn node_facts(&self) -> Option<NodeFacts> {
        let since = Timestamp::now() - self.intervals.resync;
        let known = self.platform.nodes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some((at, told)) if at >= since => Some(told),
            _ => self.ask_nodes().await.ok(),
        }
    }

    async fn ask_nodes(&self) -> Result<NodeFacts, Problem> {
        let at = Timestamp::now();
        let nodes = self.nodes().await?;
        let kubelet_clients = nodes.iter().filter_map(|it| it.kubelet_client).collect();
        let oldest = oldest_versions(&nodes);
        let ages = NodeAges::of(&nodes);
        let told = NodeFacts { hint: hint(&nodes), kubelet_clients, oldest, ages };
        let mut known = self.platform.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((at, told.clone()));
        Ok(told)
    }

    async fn ask(&self, caller: &str) -> Result<Platform, Problem> {
        let group = match self.ask_nodes().await?.hint {
            PlatformHint::NotAks => return Ok(Platform::NotAks),
            PlatformHint::Unsure(why) => return Ok(Platform::Unsure(why)),
            PlatformHint::Aks(group) => group,
        };
        let session = self.azure.session(Some(caller))?;
        verified(&group, &session.reader).await
    }

    async fn nodes(&self) -> Result<Vec<Node>, Problem> {
        let doing = "listing nodes, which tell whether the cluster is AKS";
        let api = Api::<Stored>::all(self.kubernetes.client());
        let mut params = ListParams::default().limit(PAGE);
        let mut nodes = Vec::new();
        loop {
            let page = within(doing, api.list(&params)).await?;
            nodes.extend(page.items.iter().map(reduce));
            match page.metadata.continue_.filter(|it| !it.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok(nodes),
            }
        }
    }
}

impl Shared {
    /// What is known and was asked since then; `None` if it is now the caller's turn to ask.
    fn known(&self, since: Timestamp, now: Timestamp) -> Result<Option<Platform>, Problem> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Asked => {
                let text = "finding out which cluster this is: another attachment is at it";
                return Err(Problem::new(Cause::Busy, text));
            }
            State::Findings(at, platform) => {
                let since = match platform {
                    Platform::Unsure(_) => since.max(now - SOON),
                    _ => since,
                };
                if *at >= since {
                    return Ok(Some(platform.clone()));
                }
            }
            State::Unknown => {}
        }
        *state = State::Asked;
        Ok(None)
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// The turn to ask. When it is dropped without an answer, it is the next one's.
struct Asked<'a>(&'a Shared);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Asked) {
            *state = State::Unknown;
        }
    }
}

/// Whether the spec is another one than that of which status tells, if it tells of any: a new object
/// has generation -1 there.
pub fn is_changed(object: &RegistryAttachment) -> bool {
    let told = object.status.as_ref().and_then(|it| it.observed_generation);
    told.is_some_and(|it| it > 0 && Some(it) != object.metadata.generation)
}

/// Whether the check is one that somebody asked for.
pub fn is_asked_for(object: &RegistryAttachment) -> bool {
    let handled = object.status.as_ref().and_then(|it| it.last_handled_reconcile_at.as_ref());
    object.annotations().get(REQUESTED_AT) != handled
}

fn reduce(node: &Stored) -> Node {
    let labels = node.labels();
    let kubelet = node.status.as_ref().and_then(|it| it.node_info.as_ref());
    Node {
        name: node.name_any(),
        is_labelled: labels.keys().any(|it| it.starts_with("kubernetes.azure.com/")),
        provider_id: node.spec.as_ref().and_then(|it| it.provider_id.clone()),
        is_virtual: labels.get("type").is_some_and(|it| it == "virtual-kubelet"),
        kubelet_client: labels.get(KUBELET_CLIENT).and_then(|it| it.parse().ok()),
        kubelet: kubelet.and_then(|it| KubeletVersion::read(&it.kubelet_version)),
        image: labels.get(NODE_IMAGE).and_then(|it| NodeImage::read(it)),
        created: node.creation_timestamp().map(|it| it.0),
    }
}

/// Asks Azure for the cluster that keeps its nodes in that group, and asks the cluster back.
async fn verified(group: &NodeResourceGroup, azure: &Reader) -> Result<Platform, Problem> {
    let unsure = |why: String| {
        Ok(Platform::Unsure(format!(
            "its nodes are in resource group {} of subscription {}, {why}",
            group.name, group.subscription
        )))
    };
    let cluster = match manager(group, azure).await {
        Ok(Some(cluster)) => cluster,
        Ok(None) => return unsure("which no managed cluster manages".to_owned()),
        Err(problem) if problem.cause.is_transient() => return Err(problem),
        Err(problem) => {
            return unsure(format!("and which cluster that is could not be found out: {problem}"));
        }
    };
    let told = azure.cluster(&cluster).await?.node_resource_group.unwrap_or_default();
    if !eq_ignore_case(&told, &group.name) {
        return unsure(format!("and cluster {cluster} says that it keeps its nodes in {told}"));
    }
    Ok(Platform::Aks(cluster))
}

/// The node group tells its manager. Where it may not be read, the clusters tell their groups.
async fn manager(group: &NodeResourceGroup, azure: &Reader) -> Result<Option<ClusterId>, Problem> {
    match azure.manager_of(group).await.map_err(Problem::from) {
        Err(problem) if problem.cause == Cause::AccessDenied => {
            azure.cluster_of(group).await.map_err(|_| problem)
        }
        answer => answer,
    }
}
