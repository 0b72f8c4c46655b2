//! The steps of a check, and the report as text and as JSON.

use std::ops::ControlFlow;

use serde::Serialize;

use super::credential::CredentialSource;
use super::{PullSecretSource, Target};

/// The steps of a check, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepName {
    /// DNS: the addresses of the registry's host.
    Name,
    /// The connection, and the certificate.
    Tls,
    /// The answer to a request without a credential.
    Challenge,
    /// The credentials that a pod has.
    Credential,
    /// The answer of the registry to these credentials.
    Token,
    /// The image itself.
    Manifest,
}

impl StepName {
    /// All steps, in their order.
    pub const ALL: [Self; 6] =
        [Self::Name, Self::Tls, Self::Challenge, Self::Credential, Self::Token, Self::Manifest];

    /// The name of the step in the report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Tls => "tls",
            Self::Challenge => "challenge",
            Self::Credential => "credential",
            Self::Token => "token",
            Self::Manifest => "manifest",
        }
    }

    /// The exit code of a check that ends at this step.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Name => 2,
            Self::Tls => 3,
            Self::Challenge => 4,
            Self::Credential => 5,
            Self::Token => 6,
            Self::Manifest => 7,
        }
    }
}

/// The exit codes of a check, for its help.
#[must_use]
pub fn exit_codes() -> String {
    let steps = StepName::ALL.map(|it| format!("{} {}", it.exit_code(), it.as_str()));
    format!(
        "Exit codes: 0 every step that was taken holds; 1 the check could not be made (flags, API server); else the step that failed: {}",
        steps.join(", ")
    )
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepResult {
    /// The step succeeded.
    Ok,
    /// The step failed, or could not be checked.
    Failed,
    /// The step was not taken, because an earlier one failed or the user did not ask for it.
    Skipped,
}

impl StepResult {
    /// The word at the start of a line.
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        }
    }
}

/// A step with its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The name of the step.
    pub step: StepName,
    /// How the step ended.
    pub result: StepResult,
    /// What the step found.
    pub detail: String,
    /// The advice, one sentence each. Empty if there is nothing to do.
    pub advice: Vec<String>,
    /// The exit code of the check if this step failed.
    #[serde(skip)]
    exit_code: u8,
}

impl Step {
    /// A step that succeeded.
    #[must_use]
    pub fn ok(step: StepName, detail: impl Into<String>) -> Self {
        let (detail, advice) = (detail.into(), Vec::new());
        Self { step, result: StepResult::Ok, detail, advice, exit_code: 0 }
    }

    /// A step that failed.
    #[must_use]
    pub fn failed(step: StepName, detail: impl Into<String>, advice: Vec<String>) -> Self {
        let (detail, exit_code) = (detail.into(), step.exit_code());
        Self { step, result: StepResult::Failed, detail, advice, exit_code }
    }

    /// A step that could not be checked, for a reason other than the registry and the credential.
    #[must_use]
    pub fn unchecked(step: StepName, detail: impl Into<String>, advice: Vec<String>) -> Self {
        Self { exit_code: 1, ..Self::failed(step, detail, advice) }
    }

    /// The same step with the exit code of another one, which has the real cause.
    #[must_use]
    pub fn with_exit_code_of(self, step: StepName) -> Self {
        Self { exit_code: step.exit_code(), ..self }
    }

    /// A step that was not taken.
    #[must_use]
    pub fn skipped(step: StepName, detail: impl Into<String>) -> Self {
        Self { result: StepResult::Skipped, ..Self::ok(step, detail) }
    }
}

/// The report of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    target: Target,
    /// The source of the credential that works, if one does.
    credential: Option<CredentialSource>,
    steps: Vec<Step>,
}

impl Report {
    /// A report without any step yet.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self { target, credential: None, steps: Vec::new() }
    }

    /// Adds the next step. Breaks if the step failed, because the check ends there.
    pub fn add(&mut self, step: Step) -> ControlFlow<()> {
        let failed = step.result == StepResult::Failed;
        self.steps.push(step);
        if failed { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Sets the source of the credential that works.
    pub fn set_credential(&mut self, credential: Option<CredentialSource>) {
        self.credential = credential;
    }

    /// The finished report: the steps that were not taken are added as skipped.
    #[must_use]
    pub fn finish(mut self) -> Self {
        let failed = self.failure().map(|it| it.step.as_str());
        let why = failed.map_or_else(String::new, |it| format!("since {it} failed"));
        let rest = StepName::ALL.into_iter().skip(self.steps.len());
        self.steps.extend(rest.map(|it| Step::skipped(it, why.as_str())));
        self
    }

    fn failure(&self) -> Option<&Step> {
        self.steps.iter().find(|it| it.result == StepResult::Failed)
    }

    /// The exit code: 0 if every step that was taken succeeded, 1 if a step could not be checked, else that of the
    /// step that failed.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.failure().map_or(0, |it| it.exit_code)
    }

    /// The report as one JSON object in one line.
    ///
    /// # Errors
    /// Never: its values can always be serialized.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&Wire::of(self))
    }

    /// The report as text: the target, and a line for each step with its advice below.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![self.target.to_string(), String::new()];
        for Step { step, result, detail, advice, .. } in &self.steps {
            let line = format!("{:<9}{:<12}{detail}", result.as_str(), step.as_str());
            lines.push(line.trim_end().to_owned());
            lines.extend(advice.iter().map(|it| format!("{:21}{it}", "")));
        }
        lines.join("\n")
    }
}

/// The JSON form of a report. Absent values are `null`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    registry: &'a str,
    image: Option<String>,
    namespace: &'a str,
    /// Absent if pods name their pull secrets themselves.
    service_account: Option<&'a str>,
    credential: Option<&'a CredentialSource>,
    ok: bool,
    exit_code: u8,
    steps: &'a [Step],
}

impl<'a> Wire<'a> {
    fn of(report: &'a Report) -> Self {
        let Report { target, credential, steps } = report;
        let exit_code = report.exit_code();
        Self {
            registry: target.registry.as_str(),
            image: target.image.as_ref().map(ToString::to_string),
            namespace: &target.namespace,
            service_account: match &target.pull_secrets {
                PullSecretSource::ServiceAccount(name) => Some(name),
                PullSecretSource::Pods(_) => None,
            },
            credential: credential.as_ref(),
            ok: exit_code == 0,
            exit_code,
            steps,
        }
    }
}
