//! The steps of a check, and what is printed of them.

use std::ops::ControlFlow;

use serde::Serialize;

use super::credential::Holder;
use super::{PullSecretsOf, Target};

/// A step of a check, in the order in which they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepName {
    /// The addresses of the registry's host.
    Name,
    /// A connection, and the certificate.
    Tls,
    /// The answer to a request without a credential.
    Challenge,
    /// What a pod could show to the registry.
    Credential,
    /// What the registry gives for it.
    Token,
    /// The image itself.
    Manifest,
}

impl StepName {
    /// All of them, in their order.
    pub const ALL: [Self; 6] =
        [Self::Name, Self::Tls, Self::Challenge, Self::Credential, Self::Token, Self::Manifest];

    /// What it is called.
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
    /// It holds.
    Ok,
    /// It does not, or could not be found out.
    Failed,
    /// It was not taken: something before it failed, or it was not asked for.
    Skipped,
}

impl StepResult {
    /// As it begins a line.
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        }
    }
}

/// A step that was taken, or was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which.
    pub step: StepName,
    /// How it ended.
    pub result: StepResult,
    /// What was found.
    pub detail: String,
    /// What to do, each a sentence. Empty where nothing is to be done.
    pub advice: Vec<String>,
    /// The check's exit code where this step failed.
    #[serde(skip)]
    exit_code: u8,
}

impl Step {
    /// One that holds.
    #[must_use]
    pub fn ok(step: StepName, detail: impl Into<String>) -> Self {
        let (detail, advice) = (detail.into(), Vec::new());
        Self { step, result: StepResult::Ok, detail, advice, exit_code: 0 }
    }

    /// One that does not hold.
    #[must_use]
    pub fn failed(step: StepName, detail: impl Into<String>, advice: Vec<String>) -> Self {
        let (detail, exit_code) = (detail.into(), step.exit_code());
        Self { step, result: StepResult::Failed, detail, advice, exit_code }
    }

    /// One that could not be found out, for a reason that is not the registry's or the credential's.
    #[must_use]
    pub fn unchecked(step: StepName, detail: impl Into<String>, advice: Vec<String>) -> Self {
        Self { exit_code: 1, ..Self::failed(step, detail, advice) }
    }

    /// With the exit code of another step: what does not hold is what that one is about.
    #[must_use]
    pub fn exiting_as(self, step: StepName) -> Self {
        Self { exit_code: step.exit_code(), ..self }
    }

    /// One that was not taken.
    #[must_use]
    pub fn skipped(step: StepName, detail: impl Into<String>) -> Self {
        Self { result: StepResult::Skipped, ..Self::ok(step, detail) }
    }
}

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    target: Target,
    /// Whose credential works.
    credential: Option<Holder>,
    steps: Vec<Step>,
}

impl Report {
    /// One without any step yet.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self { target, credential: None, steps: Vec::new() }
    }

    /// Adds the next step. One that failed is the last that is taken.
    pub fn add(&mut self, step: Step) -> ControlFlow<()> {
        let failed = step.result == StepResult::Failed;
        self.steps.push(step);
        if failed { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Says whose credential works.
    pub fn works(&mut self, credential: Option<Holder>) {
        self.credential = credential;
    }

    /// With the steps that were not taken.
    #[must_use]
    pub fn finished(mut self) -> Self {
        let failed = self.failure().map(|it| it.step.as_str());
        let why = failed.map_or_else(String::new, |it| format!("since {it} failed"));
        let rest = StepName::ALL.into_iter().skip(self.steps.len());
        self.steps.extend(rest.map(|it| Step::skipped(it, why.as_str())));
        self
    }

    fn failure(&self) -> Option<&Step> {
        self.steps.iter().find(|it| it.result == StepResult::Failed)
    }

    /// 0 where every step that was taken holds, 1 where something could not be found out, else that of the
    /// step that does not hold.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.failure().map_or(0, |it| it.exit_code)
    }

    /// One JSON object in one line.
    ///
    /// # Errors
    /// Never for what is in it.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&Wire::of(self))
    }

    /// For people: what is checked, and a line for each step with what to do below it.
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

/// What stands in JSON. Absent is `null`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    registry: &'a str,
    image: Option<String>,
    namespace: &'a str,
    /// Absent where pods name their pull secrets themselves.
    service_account: Option<&'a str>,
    credential: Option<&'a Holder>,
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
                PullSecretsOf::ServiceAccount(name) => Some(name),
                PullSecretsOf::Pods(_) => None,
            },
            credential: credential.as_ref(),
            ok: exit_code == 0,
            exit_code,
            steps,
        }
    }
}
