//! The state behind every face, and which face answers what.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    Call,
    acr::{self, RegistryTokens},
    arm::{self, Throttle},
    backend::Backend,
    ca::{CaError, CertificateAuthority},
    entra,
    fault::Faults,
    graph,
    hosts::Face,
    http::{Reply, Request},
    instance_metadata,
    journal::Journal,
    model::Model,
    tokens::{self, Tokens},
};

/// Everything that connections share.
pub(crate) struct Azure {
    pub(crate) ca: CertificateAuthority,
    pub(crate) backend: Backend,
    model: Mutex<Model>,
    tokens: Mutex<Tokens>,
    registry_tokens: Mutex<RegistryTokens>,
    journal: Mutex<Journal>,
    faults: Mutex<Faults>,
    throttle: Mutex<Throttle>,
}

impl Azure {
    pub(crate) fn new(model: Model) -> Result<Self, CaError> {
        Ok(Self {
            ca: CertificateAuthority::new()?,
            backend: Backend::default(),
            model: Mutex::new(model),
            tokens: Mutex::new(Tokens::new()?),
            registry_tokens: Mutex::new(RegistryTokens::new()?),
            journal: Mutex::default(),
            faults: Mutex::default(),
            throttle: Mutex::default(),
        })
    }

    // A panic while one of these is held can leave no half-done change behind that matters
    // more than the tests that still run.

    pub(crate) fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn registry_tokens(&self) -> MutexGuard<'_, RegistryTokens> {
        self.registry_tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes every token issued so far expire, those of registries included.
    pub(crate) fn expire_tokens(&self) {
        self.tokens().expire_all();
        self.registry_tokens().expire_all();
    }

    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Face {
    /// What a request is, if this face knows it.
    pub(crate) fn call(self, request: &Request) -> Option<Call> {
        match self {
            Self::Entra => entra::call(request),
            Self::Arm => arm::call(request),
            Self::Graph => graph::call(request),
            Self::InstanceMetadata => instance_metadata::call(request),
            Self::Registry => acr::call(request),
        }
    }

    /// The object id of the caller, if its credential names one.
    pub(crate) fn caller(self, azure: &Azure, request: &Request) -> Option<String> {
        match self {
            Self::Entra => entra::caller(azure, request),
            Self::Arm | Self::Graph => tokens::caller(azure, request),
            Self::InstanceMetadata => instance_metadata::caller(azure, request),
            Self::Registry => acr::caller(azure, request),
        }
    }

    /// Answers a request and carries it out.
    pub(crate) fn answer(self, azure: &Azure, request: &Request) -> Reply {
        match self {
            Self::Entra => entra::answer(azure, request),
            Self::Arm => arm::answer(azure, request),
            Self::Graph => graph::answer(azure, request),
            Self::InstanceMetadata => instance_metadata::answer(azure, request),
            Self::Registry => acr::answer(azure, request),
        }
    }

    /// An error answer in the shape of this face, for faults.
    pub(crate) fn error(self, request: &Request, error: &Failure<'_>) -> Reply {
        match self {
            Self::Entra => entra::error(error),
            Self::Arm => arm::error(request, error),
            Self::Graph => graph::error(request, error),
            Self::InstanceMetadata => instance_metadata::error(error),
            Self::Registry => acr::error(error),
        }
    }
}

/// An error that a fault asks for.
pub(crate) struct Failure<'a> {
    pub(crate) status: hyper::StatusCode,
    pub(crate) code: &'a str,
    pub(crate) message: &'a str,
}
