//! Calls to the Kubernetes API. Each call has a deadline, and each failure is classified as a problem.

use std::collections::BTreeMap;
use std::time::Duration;

use acr_attach_core::api::{RegistryAttachment, RegistryAttachmentStatus};
use acr_attach_core::plan::Finalizer;
use acr_attach_core::problem::{Cause, Problem};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::watcher;
use kube::{Client, Resource, ResourceExt};
use serde_json::{Value, json};

use super::admission::refuser;
use super::cache::version;
use super::undeclared::Undeclared;

/// The field manager of status.
const FIELD_MANAGER: &str = "acr-attach";
/// How long one call may take. The client's own read timeout is for watches, and far longer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Calls on attachments, and the client for all other objects.
#[derive(Clone)]
pub struct Kubernetes {
    client: Client,
    /// Attachments as stored: this version may not understand all fields of an answer.
    stored: Api<DynamicObject>,
    namespaces: Api<Namespace>,
    undeclared: Undeclared,
}

impl Kubernetes {
    /// Makes calls with that client.
    #[must_use]
    pub fn new(client: &Client) -> Self {
        let resource = ApiResource::erase::<RegistryAttachment>(&());
        Self {
            client: client.clone(),
            stored: Api::all_with(client.clone(), &resource),
            namespaces: Api::all(client.clone()),
            undeclared: Undeclared::default(),
        }
    }

    /// Returns the client for calls on objects in namespaces.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Lists the names of all attachments by uid, those of other operators included.
    ///
    /// # Errors
    /// When the API server does not answer or refuses.
    pub async fn attachments(&self) -> Result<BTreeMap<String, String>, Problem> {
        let params = ListParams::default();
        let list = within("listing attachments", self.stored.list_metadata(&params)).await?;
        Ok(list.items.iter().filter_map(|it| Some((it.uid()?, it.name_any()))).collect())
    }

    /// Reads what identifies this cluster: the UID of namespace `kube-system`, which lives as long as
    /// the cluster does.
    ///
    /// # Errors
    /// When the API server does not answer or refuses.
    pub async fn cluster_uid(&self) -> Result<String, Problem> {
        let doing = "reading namespace kube-system, whose UID identifies the cluster";
        let namespace = within(doing, self.namespaces.get("kube-system")).await?;
        namespace
            .uid()
            .ok_or_else(|| Problem::new(Cause::Unavailable, format!("{doing}: it has no UID")))
    }

    /// Adds a finalizer, and returns the version of the object that bears it.
    ///
    /// Each finalizer has its own field manager, so that applying status or the other finalizer does
    /// not remove it. The UID in the body makes the API server refuse the patch for a later object of
    /// the same name.
    ///
    /// # Errors
    /// When the API server does not answer or refuses.
    pub async fn add_finalizer(
        &self,
        object: &RegistryAttachment,
        finalizer: Finalizer,
    ) -> Result<u64, Problem> {
        let metadata = json!({"uid": object.uid(), "finalizers": [finalizer.name()]});
        let body = Patch::Apply(manifest(&json!({"metadata": metadata})));
        let manager = match finalizer {
            Finalizer::RoleAssignments => "acr-attach-role-assignments",
            Finalizer::ServiceAccounts => "acr-attach-service-accounts",
        };
        let params = PatchParams::apply(manager).force();
        let doing = format!("adding finalizer {}", finalizer.name());
        let name = object.name_any();
        let answer = within(&doing, self.stored.patch(&name, &params, &body)).await;
        let stored = answer.map_err(outrun)?;
        Ok(version(stored.resource_version().as_deref()))
    }

    /// Removes a finalizer, also where another field manager wrote it too: applying a list without it
    /// would leave it to that manager. An object that is gone counts as done.
    ///
    /// # Errors
    /// When the API server does not answer or refuses, or when the list has changed meanwhile.
    pub async fn remove_finalizer(
        &self,
        object: &RegistryAttachment,
        finalizer: Finalizer,
    ) -> Result<(), Problem> {
        let name = object.name_any();
        let doing = format!("removing finalizer {}", finalizer.name());
        // Reads the position anew: the other finalizer may have been added or removed a moment ago.
        let stored = match within(&doing, self.stored.get(&name)).await {
            Err(problem) if problem.cause == Cause::NotFound => return Ok(()),
            stored => stored?,
        };
        let at = stored.finalizers().iter().position(|it| it == finalizer.name());
        let Some(at) = at.filter(|_| stored.uid() == object.uid()) else { return Ok(()) };
        let path = format!("/metadata/finalizers/{at}");
        let operations = json!([
            {"op": "test", "path": "/metadata/uid", "value": object.uid()},
            {"op": "test", "path": path, "value": finalizer.name()},
            {"op": "remove", "path": path},
        ]);
        let operations: json_patch::Patch = serde_json::from_value(operations)
            .map_err(|error| Problem::new(Cause::Internal, format!("{doing}: {error}")))?;
        let params = PatchParams::default();
        let body = Patch::Json::<()>(operations);
        let answer = within(&doing, self.stored.patch(&name, &params, &body)).await;
        match answer {
            Err(problem) if problem.cause == Cause::NotFound => Ok(()),
            answer => answer.map(drop).map_err(outrun),
        }
    }

    /// Reads an attachment as stored, whether or not this version understands it.
    ///
    /// # Errors
    /// When the API server does not answer or refuses.
    pub async fn stored(&self, name: &str) -> Result<DynamicObject, Problem> {
        within("reading an attachment as it is stored", self.stored.get(name)).await
    }

