//! Faults: what goes wrong with a request, and with which.

use serde::{Deserialize, Serialize};

use crate::Call;

/// What happens to a matched request.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Effect {
    /// An error in the shape of the service that was asked; nothing is applied.
    Error {
        /// HTTP status.
        status: u16,
        /// Error code, such as `ServiceUnavailable`.
        code: String,
        /// Error message. For Entra, `error_codes` is taken from its `AADSTS` number.
        #[serde(default)]
        message: String,
        /// Seconds for `Retry-After`.
        #[serde(default)]
        retry_after: Option<u32>,
    },
    /// No answer until the client goes away; nothing is applied.
    Hang,
    /// A delayed but otherwise normal answer.
    Delay {
        /// Milliseconds.
        milliseconds: u64,
    },
    /// The connection closes without an answer; nothing is applied.
    Drop,
    /// The request takes effect, then the connection closes without an answer.
    ApplyThenDrop,
    /// 200 with a body that is no JSON; nothing is applied.
    Garbage,
    /// 200 with a body of this size that never becomes JSON; nothing is applied.
    Huge {
        /// Length of the body in bytes.
        bytes: u64,
    },
}

/// A fault, and the requests that it strikes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// The kind of request.
    pub call: Call,
    /// Only requests whose `host/path` contains this, in any case.
    #[serde(default)]
    pub containing: Option<String>,
    /// How many requests are still struck; all until cleared if absent.
    #[serde(default)]
    pub times: Option<u32>,
    /// What happens.
    pub effect: Effect,
}

impl Fault {
    /// A fault that strikes every such call until it is cleared.
    #[must_use]
    pub fn new(call: Call, effect: Effect) -> Self {
        Self { call, containing: None, times: None, effect }
    }

    /// An error answer.
    #[must_use]
    pub fn error(call: Call, status: u16, code: &str, message: &str) -> Self {
        let (code, message) = (code.into(), message.into());
        Self::new(call, Effect::Error { status, code, message, retry_after: None })
    }

    /// 429 with `Retry-After` in seconds.
    #[must_use]
    pub fn throttled(call: Call, retry_after: u32) -> Self {
        Self::new(
            call,
            Effect::Error {
                status: 429,
                code: "TooManyRequests".into(),
                message: "The request is being throttled.".into(),
                retry_after: Some(retry_after),
            },
        )
    }

    /// Limits the fault to the next `times` matching requests.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Limits the fault to the next matching request.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Limits the fault to requests whose `host/path` contains `text`.
    #[must_use]
    pub fn containing(self, text: &str) -> Self {
        Self { containing: Some(text.into()), ..self }
    }

    fn strikes(&self, call: Option<Call>, target: &str) -> bool {
        (self.call == Call::Any || Some(self.call) == call)
            && self.containing.as_ref().is_none_or(|it| target.contains(&it.to_ascii_lowercase()))
    }
}

impl Effect {
    /// A few words for the journal.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Error { status, code, .. } => format!("error {status} {code}"),
            Self::Hang => "hang".into(),
            Self::Delay { milliseconds } => format!("delay {milliseconds} ms"),
            Self::Drop => "drop".into(),
            Self::ApplyThenDrop => "apply then drop".into(),
            Self::Garbage => "garbage".into(),
            Self::Huge { bytes } => format!("huge {bytes} bytes"),
        }
    }
}

/// The faults in force, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The effect on a request to `target` (`host/path`), counted down; the oldest fault wins.
    pub(crate) fn strike(&mut self, call: Option<Call>, target: &str) -> Option<Effect> {
        let target = target.to_ascii_lowercase();
        self.0.retain(|it| it.times != Some(0));
        let fault = self.0.iter_mut().find(|it| it.strikes(call, &target))?;
        if let Some(times) = &mut fault.times {
            *times -= 1;
        }
        Some(fault.effect.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_fault_strikes_so_often_and_only_what_matches() {
        let mut faults = Faults::default();
        faults.add(Fault::new(Call::GetRegistry, Effect::Hang).times(2).containing("CONTOSO"));
        faults.add(Fault::new(Call::Any, Effect::Drop));
        let registry = Some(Call::GetRegistry);

        assert_eq!(faults.strike(registry, "arm/other"), Some(Effect::Drop));
        assert_eq!(faults.strike(registry, "arm/Contoso"), Some(Effect::Hang));
        assert_eq!(faults.strike(None, "arm/contoso"), Some(Effect::Drop));
        assert_eq!(faults.strike(registry, "arm/contoso"), Some(Effect::Hang));
        assert_eq!(faults.strike(registry, "arm/contoso"), Some(Effect::Drop));
        faults.clear();
        assert_eq!(faults.strike(registry, "arm/contoso"), None);
    }
}
