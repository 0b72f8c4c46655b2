//! Reduces pull secrets to what decisions need, and builds the Secrets to write.

use std::fmt;

use acr_attach_azure::Credential;
use acr_attach_core::api::RegistryAttachment;
use acr_attach_core::ids::LoginServer;
use acr_attach_core::plan::{AcceptedCredential, SecretTarget};
use acr_attach_core::pull_secrets::proof::Proof;
use acr_attach_core::pull_secrets::{Inputs, digest};
use acr_attach_core::snapshot::cluster::{Owner, StoredSecret};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use super::cache::Key;

const TYPE: &str = "kubernetes.io/dockerconfigjson";
const CONTENT: &str = ".dockerconfigjson";
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "acr-attach");
/// The label that selects the pull secrets of one attachment, by uid.
const ATTACHMENT: &str = "acr-attach.dev/attachment";
const INPUTS: &str = "acr-attach.dev/inputs";
const WRITTEN: &str = "acr-attach.dev/written";
const EXPIRES: &str = "acr-attach.dev/expires";
const RENEW: &str = "acr-attach.dev/renew";
const PROOF: &str = "acr-attach.dev/proof";
const AUDIENCE: &str = "acr-attach.dev/audience";
/// The value of the audience annotation for tokens with the audience of Azure Resource Manager.
const BY_ARM: &str = "azure-resource-manager";
/// The annotation with the digest of the content and of the annotations above.
const DIGEST: &str = "acr-attach.dev/digest";

/// Returns the label selector for all pull secrets.
pub fn selector() -> String {
    format!("{}={}", MANAGED_BY.0, MANAGED_BY.1)
}

/// The content of a pull secret.
pub struct Content<'a> {
    /// The registry.
    pub server: &'a LoginServer,
    /// The registry's other hosts, at its regional endpoints.
    pub regional: &'a [LoginServer],
    /// User and password.
    pub credential: &'a Credential,
    /// The inputs that the credential was made from.
    pub inputs: &'a Inputs,
    /// The registry's answer to the credential.
    pub proof: Proof,
    /// Whether the audience is Azure Resource Manager's: the tenant did not know that of registries.
    pub by_arm_audience: bool,
    /// When the credential was made.
    pub written: Timestamp,
    /// When the credential is to be renewed.
    pub renew: Option<Timestamp>,
}

impl Content<'_> {
    /// Builds the docker configuration, with an entry for each host of the registry. Each entry has
    /// user name and password both apart and joined in `auth`: tools read one or the other.
    pub fn docker_config(&self) -> Vec<u8> {
        let Credential { user, password, .. } = self.credential;
        let password = password.secret();
        let auth = BASE64.encode(format!("{user}:{password}"));
        let entry = json!({"username": user, "password": password, "auth": auth});
        let hosts = std::iter::once(self.server).chain(self.regional);
        let entries: serde_json::Map<_, _> =
            hosts.map(|it| (it.to_string(), entry.clone())).collect();
        json!({"auths": entries}).to_string().into_bytes()
    }

    /// Builds the annotations that describe the credential.
    fn annotations(&self) -> Vec<(&'static str, String)> {
        let time = |it: Timestamp| it.strftime("%FT%TZ").to_string();
        let mut all = vec![
            (INPUTS, self.inputs.to_string()),
            (WRITTEN, time(self.written)),
            (PROOF, self.proof.to_string()),
        ];
        all.extend(self.credential.expires.map(|it| (EXPIRES, time(it))));
        all.extend(self.renew.map(|it| (RENEW, time(it))));
        all.extend(self.by_arm_audience.then(|| (AUDIENCE, BY_ARM.to_owned())));
        all
    }

    /// Builds the content and annotations to write.
    pub fn write(&self) -> Written {
        Written { data: self.docker_config(), annotations: self.annotations() }
    }
}

/// Content and annotations of a pull secret, which are the same in every namespace.
pub struct Written {
    data: Vec<u8>,
    annotations: Vec<(&'static str, String)>,
}

/// Omits the credential.
impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Written").field("annotations", &self.annotations).finish_non_exhaustive()
    }
}

impl Written {
    /// Reads content and annotations of a Secret; `None` if it is not as it was written.
    pub fn of(secret: &Secret) -> Option<Self> {
        let data = content(secret)?.to_vec();
        let annotations = [INPUTS, WRITTEN, EXPIRES, RENEW, PROOF, AUDIENCE].into_iter();
        let annotations = annotations
            .filter_map(|name| Some((name, secret.annotations().get(name)?.clone())))
            .collect();
        let written = Self { data, annotations };
        (secret.annotations().get(DIGEST) == Some(&written.digest())).then_some(written)
    }

    /// Returns the digest of content and annotations.
    pub fn digest(&self) -> String {
        let mut annotations = self.annotations.clone();
        annotations.sort();
        let mut bytes = self.data.clone();
        for (name, value) in annotations {
            bytes.extend(format!("\n{name}={value}").into_bytes());
        }
        digest(&bytes)
    }

    /// Reduces the credential to what decisions need; `None` if its inputs cannot be read.
    pub fn accepted(&self) -> Option<AcceptedCredential> {
        let annotation = |name: &str| {
            let found = self.annotations.iter().find(|(it, _)| *it == name);
            found.map(|(_, value)| value.as_str())
        };
        let time = |name: &str| annotation(name).and_then(|it| it.parse().ok());
        Some(AcceptedCredential {
            digest: self.digest(),
            inputs: annotation(INPUTS)?.parse().ok()?,
            expires: time(EXPIRES),
            renew: time(RENEW),
        })
    }