    /// Writes status, and returns the version of the object that holds it.
    ///
    /// The write names the version that was read before. For a status, the API server compares no uid:
    /// it takes everything but the status from the stored object. Without the version, the last status
    /// of an attachment could end up in a later one of the same name (apiextensions-apiserver,
    /// `registry/customresource/status_strategy.go`).
    ///
    /// # Errors
    /// When the API server does not answer or refuses, and `NotFound` when the attachment is gone.
    pub async fn set_status(
        &self,
        object: &impl Resource,
        status: &RegistryAttachmentStatus,
    ) -> Result<String, Problem> {
        const DOING: &str = "writing status";
        let (mut status, name) = (json!(status), object.meta().name.clone().unwrap_or_default());
        let answer = async {
            loop {
                let stored = self.stored.get(&name).await?;
                if stored.uid() != object.meta().uid {
                    return Ok(None);
                }
                match self.apply_status(&stored, &status).await {
                    // The object has changed since it was read.
                    Err(kube::Error::Api(answer)) if answer.code == 409 => {}
                    Err(error) if self.undeclared.learn(&error, &mut status) => {}
                    answer => return answer.map(Some),
                }
            }
        };
        let written = within(DOING, answer).await?;
        let written = written.ok_or_else(|| {
            let text = format!("{DOING}: attachment {name} is gone, and another one has its name");
            Problem::new(Cause::NotFound, text)
        })?;
        Ok(written.resource_version().unwrap_or_default())
    }

    /// Returns the status without the fields that the definition in the cluster does not declare.
    #[must_use]
    pub fn declared(&self, status: RegistryAttachmentStatus) -> RegistryAttachmentStatus {
        self.undeclared.without(status)
    }

    async fn apply_status(
        &self,
        stored: &DynamicObject,
        status: &Value,
    ) -> kube::Result<DynamicObject> {
        let metadata = json!({"resourceVersion": stored.resource_version()});
        let body = Patch::Apply(manifest(&json!({"metadata": metadata, "status": status})));
        let params = PatchParams::apply(FIELD_MANAGER).force();
        self.stored.patch_status(&stored.name_any(), &params, &body).await
    }
}

/// Makes a 422 for a finalizer `Unavailable`, so that it is tried again: the object has changed or is
/// being deleted, and the watch has not shown that yet.
fn outrun(mut problem: Problem) -> Problem {
    if problem.cause == Cause::Internal {
        problem.cause = Cause::Unavailable;
    }
    problem
}

/// Builds an apply patch of an attachment with that content.
fn manifest(content: &Value) -> Value {
    let mut manifest = content.clone();
    manifest["apiVersion"] = RegistryAttachment::api_version(&()).into();
    manifest["kind"] = RegistryAttachment::kind(&()).into();
    manifest
}

/// Awaits a call, with a deadline, and classifies its failure.
pub(crate) async fn within<T>(
    doing: &str,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, Problem> {
    match tokio::time::timeout(DEADLINE, call).await {
        Ok(answer) => answer.map_err(|error| problem(doing, &error)),
        Err(_) => Err(Problem::new(
            Cause::Unavailable,
            format!("{doing}: no answer from the API server within {} s", DEADLINE.as_secs()),
        )),
    }
}

/// Classifies the failure of a watch. The watch itself tries again.
pub(crate) fn watch_failed(what: &str, error: &watcher::Error) -> Problem {
    let doing = format!("watching {what}");
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => problem(&doing, error),
        error => Problem::new(Cause::Unavailable, format!("{doing}: {error}")),
    }
}

/// Classifies a failure of the API server. This is the only classification.
fn problem(doing: &str, error: &kube::Error) -> Problem {
    let kube::Error::Api(status) = error else {
        return Problem::new(Cause::Unavailable, format!("{doing}: {error}"));
    };
    let account = format!("{doing}: the API server answers {} {}", status.code, status.message);
    // Such a failure is temporary: the pull secrets are deleted with the namespace.
    if status.code == 403 && is_terminating(status) {
        return Problem::new(Cause::Unavailable, account);
    }
    if let Some(refuser) = refuser(status) {
        let advice =
            format!("let {refuser} admit this, or leave the namespace out of the attachment");
        return Problem::advised(Cause::AdmissionDenied, &advice, &[account]);
    }
    let cause = match status.code {
        401 | 403 => return Problem::advised(Cause::AccessDenied, RULES, &[account]),
        404 => Cause::NotFound,
        400 | 422 => Cause::Internal,
        _ => Cause::Unavailable,
    };
    Problem::new(cause, account)
}

/// The advice for a missing right in the cluster. The chart keeps rules and flags consistent.
const RULES: &str = "install the operator by its chart, or give its service account the RBAC rules of deploy/base/acr-attach.yaml";

/// Whether a patch failed because the object has changed since it was read: a `test` of a JSON patch
/// failed (422, without details of the object), or two writers conflicted (409).
pub(crate) fn is_outdated(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let names_object = status.details.as_ref().is_some_and(|it| !it.name.is_empty());
    status.code == 409 || status.code == 422 && !names_object && refuser(status).is_none()
}

/// Whether a namespace accepts no new objects because it is being deleted.
fn is_terminating(status: &kube::core::Status) -> bool {
    let causes = status.details.as_ref().map(|it| it.causes.as_slice()).unwrap_or_default();
    causes.iter().any(|it| it.reason == "NamespaceTerminating")
}
