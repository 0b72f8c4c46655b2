//! The platform of the cluster, read from the nodes and from Azure once for all attachments.

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

/// What was found about the platform, shared by all attachments.
#[derive(Debug, Default)]
pub struct Shared {
    state: Mutex<State>,
    /// What the nodes show, and when they were listed.
    nodes: Mutex<Option<(Timestamp, NodeFacts)>>,
}

/// What the nodes show, without Azure.
#[derive(Clone, Debug)]
pub struct NodeFacts {
    /// Whether the cluster is AKS, as far as the nodes show.
    pub hint: PlatformHint,
    /// The client ids of the kubelet identity, from the labels of the nodes.
    pub kubelet_clients: BTreeSet<Uuid>,
    /// The oldest versions of the nodes.
    pub oldest: OldestVersions,
    /// When the nodes joined the cluster.
    pub ages: Option<NodeAges>,
}

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Unknown,
    /// A reconcile is reading the platform.
    Asked,
    /// When the read began, and the platform.
    Known(Timestamp, Platform),
    /// When a read failed, and why.
    Failed(Timestamp, Problem),
}

/// How long an unsure answer counts before the platform is read again.
const SOON: SignedDuration = SignedDuration::from_secs(10);
/// The number of nodes in one page of the list.
const PAGE: u32 = 500;
/// How long [`Context::platform`] returns the last failure instead of reading again. A reconcile calls it
/// several times, and would wait for the same failure each time.
const SAME_RECONCILE: SignedDuration = SignedDuration::from_secs(2);

impl Context {
    /// The platform of the cluster. It is read anew after a resync, since nodes come and go. For a check
    /// that a user requested, or that follows a change of the spec, an answer from before `since` does not
    /// count. Without a free permit for Azure Resource Manager the attachment is queued for one.
    ///
    /// # Errors
    /// `Busy` while another reconcile reads the platform; `Queued` when no permit is free; when the API
    /// server or Azure does not answer or refuses.
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
        let platform = self.ask(&object.name_any()).await;
        match &platform {
            Ok(platform) => asked.0.set(State::Known(now, platform.clone())),
            Err(problem) if problem.cause.is_waiting() => {}
            Err(problem) => asked.0.set(State::Failed(Timestamp::now(), problem.clone())),
        }
        platform
    }

    /// The platform for claims: unlike for [`platform`](Self::platform), an answer that tells nothing counts for
    /// a resync too, since it changes no claim.
    ///
    /// # Errors
    /// As [`platform`](Self::platform).
    pub async fn platform_for_claims(
        &self,
        object: &RegistryAttachment,
        since: Option<Timestamp>,
    ) -> Result<Platform, Problem> {
        let is_asked_for = is_asked_for(object) || is_changed(object);
        let resync = Timestamp::now() - self.intervals.resync;
        match self.platform.last(resync).filter(|_| !is_asked_for) {
            Some(known) => Ok(known),
            None => self.platform(object, since).await,
        }
    }

    /// The AKS cluster that the nodes belong to, if [`platform`](Self::platform) has found it before.
    pub fn known_cluster(&self) -> Option<ClusterId> {
        let state = self.platform.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Known(_, Platform::Aks(cluster)) => Some(cluster.clone()),
            _ => None,
        }
    }

    /// What the nodes show, listed once a resync for all attachments; `None` where the nodes cannot be
    /// listed.
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
    /// The platform, if it was read since then. `None` if the caller has to read it: other callers get `Busy`
    /// meanwhile.
    fn known(&self, since: Timestamp, now: Timestamp) -> Result<Option<Platform>, Problem> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Asked => {
                let text = "finding out which cluster this is: another attachment is at it";
                return Err(Problem::new(Cause::Busy, text));
            }
            State::Known(at, platform) => {
                let since = match platform {
                    Platform::Unsure(_) => since.max(now - SOON),
                    _ => since,
                };
                if *at >= since {
                    return Ok(Some(platform.clone()));
                }
            }
            State::Failed(at, problem) if now.duration_since(*at) < SAME_RECONCILE => {
                return Err(problem.clone());
            }
            State::Unknown | State::Failed(..) => {}
        }
        *state = State::Asked;
        Ok(None)
    }

    /// The platform as it was last read, if that was since then.
    fn last(&self, since: Timestamp) -> Option<Platform> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Known(at, platform) if *at >= since => Some(platform.clone()),
            _ => None,
        }
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// The right of one reconcile to read the platform. When it is dropped without an answer, the next reconcile
/// may take it.
struct Asked<'a>(&'a Shared);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Asked) {
            *state = State::Unknown;
        }
    }
}

/// Whether the spec has changed since status was written. False for an object without such a status: a new
/// one shows generation -1.
pub fn is_changed(object: &RegistryAttachment) -> bool {
    let told = object.status.as_ref().and_then(|it| it.observed_generation);
    told.is_some_and(|it| it > 0 && Some(it) != object.metadata.generation)
}

/// Whether a user has requested a check of Azure: annotation `reconcile.fluxcd.io/requestedAt` differs from
/// its last handled value.
pub fn is_asked_for(object: &RegistryAttachment) -> bool {
    let handled = object.status.as_ref().and_then(|it| it.last_handled_reconcile_at.as_ref());
    // A user may remove the annotation. Its last handled value stays in status.
    object.annotations().get(REQUESTED_AT).is_some_and(|it| Some(it) != handled)
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

/// Reads the managed cluster that manages the resource group, and confirms that the cluster names the same
/// group.
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

/// The managed cluster that manages the resource group, by the group. Where the operator may not read the
/// group, it is found in the list of managed clusters.
async fn manager(group: &NodeResourceGroup, azure: &Reader) -> Result<Option<ClusterId>, Problem> {
    match azure.manager_of(group).await.map_err(Problem::from) {
        Err(problem) if problem.cause == Cause::AccessDenied => {
            azure.cluster_of(group).await.map_err(|_| problem)
        }
        answer => answer,
    }
}