    /// Builds the Secret to apply. The uid keeps the patch from a later Secret of the same name. The
    /// attachment's own labels and annotations are not copied, since tools prune by them.
    pub fn manifest(&self, target: &SecretTarget, object: &RegistryAttachment) -> Value {
        let digest = self.digest();
        let annotations = self.annotations.iter().map(|(name, value)| (*name, value));
        let annotations: serde_json::Map<String, Value> = annotations
            .chain([(DIGEST, &digest)])
            .map(|(name, value)| (name.to_owned(), value.as_str().into()))
            .collect();
        let mut metadata = json!({
            "name": target.name,
            "namespace": target.namespace,
            "labels": {MANAGED_BY.0: MANAGED_BY.1, ATTACHMENT: object.uid()},
            "annotations": annotations,
            "ownerReferences": [{
                "apiVersion": RegistryAttachment::api_version(&()),
                "kind": RegistryAttachment::kind(&()),
                "name": object.name_any(),
                "uid": object.uid(),
            }],
        });
        if let Some(uid) = &target.uid {
            metadata["uid"] = uid.as_str().into();
        }
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": TYPE, "metadata": metadata,
            "data": {CONTENT: ByteString(self.data.clone())},
        })
    }

    /// Reads user and password for that registry.
    pub fn credential(&self, server: &LoginServer) -> Option<Credential> {
        let config: Value = serde_json::from_slice(&self.data).ok()?;
        let entry = &config["auths"][server.as_str()];
        let text = |name: &str| entry[name].as_str().map(str::to_owned);
        let (user, password) = (text("username")?, text("password")?.into());
        Some(Credential { user, password, expires: None, life: None })
    }
}

/// Names the fields of a stored Secret that differ from its manifest, without values.
pub fn differences(manifest: &Value, stored: &Secret) -> Vec<String> {
    let stored = serde_json::to_value(stored).unwrap_or_default();
    let mut found = Vec::new();
    for (place, fields) in
        [("/data", "data"), ("/metadata/labels", "label"), ("/metadata/annotations", "annotation")]
    {
        let wanted = manifest.pointer(place).and_then(Value::as_object);
        for (name, value) in wanted.into_iter().flatten() {
            if stored.pointer(place).and_then(|it| it.get(name)) != Some(value) {
                found.push(format!("{fields} {name}"));
            }
        }
    }
    if found.is_empty() {
        found.push("owner reference".to_owned());
    }
    found
}

/// Reduces a Secret to what decisions need, without its content.
pub fn reduce(secret: &Secret) -> Option<(Key, StoredSecret)> {
    let (namespace, name) = (secret.namespace()?, secret.name_any());
    let annotations = secret.annotations();
    let annotation = |name: &str| annotations.get(name);
    let time = |name: &str| annotation(name).and_then(|it| it.parse::<Timestamp>().ok());
    let uid = secret.uid()?;
    let is_pull_secret = secret.type_.as_deref() == Some(TYPE);
    let label = secret.labels().get(ATTACHMENT).filter(|_| is_pull_secret).cloned();
    let managed = secret.labels().get(MANAGED_BY.0).is_some_and(|it| it == MANAGED_BY.1);
    let owners = if is_pull_secret { owners(secret) } else { Vec::new() };
    let labelled = owners.is_empty() || owners.iter().any(|it| label.as_ref() == Some(&it.uid));
    let written = Written::of(secret);
    let stored = StoredSecret {
        immutable: secret.immutable == Some(true),
        intact: written.is_some() && managed && labelled && is_pull_secret,
        written_by: None,
        digest: written.map_or_else(String::new, |it| it.digest()),
        inputs: annotation(INPUTS).and_then(|it| it.parse().ok()),
        created: secret.creation_timestamp().map(|it| it.0).unwrap_or_default(),
        expires: time(EXPIRES),
        renew: time(RENEW),
        proof: annotation(PROOF).and_then(|it| it.parse().ok()),
        namespace: namespace.clone(),
        name: name.clone(),
        by_arm_audience: annotation(AUDIENCE).is_some_and(|it| it == BY_ARM),
        uid,
        owners,
        label,
    };
    let written_by = if stored.intact { None } else { written_by(secret) };
    Some(((namespace, name), StoredSecret { written_by, ..stored }))
}

fn owners(secret: &Secret) -> Vec<Owner> {
    let ours = |version: &str| version.starts_with("acr-attach.dev/");
    let all = secret.owner_references().iter();
    all.filter(|it| ours(&it.api_version) && it.kind == RegistryAttachment::kind(&()))
        .map(|it| Owner { uid: it.uid.clone(), name: it.name.clone() })
        .collect()
}

/// Returns the field manager that wrote the Secret last, if the Secret names one.
fn written_by(secret: &Secret) -> Option<String> {
    let all = secret.managed_fields().iter();
    all.max_by_key(|it| it.time.as_ref().map(|it| it.0))?.manager.clone()
}

fn content(secret: &Secret) -> Option<&[u8]> {
    secret.data.as_ref()?.get(CONTENT).map(|it| it.0.as_slice())
}
