//! The calls of ARM, read from method and path.

use hyper::Method;

use super::{Context, clusters, error::ArmError, groups, registries, role_assignments};
use crate::{
    Call,
    http::{Reply, Request},
    model::scope,
};

/// A resource in a resource group.
#[derive(Debug, PartialEq)]
pub(crate) struct Resource {
    pub(crate) subscription: String,
    pub(crate) group: String,
    pub(crate) name: String,
}

/// Where a list of resources looks: a subscription, or one of its groups.
#[derive(Debug, PartialEq)]
pub(crate) struct Container {
    pub(crate) subscription: String,
    pub(crate) group: Option<String>,
}

/// A call of ARM.
#[derive(Debug, PartialEq)]
pub(crate) enum Operation {
    GetRegistry(Resource),
    ListRegistries(Container),
    GetCluster(Resource),
    ListClusters(Container),
    GetResourceGroup { subscription: String, name: String },
    ListRoleAssignments { scope: String },
    GetRoleAssignment { scope: String, name: String },
    PutRoleAssignment { scope: String, name: String },
    DeleteRoleAssignment { scope: String, name: String },
}

impl Operation {
    /// Reads a request; `None` if the simulator does not know such a call.
    pub(crate) fn parse(request: &Request) -> Option<Self> {
        let segments = request.segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        role_assignment(&segments, &request.method)
            .or_else(|| resource(&segments).filter(|_| request.method == Method::GET))
    }

    pub(crate) fn call(&self) -> Call {
        match self {
            Self::GetRegistry(_) => Call::GetRegistry,
            Self::ListRegistries(_) => Call::ListRegistries,
            Self::GetCluster(_) => Call::GetCluster,
            Self::ListClusters(_) => Call::ListClusters,
            Self::GetResourceGroup { .. } => Call::GetResourceGroup,
            Self::ListRoleAssignments { .. } => Call::ListRoleAssignments,
            Self::GetRoleAssignment { .. } => Call::GetRoleAssignment,
            Self::PutRoleAssignment { .. } => Call::PutRoleAssignment,
            Self::DeleteRoleAssignment { .. } => Call::DeleteRoleAssignment,
        }
    }

    pub(crate) fn subscription(&self) -> Option<&str> {
        match self {
            Self::GetRegistry(it) | Self::GetCluster(it) => Some(&it.subscription),
            Self::ListRegistries(it) | Self::ListClusters(it) => Some(&it.subscription),
            Self::GetResourceGroup { subscription, .. } => Some(subscription),
            Self::ListRoleAssignments { scope }
            | Self::GetRoleAssignment { scope, .. }
            | Self::PutRoleAssignment { scope, .. }
            | Self::DeleteRoleAssignment { scope, .. } => scope::subscription_id(scope),
        }
    }

    /// The resource type, as api-versions are kept by it.
    pub(crate) fn resource_type(&self) -> &'static str {
        match self {
            Self::GetRegistry(_) | Self::ListRegistries(_) => registries::TYPE,
            Self::GetCluster(_) | Self::ListClusters(_) => clusters::TYPE,
            Self::GetResourceGroup { .. } => groups::TYPE,
            _ => role_assignments::TYPE,
        }
    }

    /// Carries the call out.
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Reply, ArmError> {
        match self {
            Self::GetRegistry(it) => registries::get(context, &it),
            Self::ListRegistries(it) => registries::list(context, &it),
            Self::GetCluster(it) => clusters::get(context, &it),
            Self::ListClusters(it) => clusters::list(context, &it),
            Self::GetResourceGroup { subscription, name } => {
                groups::get(context, &subscription, &name)
            }
            Self::ListRoleAssignments { scope } => role_assignments::list(context, &scope),
            Self::GetRoleAssignment { scope, name } => {
                role_assignments::get(context, &scope, &name)
            }
            Self::PutRoleAssignment { scope, name } => {
                role_assignments::put(context, &scope, &name)
            }
            Self::DeleteRoleAssignment { scope, name } => {
                role_assignments::delete(context, &scope, &name)
            }
        }
    }
}

/// `{scope}/providers/Microsoft.Authorization/roleAssignments[/{name}]`
fn role_assignment(segments: &[&str], method: &Method) -> Option<Operation> {
    let tail = ["providers", "Microsoft.Authorization", "roleAssignments"];
    let at = segments.windows(tail.len()).rposition(|it| same(it, &tail))?;
    let scope = format!("/{}", segments[..at].join("/"));
    match (&segments[at + tail.len()..], method.as_str()) {
        ([], "GET") => Some(Operation::ListRoleAssignments { scope }),
        ([name], "GET") => Some(Operation::GetRoleAssignment { scope, name: (*name).into() }),
        ([name], "PUT") => Some(Operation::PutRoleAssignment { scope, name: (*name).into() }),
        ([name], "DELETE") => Some(Operation::DeleteRoleAssignment { scope, name: (*name).into() }),
        _ => None,
    }
}

/// Registries, clusters and resource groups.
fn resource(segments: &[&str]) -> Option<Operation> {
    let (subscription, rest) = match segments {
        [first, subscription, rest @ ..] if same(&[*first], &["subscriptions"]) => {
            ((*subscription).to_owned(), rest)
        }
        _ => return None,
    };
    let (group, rest) = match rest {
        [first, group, rest @ ..] if same(&[*first], &["resourceGroups"]) => {
            (Some((*group).to_owned()), rest)
        }
        rest => (None, rest),
    };
    if let (Some(name), []) = (&group, rest) {
        return Some(Operation::GetResourceGroup { subscription, name: name.clone() });
    }
    let [providers, namespace, kind, rest @ ..] = rest else { return None };
    if !providers.eq_ignore_ascii_case("providers") {
        return None;
    }
    let is = |wanted: &str| format!("{namespace}/{kind}").eq_ignore_ascii_case(wanted);
    match (rest, group) {
        ([], group) => {
            let container = Container { subscription, group };
            is(registries::TYPE)
                .then_some(Operation::ListRegistries as fn(Container) -> Operation)
                .or_else(|| is(clusters::TYPE).then_some(Operation::ListClusters as _))
                .map(|list| list(container))
        }
        ([name], Some(group)) => {
            let resource = Resource { subscription, group, name: (*name).into() };
            is(registries::TYPE)
                .then_some(Operation::GetRegistry as fn(Resource) -> Operation)
                .or_else(|| is(clusters::TYPE).then_some(Operation::GetCluster as _))
                .map(|get| get(resource))
        }
        _ => None,
    }
}

fn same(left: &[&str], right: &[&str]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).all(|(left, right)| left.eq_ignore_ascii_case(right))
}
